"""A run read grid cell by grid cell: what came of each combination of the plan's axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from statistics import fmean, median
from types import MappingProxyType
from typing import Any

from workbench.errors import InvalidInput
from workbench.evaluation.grading import same_answer
from workbench.evaluation.statistics import Estimate, accuracy, mean
from workbench.experiments.axes import WARM_UP, value_of
from workbench.experiments.ratings import question
from workbench.experiments.run import Run
from workbench.records import EngineSpec, Plan

Row = Mapping[str, Any]  # a generation, as ``Run.rows`` describes it

_REPEATS = ("problem", "sample")  # axes within a grid cell
# Limits of a request, whose names the metrics have for what was spent.
_LIMITS = MappingProxyType({"thinking_tokens": "thinking_budget", "output_tokens": "max_tokens"})


@dataclass(frozen=True, slots=True)
class GridCell:
    """One combination of the axes, over its problems and samples; ``None`` is undefined.

    Failed and cancelled generations are counted, and left out of everything else. Means
    are over problems of the mean over samples, with intervals over problems.
    """

    coordinates: Mapping[str, Any]  # axis -> value
    greedy: bool  # temperature 0: it stands for every top-p, top-k and min-p
    alone: bool  # its requests ran one at a time; else their seconds are those of a batch
    planned: int  # requests
    members: tuple[Row, ...]  # the generations that have ended, in the plan's order
    failed: int  # ended with an error, or were cancelled
    truncated: int  # ended at their length, not by themselves
    incomplete: int  # thinking that was never closed
    leaked: int  # thinking though it was off
    forced: int  # thinking closed by its budget
    accuracy: Estimate | None  # None: nothing was graded, or a judge rated it
    thinking_tokens: Estimate | None
    answer_tokens: Estimate | None
    output_tokens: Estimate | None  # the think tags included
    request_latency: Estimate | None  # seconds
    median_latency: float | None  # seconds, over generations
    distinct_answers: float | None  # different answers to one problem
    agreement: float | None  # share of a problem's samples that give its most frequent answer
    rating: Estimate | None = None  # a judge's, from 1 to 10, over questions of all their turns

    def values(self, name: str) -> dict[str, list[float]]:
        """A column of the generations that ended well: problem -> its samples, none undefined."""
        return _by_problem(_good(self.members), name)

    def row(self) -> dict[str, Any]:
        """The grid cell as one flat row; an interval is two columns, ``…_low`` and ``…_high``.

        The axis ``thinking_tokens``, a budget, is the column ``thinking_budget``, and
        ``output_tokens`` of the latency lab ``max_tokens``: the other names are those of
        the tokens that were spent.
        """
        row: dict[str, Any] = {
            _LIMITS.get(axis, axis): _plain(value) for axis, value in self.coordinates.items()
        }
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if field.name == "rating" and value is None:
                continue  # most runs have no judge
            if field.name == "members":
                row["generations"] = len(self.members)
            elif field.name in _ESTIMATES:
                row |= _interval(field.name, value)
            else:
                row[field.name] = value
        return row | {"problems": len({member["problem"] for member in self.members})}


_ESTIMATES = (
    "accuracy",
    "thinking_tokens",
    "answer_tokens",
    "output_tokens",
    "request_latency",
    "rating",
)


def coordinates(plan: Plan) -> list[dict[str, Any]]:
    """Where each cell of the plan lies: its value on every axis but problem and sample."""
    readable = [axis for axis in plan.axes if axis not in _REPEATS and _readable(plan, axis)]
    return [
        {axis: value_of(cell, axis, plan.axes[axis]) for axis in readable} for cell in plan.cells
    ]


def grid_cells(run: Run) -> tuple[GridCell, ...]:
    """Every grid cell of the run in the plan's order, also one that was not reached yet.

    The warm-ups of the latency lab lie in none.
    """
    members: dict[tuple[Any, ...], list[Row]] = {}
    planned: dict[tuple[Any, ...], list[int]] = {}
    places = coordinates(run.plan)
    for index, place in enumerate(places):
        if not _warms_up(run.plan, index):
            planned.setdefault(tuple(place.values()), []).append(index)
    for row in _rows(run):
        if row["finish_reason"] is not None and not _warms_up(run.plan, row["index"]):
            members.setdefault(tuple(places[row["index"]].values()), []).append(row)
    return tuple(
        _grid_cell(run, places[own[0]], own, members.get(key, ())) for key, own in planned.items()
    )


def _warms_up(plan: Plan, index: int) -> bool:
    problem = plan.cells[index].problem
    return plan.kind == "latency" and problem is not None and problem.group == WARM_UP


def _rows(run: Run) -> Iterator[Row]:
    """The rows of a run; what a judge wrote is no answer."""
    cells = run.plan.cells
    for row in run.rows():
        problem = cells[row["index"]].problem
        if problem is None or not problem.judged:
            yield row
        else:
            asked = question(cells, row["index"])
            yield row | {"question": asked, "extracted": None}


def _grid_cell(
    run: Run, place: Mapping[str, Any], own: Sequence[int], members: Sequence[Row]
) -> GridCell:
    good = _good(members)
    distinct, agreement = _answers(good)
    latencies = [row["request_latency"] for row in good if row["request_latency"] is not None]
    return GridCell(
        coordinates=place,
        greedy=all(run.plan.cells[index].request.sampling.temperature == 0 for index in own),
        alone=_alone(run, own),
        planned=len(own),
        members=tuple(members),
        failed=len(members) - len(good),
        truncated=sum(row["finish_reason"] == "length" for row in good),
        incomplete=_count(good, "incomplete"),
        leaked=_count(good, "leaked"),
        forced=_count(good, "forced_close"),
        accuracy=accuracy(_by_problem(good, "score")),
        thinking_tokens=mean(_by_problem(good, "thinking_tokens")),
        answer_tokens=mean(_by_problem(good, "answer_tokens")),
        output_tokens=mean(_by_problem(good, "output_tokens")),
        request_latency=mean(_by_problem(good, "request_latency")),
        median_latency=float(median(latencies)) if latencies else None,
        distinct_answers=distinct,
        agreement=agreement,
        rating=mean(_by_problem(good, "rating", "question")),
    )


def _alone(run: Run, own: Sequence[int]) -> bool:
    """Whether these requests ran one at a time: as planned, unless the whole run was told else."""
    cells, most = run.plan.cells, run.environment.get("concurrency")  # the most at once, of all
    if most == 1 or len(cells) == 1:
        return True
    asked = [cell.concurrency for cell in cells]
    told_else = most is not None and None not in asked and most > max(n or 0 for n in asked)
    return not told_else and all(cells[index].concurrency == 1 for index in own)


def _answers(good: Sequence[Row]) -> tuple[float | None, float | None]:
    """Distinct answers and agreement, each a mean over the problems that have several samples.

    Answers that are equal to the grader are one. A sample without an answer agrees with
    nobody; a problem none of whose samples has one says nothing. Which of two equally
    frequent answers is the majority's makes no difference to the share that agrees.
    """
    samples: dict[str, list[str | None]] = {}
    for row in good:
        samples.setdefault(row["problem"], []).append(row["extracted"])
    counted = [
        (len(counts), max(counts.values()) / len(given))
        for given in samples.values()
        if len(given) > 1 and (counts := _different(given))
    ]
    if not counted:
        return None, None
    return fmean(count for count, _ in counted), fmean(share for _, share in counted)


def _different(given: Iterable[str | None]) -> Counter[str]:
    """How often each different answer was given, under its first spelling."""
    counts: Counter[str] = Counter()
    for answer in given:
        if answer is not None:
            known = (one for one in counts if same_answer(answer, one))
            counts[next(known, answer)] += 1
    return counts


def _good(members: Iterable[Row]) -> list[Row]:
    return [row for row in members if row["finish_reason"] in ("stop", "length")]


def _count(members: Iterable[Row], flag: str) -> int:
    return sum(bool(row.get(flag)) for row in members)


def _by_problem(members: Iterable[Row], name: str, unit: str = "problem") -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in members:
        if row.get(name) is not None:
            found.setdefault(row[unit], []).append(float(row[name]))
    return found


def _interval(name: str, found: Estimate | None) -> dict[str, float | None]:
    ends = (found.value, found.low, found.high) if found else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def _readable(plan: Plan, axis: str) -> bool:
    """An axis of another kind of plan may be no field of its cells."""
    try:
        for cell in plan.cells[:1]:
            value_of(cell, axis, plan.axes[axis])
    except InvalidInput:
        return False
    return True


def _plain(value: Any) -> Any:
    """A place on an axis for a table: an engine in words."""
    if not isinstance(value, EngineSpec):
        return value
    chosen = [f"{f.name} {getattr(value, f.name)}" for f in fields(value) if _chosen(value, f)]
    return ", ".join([value.kind, *chosen])


def _chosen(spec: EngineSpec, field: Field[Any]) -> bool:
    return field.name != "kind" and bool(getattr(spec, field.name) != field.default)
