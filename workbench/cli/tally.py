"""A run while it goes on: how far it is, and how often each grid cell has been right so far."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from workbench.cli.output import table
from workbench.evaluation.grading import grade
from workbench.evaluation.statistics import Estimate, accuracy
from workbench.experiments.grid import coordinates
from workbench.experiments.wording import DRAW_ONLY
from workbench.pages.grid import head
from workbench.pages.numbers import interval, seconds
from workbench.printable import one_line
from workbench.records import Plan
from workbench.stream import Stream

_A_SECOND = 4  # pictures
_PACE = 60.0  # seconds whose pace tells the time that is left: requests end in batches …
_PACES = 50  # … or this part of the time that is expected
_AROUND = 6  # lines of the terminal that are not a grid cell's
_VALUE = 30  # characters of an axis's value
_STEPS = 10  # lines that a grid cell gets while it is under way
_FRESH = 50  # an interval is made anew when so much of a grid cell has ended since


@dataclass(slots=True)
class Count:
    """A grid cell so far."""

    place: Mapping[str, Any]
    intervals: bool = False  # pass@1 with its interval, not the plain share
    planned: int = 0
    ended: int = 0
    graded: int = 0
    right: float = 0.0
    cut: int = 0  # ended at their length
    failed: int = 0
    scores: dict[str, list[float]] = field(default_factory=dict)  # a problem's samples
    _estimate: tuple[int, Estimate | None] = (0, None)  # and how many had ended then

    def add(self, score: float | None, *, reason: str | None, problem: str | None) -> None:
        """A generation has ended, with its score and its finish reason."""
        self.ended += 1
        self.failed += reason == "failed"
        self.cut += reason == "length"
        if score is not None and reason != "failed":
            self.graded += 1
            self.right += score
            self.scores.setdefault(problem or "", []).append(score)

    def __str__(self) -> str:
        parts = []
        if self.graded and self.intervals:
            parts.append(f"pass@1 {interval(self._fresh())}")
        elif self.graded:
            share = self.right / self.graded
            parts.append(f"{self.right:g} of {self.graded} right ({share:.0%})")
        if self.cut and self.intervals:
            parts.append(f"{self.cut} cut off")
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)

    def _fresh(self) -> Estimate | None:
        """The estimate over problems; it takes a bootstrap, so it is not made at every picture."""
        then, estimate = self._estimate
        if estimate is None or self.ended - then > self.planned / _FRESH or self.complete:
            self._estimate = self.ended, accuracy(self.scores)
        return self._estimate[1]

    @property
    def complete(self) -> bool:
        return self.ended == self.planned


class Tally:
    """Counts what ends, for ``execute``'s ``watch`` and ``progress``; shows it meanwhile.

    On a terminal a bar with the time that is left, and the grid cells that changed last;
    elsewhere a line for each grid cell that is complete.

    Args:
        console: Where to.
        plan: What is asked.
        before: Rows of generations that had ended before, as ``Run.rows`` gives them.
        intervals: What is right is told with its interval over problems, and a line is
            written for every tenth of a grid cell.
    """

    def __init__(
        self,
        console: Console,
        plan: Plan,
        before: Iterable[Mapping[str, Any]] = (),
        *,
        intervals: bool = False,
    ) -> None:
        self._console = console
        self._plan = plan
        places = coordinates(plan)
        self._counts: dict[tuple[Any, ...], Count] = {}
        self._keys = [tuple(place.values()) for place in places]
        for cell, key, place in zip(plan.cells, self._keys, places, strict=True):
            if key not in self._counts:
                told = _place(place, cell.request.sampling.temperature)
                self._counts[key] = Count(told, intervals)
            self._counts[key].planned += 1
        self._axes = _telling(plan, places[0] if places else {})
        self._latest: dict[tuple[Any, ...], None] = {}  # those that changed, the last at the end
        self._streams: dict[int, Stream] = {}
        known = [row for row in before if row["finish_reason"] not in (None, "cancelled")]
        for row in known:
            self._add(row["index"], row["score"], row["finish_reason"])
        self._steps = _STEPS if intervals else 1
        self._ended = 0  # since it began to count
        self._began = time.monotonic()
        self._bar = _bar(console, plan)
        self._task = self._bar.add_task("", total=len(plan), completed=len(known))
        self._live = Live(
            get_renderable=self.picture,
            console=console,
            refresh_per_second=_A_SECOND,
            transient=True,
        )

    def watch(self, index: int, stream: Stream) -> None:
        """A request has been started."""
        self._streams[index] = stream

    def progress(self, done: int, planned: int) -> None:
        """Some have ended: count those that have not been."""
        for index in [index for index, stream in self._streams.items() if stream.done]:
            generation = self._streams.pop(index).result()
            problem = self._plan.cells[index].problem
            score = grade(problem, generation, index).value if problem else None
            if generation.finish_reason == "cancelled":
                continue  # it is asked again when the run is resumed
            self._ended += 1
            count = self._add(index, score, generation.finish_reason)
            if not self._console.is_terminal and self._steps_past(count):
                self._console.print(self._line(count), soft_wrap=True)
        self._bar.update(self._task, completed=sum(c.ended for c in self._counts.values()))

    def picture(self) -> RenderableType:
        """The bar, and as many of the grid cells that changed last as the terminal holds."""
        room = max(self._console.height - _AROUND, 3)
        shown = set(list(self._latest)[-room:])
        rows = [
            (*(_short(count.place[axis]) for axis in self._axes), _ended(count), str(count))
            for key, count in self._counts.items()
            if key in shown
        ]
        heads = (*map(head, self._axes), "ended", "so far")
        parts: list[RenderableType] = [self._bar.get_renderable()]
        if rows:
            parts.append(table(heads, rows, right=(len(heads) - 2,)))
        if len(self._counts) > len(shown):
            left = len(self._counts) - len(shown)
            parts.append(Text(f"… and {left:,} grid cells that are not shown", "dim"))
        return Group(*parts)

    def __enter__(self) -> Tally:
        self._began = time.monotonic()
        self._bar.advance(self._task, 0)  # the time that is left is told by the pace from here on
        if self._console.is_terminal:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.transient = error is None  # what an interrupt leaves is the last thing seen
        self._live.stop()

    def _add(self, index: int, score: float | None, reason: str | None) -> Count:
        key, problem = self._keys[index], self._plan.cells[index].problem
        self._latest.pop(key, None)
        self._latest[key] = None
        self._counts[key].add(score, reason=reason, problem=problem.id if problem else None)
        return self._counts[key]

    def _steps_past(self, count: Count) -> bool:
        """The generation that ended last has brought its grid cell to another of its steps."""
        now, then = (n * self._steps // count.planned for n in (count.ended, count.ended - 1))
        return now > then

    def _line(self, count: Count) -> str:
        told = f"{self._name(count)}: {str(count) or 'ended'}"
        if count.complete:
            return told
        left = sum(one.planned - one.ended for one in self._counts.values())
        pace = (time.monotonic() - self._began) / self._ended
        return f"{told}, {_ended(count)} ended; about {seconds(left * pace)} left"

    def _name(self, count: Count) -> str:
        return ", ".join(f"{head(axis)} {_short(count.place[axis])}" for axis in self._axes)


def _telling(plan: Plan, place: Mapping[str, Any]) -> list[str]:
    """The axes on which grid cells differ; the first where there is but one grid cell."""
    return [axis for axis in place if len(plan.axes[axis]) > 1] or list(place)[:1]


def _place(place: Mapping[str, Any], temperature: float) -> dict[str, Any]:
    """Where nothing is drawn, all values of an axis that is about drawing are one."""
    greedy = temperature == 0
    return {k: "any" if greedy and k in DRAW_ONLY else value for k, value in place.items()}


def _ended(count: Count) -> str:
    return f"{count.ended} of {count.planned}"


def _short(value: Any) -> str:
    return "none" if value is None else one_line(str(value), _VALUE)


def _bar(console: Console, plan: Plan) -> Progress:
    known = plan.expected.seconds if plan.expected else None
    return Progress(
        TextColumn("asking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
        speed_estimate_period=max(_PACE, (known or 0.0) / _PACES),
    )
