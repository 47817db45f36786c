"""The arms of a comparison as a page shows them: texts while they come, figures at the end."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.experiments import Run
from workbench.experiments.arms import arm_names
from workbench.metrics import measure
from workbench.printable import one_line
from workbench.records import Cell, Failed, Generation, Plan, Score
from workbench.stream import Stream
from workbench_widgets.asking import MOST, Arm, Form
from workbench_widgets.feed import Ended, Feed, Followed
from workbench_widgets.rendering import tree

_SHOWN = (
    "time_to_first_token",
    "thinking_time",
    "request_latency",
    "output_token_throughput_per_user",
    "output_tokens",
    "thinking_tokens",
    "answer_tokens",
)


class Side:
    """One arm: a cell, its stream once there is one, and what came of it."""

    def __init__(self, name: str, cell: Cell, *, branch: str | None = None) -> None:
        self.name = name
        self.cell = cell
        self.branch = branch  # how it leaves the arm before it; None: it is an arm of its own
        self._feed: Feed | None = None
        self._score: Score | None = None
        self._whole: Generation | None = None  # once it has ended: nothing changes any more
        self._figures: dict[str, Any] = {}

    @property
    def begun(self) -> bool:
        """Whether anything has come."""
        return self._feed is not None

    @property
    def stream(self) -> Followed | None:
        """What it follows; ``None``: nothing has begun."""
        return None if self._feed is None else self._feed.stream

    def follow(self, stream: Stream) -> None:
        """From now on this stream is the arm's."""
        self._whole = None
        self._feed = Feed(stream)

    def cancel(self) -> None:
        """Stop its generation, if one is running."""
        if self._feed is not None:
            self._feed.stream.cancel()

    def delta(self) -> dict[str, Any] | None:
        """What it has written since the last look."""
        if self._feed is None:
            return None
        self._feed.read()
        return self._feed.delta()

    def snapshot(self) -> Generation:
        """Its generation, as far as it has come."""
        if self._feed is None:
            return Generation(self.cell.request, self.cell.spec, ())
        if self._whole is not None:
            return self._whole
        found = self._feed.stream.snapshot()
        self._whole = found if found.end is not None else None
        return found

    def settle(self, run: Run, index: int) -> None:
        """Take in how it ended: its figures, and whether it is right."""
        self._score = next((one for one in run.scores if one.generation == index), None)
        self.measure()

    def take(self, generation: Generation, score: Score | None) -> None:
        """Show a generation that is there already."""
        self._feed = Feed(Ended(generation))
        self._feed.read()
        self._score = score
        self.measure()

    def measure(self) -> None:
        """Its figures, of what there is now."""
        measured = measure(self.snapshot())
        self._figures = {name: measured[name] for name in _SHOWN}

    @property
    def figures(self) -> dict[str, Any]:
        """Metrics by name, once it has ended."""
        return self._figures

    @property
    def ended_well(self) -> bool:
        """Whether it came to its own end."""
        return self.snapshot().ok

    @property
    def right(self) -> bool | None:
        """Whether its answer is right; ``None``: nobody knows."""
        value = None if self._score is None else self._score.value
        return None if value is None else value > 0.5

    def told(self) -> dict[str, Any]:
        """Everything that a page shows of it."""
        text = {"s": [], "n": 0} if self._feed is None else self._feed.snapshot()
        return text | {
            "name": one_line(self.name, 80),
            "asked": self._asked() if self.branch is None else one_line(self.branch, 80),
            "branch": self.branch is not None,
            "end": _end(self._feed),
            "figures": self._figures,
            "right": self.right,
            "read": None
            if self._score is None
            else {
                "as": None
                if self._score.extracted is None
                else one_line(self._score.extracted, 200),
                "reason": one_line(self._score.reason, 200),
            },
        }

    def rendered(self) -> dict[str, Any]:
        """Its texts as trees of allowed elements."""
        found = self.snapshot()
        return {"thinking": tree(found.thinking), "answer": tree(found.answer)}

    def form(self, sides: Sequence[Side]) -> Form:
        """What was asked of these arms, as fields."""
        said = [one.text for one in self.cell.request.messages if one.role == "user"]
        problem = self.cell.problem
        return Form(
            prompt=said[-1] if said else "",
            expected=(problem.answer or "") if problem is not None else "",
            arms=tuple(_arm(side.cell) for side in sides),
        )

    def _asked(self) -> str:
        drawn = self.cell.request.sampling
        parts = [f"temperature {drawn.temperature:g}" if drawn.temperature else "greedy"]
        parts += [f"top-p {drawn.top_p:g}"] if drawn.top_p < 1 else []
        parts += [f"top-k {drawn.top_k}"] if drawn.top_k else []
        parts += [f"min-p {drawn.min_p:g}"] if drawn.min_p else []
        budget = drawn.thinking_tokens
        parts += [] if budget is None else [f"thinking at most {budget:,} tokens"]
        return ", ".join(parts)


def sides_of(plan: Plan) -> list[Side]:
    """A side for each cell, named by what tells them apart."""
    names = arm_names(plan.cells)
    twice = {name for name in names if names.count(name) > 1}
    sides = [Side(name, cell) for name, cell in zip(names, plan.cells, strict=True)]
    for side in sides:
        if side.name in twice:
            side.name = f"{side.name} · {side._asked()}"
    return sides


def problems_of(run: Run) -> list[str]:
    """The problems that a run asked, by id, in order."""
    return list(dict.fromkeys(_problem(cell) for cell in run.plan.cells))


@dataclass(frozen=True, slots=True)
class Place:
    """What of a stored run is shown: as many arms as stand in a row, of all that it has."""

    problem: str | None
    sample: int = 0
    first: int = 0  # of the arms, in the plan's order


def arms_at(run: Run, problem: str | None) -> list[dict[int, int]]:
    """The arms that a run has at a problem: of each, the cell of every sample."""
    found: dict[Hashable, dict[int, int]] = {}
    for index, cell in enumerate(run.plan.cells):
        if _problem(cell) == problem:
            asked = cell.request
            settings = (asked.mode, replace(asked.sampling, seed=0), asked.opening)
            arm = found.setdefault((cell.spec, cell.concurrency, settings), {})
            arm[cell.sample] = index
    return list(found.values())


def opened(run: Run, place: Place) -> list[Side]:
    """The arms of a run at one place; one that was asked once stands beside every sample."""
    scores = {score.generation: score for score in run.scores}
    names = arm_names(run.plan.cells)
    found: list[Side] = []
    for arm in arms_at(run, place.problem)[place.first : place.first + MOST]:
        index = arm.get(place.sample, arm[min(arm)])
        side = Side(names[index], run.plan.cells[index])
        if index in run.generations:
            side.take(run.generations[index], scores.get(index))
        found.append(side)
    return found


def marks(sides: Sequence[Side]) -> list[list[str]]:
    """What each arm is ahead in: the faster, the shorter; and whether it is right."""
    well = [side for side in sides if side.begun and side.ended_well]
    ahead = {
        "fastest" if len(well) > 2 else "faster": _least(well, "request_latency"),
        "shortest" if len(well) > 2 else "shorter": _least(well, "output_tokens"),
    }
    return [[word for word, first in ahead.items() if side is first] for side in sides]


def _least(sides: Sequence[Side], figure: str) -> Side | None:
    """The one with the least; ``None`` where there is no other, or two share it."""
    known = [(side.figures[figure], side) for side in sides if side.figures.get(figure) is not None]
    least = [side for value, side in known if value == min(value for value, _ in known)]
    return least[0] if len(known) > 1 and len(least) == 1 else None


def _problem(cell: Cell) -> str:
    return cell.problem.id if cell.problem is not None else cell.request.label or "asked"


def _arm(cell: Cell) -> Arm:
    drawn = cell.request.sampling
    return Arm(
        cell.request.mode,
        drawn.temperature,
        drawn.top_p,
        drawn.top_k,
        drawn.min_p,
        drawn.max_tokens,
        drawn.thinking_tokens,
        cell.spec.model,
        cell.spec.kind,
        cell.spec.endpoint or "",
    )


def _end(feed: Feed | None) -> dict[str, Any] | None:
    if feed is None or feed.end is None:
        return None
    if isinstance(feed.end, Failed):
        return {"reason": "failed", "error": feed.end.error, "remedy": feed.end.remedy}
    return {"reason": feed.end.reason}
