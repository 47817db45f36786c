"""The price of thinking: what a further right answer costs, between two arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.errors import InvalidInput
from workbench.evaluation.statistics import Difference, Estimate, difference, ratio
from workbench.experiments.grid import GridCell, grid_cells
from workbench.experiments.run import Run
from workbench.experiments.wording import amount, capital, listed, number, points, title

BATCHED = "requests ran beside others, so their seconds are those of a batch"


@dataclass(frozen=True, slots=True)
class Cost:
    """What the dearer arm takes more of, on the problems that both have a score for."""

    unit: str  # tokens, s
    extra: Difference  # of an answer: the dearer arm's minus the cheaper one's
    each: Estimate | None  # for each further right answer; an interval where the gain is sure
    reason: str | None  # why there is no figure, or no interval


@dataclass(frozen=True, slots=True)
class Price:
    """What the dearer of two arms brings, and what that costs; printed as a sentence or two."""

    dear: str
    cheap: str
    gain: Difference  # of the share of right answers
    tokens: Cost
    seconds: Cost

    def __str__(self) -> str:
        return " ".join((_gain(self), _cost(self)))


def price(
    run: Run, dear: Mapping[str, Any] | None = None, cheap: Mapping[str, Any] | None = None
) -> Price:
    """Extra tokens and seconds for each extra right answer, between two grid cells of a run.

    The mean extra cost over the mean extra accuracy, on the same problems. Seconds have a
    price only where the requests of both ran one at a time. The interval
    is a percentile bootstrap over problems, given only where the gain is surely positive:
    otherwise the price has no upper bound.

    Args:
        run: With problems that have answers.
        dear: The dearer arm by its place on the axes, as much as tells it from the others,
            e.g. ``{"mode": "on", "temperature": 0.6}``. Default: the most accurate grid
            cell with thinking on; of one mode, the one without a thinking budget.
        cheap: The other arm. Default: the most accurate one with thinking off; of one
            mode, the one with the smallest budget.

    Raises:
        InvalidInput: No such grid cell, more than one, or nothing graded on common problems.
    """
    cells = grid_cells(run)
    first, second = default_arms(cells) or (None, None)
    ours, theirs = _chosen(cells, dear, first), _chosen(cells, cheap, second)
    found = between(ours, theirs, cells)
    if found is None:
        raise InvalidInput(
            "The two arms have no graded problem in common.",
            remedy="Give the problems answers, or wait until both arms have some.",
        )
    return found


def between(dear: GridCell, cheap: GridCell, among: Sequence[GridCell]) -> Price | None:
    """The price between two grid cells; ``None`` without a problem that both have a score for.

    Args:
        dear: Whose tokens and seconds are weighed.
        cheap: What it is held against.
        among: The grid cells that the two are told apart from by their names.
    """
    right, wrong = dear.values("score"), cheap.values("score")
    gain = difference(right, wrong, share=True)
    tokens = _costs("tokens", "output_tokens", dear, cheap, gain)
    seconds = _costs("s", "request_latency", dear, cheap, gain)
    if seconds is not None and not (dear.alone and cheap.alone):
        seconds = replace(seconds, each=None, reason=BATCHED)
    if gain is None or tokens is None or seconds is None:
        return None
    return Price(title(dear, among), title(cheap, among), gain, tokens, seconds)


def default_arms(cells: Sequence[GridCell]) -> tuple[GridCell, GridCell] | None:
    """The two grid cells between which thinking has a price; ``None`` where nothing tells them."""
    on = [cell for cell in cells if cell.coordinates.get("mode") == "on"]
    off = [cell for cell in cells if str(cell.coordinates.get("mode", "")).startswith("off")]
    if on and off:
        return best(on), best(off)
    budgets = [cell for cell in cells if "thinking_tokens" in cell.coordinates]
    limits = [cell.coordinates["thinking_tokens"] for cell in budgets]
    if len(set(limits)) < 2:
        return None
    most = None if None in limits else max(limits)
    least = min(limit for limit in limits if limit is not None)
    at = {
        limit: [c for c in budgets if c.coordinates["thinking_tokens"] == limit] for limit in limits
    }
    return best(at[most]), best(at[least])


def best(cells: Sequence[GridCell]) -> GridCell:
    """The most accurate grid cell; of equals the one of fewest tokens."""

    def rank(cell: GridCell) -> tuple[float, float]:
        right = cell.accuracy.value if cell.accuracy else -1.0
        return right, -(cell.output_tokens.value if cell.output_tokens else float("inf"))

    return max(cells, key=rank)


def _chosen(
    cells: Sequence[GridCell], asked: Mapping[str, Any] | None, otherwise: GridCell | None
) -> GridCell:
    if asked is None:
        if otherwise is None:
            raise InvalidInput(
                "Nothing tells which two arms the price is between.",
                remedy='Name both, e.g. {"temperature": 0.6}.',
            )
        return otherwise
    found = [
        cell
        for cell in cells
        if all(
            axis in cell.coordinates and cell.coordinates[axis] == value
            for axis, value in asked.items()
        )
    ]
    if len(found) != 1:
        known = "; ".join(title(cell, cells) for cell in cells[:8])
        raise InvalidInput(
            f"{len(found) or 'No'} grid cells are at {dict(asked)}.",
            remedy=f"Name one of {len(cells)}: {known}{' …' if len(cells) > 8 else ''}.",
        )
    return found[0]


def _costs(
    unit: str, column: str, dear: GridCell, cheap: GridCell, gain: Difference | None
) -> Cost | None:
    """Over the problems that both arms have a score for."""
    graded = dear.values("score").keys() & cheap.values("score").keys()
    more, less = (
        {problem: own for problem, own in cell.values(column).items() if problem in graded}
        for cell in (dear, cheap)
    )
    extra = difference(more, less)
    if gain is None or extra is None:
        return None
    if gain.estimate.value <= 0:
        return Cost(unit, extra, None, "there is no further right answer")
    if extra.estimate.value <= 0:
        return Cost(unit, extra, None, "the further right answers cost nothing more")
    found = ratio((more, less), (dear.values("score"), cheap.values("score")))
    each = found[0] if found else None
    if each is None or gain.sure:
        return Cost(unit, extra, each, None)
    bare = Estimate(each.value, None, None, each.count, share=False)
    return Cost(unit, extra, bare, "the gain may be none, so the price has no upper bound")


def _gain(found: Price) -> str:
    gap = found.gain
    both = f"than {found.cheap}"
    if gap.estimate.value <= 0:
        told = "as often as" if gap.estimate.value == 0 else "less often than"
        by = "" if gap.estimate.value == 0 else f", by {points(gap)}"
        return f"{capital(found.dear)} is right {told} {found.cheap}{by}:"
    sure = "" if gap.sure else ", which chance can explain"
    return f"{capital(found.dear)} is right more often {both}, by {points(gap)}{sure}."


def _cost(found: Price) -> str:
    costs = [cost for cost in (found.tokens, found.seconds) if cost.reason != BATCHED]
    if found.gain.estimate.value <= 0:
        more = listed([_more(cost) for cost in costs])
        return f"there is no further right answer to pay for, and an answer takes {more}."
    told = [amount(cost.each, cost.unit) for cost in costs if cost.each is not None]
    free = [f"no more {_noun(cost)}" for cost in costs if cost.each is None]
    begin = "A further right answer costs" if found.gain.sure else "If it is real, one more costs"
    words = [f"{begin} {listed(told)}"] if told else []
    words += [f"it takes {listed(free)}"] if free else []
    return f"{capital('; '.join(words))}."


def _noun(cost: Cost) -> str:
    return "tokens" if cost.unit == "tokens" else "seconds"


def _more(cost: Cost) -> str:
    value = cost.extra.estimate.value
    return f"{number(abs(value))} {cost.unit} {'more' if value >= 0 else 'less'}"
