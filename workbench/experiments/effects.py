"""What one axis of a sweep does, over all grid cells that share a value on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from workbench.evaluation.statistics import Difference, difference
from workbench.experiments.grid import GridCell
from workbench.experiments.wording import (
    DRAW_ONLY,
    axis_name,
    capital,
    change,
    listed,
    number,
)

WITHIN = 0.05  # of the accuracy without a budget: what counts as having reached it

_PerProblem = Mapping[str, Sequence[float]]


def by_value(
    cells: Sequence[GridCell], axis: str, column: str = "score"
) -> dict[Any, dict[str, list[float]]]:
    """A column at each value of an axis: value -> problem -> its mean in each grid cell there.

    Grid cells of no value in the column are left out; greedy ones say nothing of an axis
    that only a draw has.
    """
    found: dict[Any, dict[str, list[float]]] = {}
    for cell in cells:
        if axis not in cell.coordinates or (cell.greedy and axis in DRAW_ONLY):
            continue
        own = cell.values(column)
        at = found.setdefault(cell.coordinates[axis], {}) if own else {}
        for problem, values in own.items():
            at.setdefault(problem, []).append(fmean(values))
    return found


@dataclass(frozen=True, slots=True)
class Effect:
    """An axis of numbers, from its lowest to its highest value."""

    axis: str
    low: float
    high: float
    shares: Mapping[float, float]  # value -> accuracy
    change: Difference  # at the highest value minus at the lowest


def effects(cells: Sequence[GridCell]) -> Iterator[str]:
    """What the axes of numbers do to accuracy, mode by mode.

    The two ends of an axis are compared because they were chosen before anything was
    seen; what lies between them is mentioned where it is above both.
    """
    modes = list(dict.fromkeys(cell.coordinates.get("mode") for cell in cells))
    for mode in modes:
        own = [cell for cell in cells if cell.coordinates.get("mode") == mode]
        found = [effect for axis in own[0].coordinates if (effect := _effect(own, axis))]
        lead = f"With {mode}, " if len(modes) > 1 else ""
        yield from (capital(lead + _told(effect)) for effect in found if effect.change.sure)
        unsure = [_briefly(effect) for effect in found if not effect.change.sure]
        if unsure:
            yield capital(
                f"{lead}accuracy moves by no more than chance explains over {listed(unsure)}."
            )


def _effect(cells: Sequence[GridCell], axis: str) -> Effect | None:
    values = by_value(cells, axis)
    if axis == "thinking_tokens" or len(values) < 2 or not all(map(_numeric, values)):
        return None
    low, high = min(values), max(values)
    found = difference(values[high], values[low], share=True)
    shares = {value: _mean(own) for value, own in values.items()}
    return None if found is None else Effect(axis, low, high, shares, found)


def _told(effect: Effect) -> str:
    low, high, shares = effect.low, effect.high, effect.shares
    most = max(shares, key=lambda value: shares[value])
    inner = ""
    if shares[most] > max(shares[low], shares[high]):
        inner = f"; in between it is highest at {most:g}, {shares[most]:.0%}"
    return (
        f"accuracy goes from {shares[low]:.0%} at {axis_name(effect.axis)} {low:g} to "
        f"{shares[high]:.0%} at {high:g}: {change(effect.change)}{inner}."
    )


def _briefly(effect: Effect) -> str:
    ends = f"{axis_name(effect.axis)} {effect.low:g} to {effect.high:g}"
    return f"{ends} ({change(effect.change)})"


def budget(cells: Sequence[GridCell]) -> Iterator[str]:
    """The least budget from which on accuracy stays near that of thinking without one."""
    scores, tokens = by_value(cells, "thinking_tokens"), _spent(cells)
    limits = sorted(limit for limit in scores if limit is not None)
    if len(scores) < 2 or not limits:
        return
    whole = None if None in scores else limits[-1]
    named = "without a budget" if whole is None else f"at the largest budget, {whole:,}"
    gaps = {limit: difference(scores[limit], scores[whole], share=True) for limit in limits}
    near = [limit for limit in limits if _near(gaps[limit]) and limit != whole]
    reached = [n for n in near if all(_near(gaps[other]) for other in limits if other >= n)]
    full = f"accuracy is {_mean(scores[whole]):.0%} {named}"
    if not reached:
        near_it = f"within {100 * WITHIN:.0f} points of it"
        yield f"Of the thinking, {full}; no smaller budget stays {near_it}."
        return
    least = reached[0]
    gap = gaps[least]
    assert gap is not None
    cost = ""
    if tokens.get(least) and tokens.get(whole):
        cost = f", with {number(tokens[least])} tokens an answer instead of {number(tokens[whole])}"
    yield (
        f"Of the thinking, {full}; from a budget of {least:,} tokens on it stays within "
        f"{100 * WITHIN:.0f} points of that, as measured ({change(gap)}){cost}."
    )


def _spent(cells: Sequence[GridCell]) -> dict[Any, float]:
    values = by_value(cells, "thinking_tokens", "output_tokens")
    return {limit: _mean(own) for limit, own in values.items()}


def _near(gap: Difference | None) -> bool:
    return gap is not None and gap.estimate.value >= -WITHIN - 1e-12


def _mean(values: _PerProblem) -> float:
    return fmean(fmean(own) for own in values.values())


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
