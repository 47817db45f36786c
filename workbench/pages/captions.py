"""What the figures of a comparison or a sweep show, in a sentence or two computed from the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median

import numpy as np

from workbench.evaluation.statistics import Estimate
from workbench.experiments import Run
from workbench.experiments.arms import ALL, accuracies, by_arm
from workbench.experiments.effects import budget
from workbench.experiments.grid import grid_cells
from workbench.experiments.price import best
from workbench.experiments.wording import capital, counted, listed, number, title
from workbench.metrics import token_times
from workbench.pages.numbers import seconds
from workbench.pages.page import Page
from workbench.pages.tables import prose
from workbench.plots.cells import quantity, read
from workbench.plots.fronts import front
from workbench.plots.phases import segments
from workbench.records import Generation

_WIDE = 30  # problems of a group below which a reader is warned
_MOST = 4  # groups or arms that are named one by one

_Arms = Mapping[str, Sequence[Generation]]


def right(run: Run) -> Page:
    """Of ``plots.accuracy``: the first arm beside the second, over all and group by group."""
    found = accuracies(run)
    whole, *others = found.get(ALL, {}) or [""]
    if not others:
        return prose("")
    gaps = {
        group: 100 * (arms[whole].value - arms[others[0]].value)
        for group, arms in found.items()
        if whole in arms and others[0] in arms
    }
    told = _ahead(whole, others[0], gaps.pop(ALL), found[ALL][whole])
    parts = listed([f"{_signed(gap)} on {group}" for group, gap in gaps.items()][:_MOST] or [""])
    least = min((found[group][whole].count for group in gaps), default=_WIDE)
    few = f" With {counted(least, 'problem')} a group, its intervals are wide."
    return prose(
        told
        + (f"; by group, {parts}." if 0 < len(gaps) <= _MOST else ".")
        + (few if gaps and least < _WIDE else "")
    )


def _ahead(first: str, second: str, gap: float, found: Estimate) -> str:
    over = f"over all {counted(found.count, 'problem')}"
    if round(gap) == 0:
        return f"{capital(first)} and {second} are right equally often {over}"
    more = "more" if gap > 0 else "less"
    points = f"{abs(gap):.0f} point{'s' * (round(abs(gap)) != 1)}"
    return f"{capital(first)} is right {more} often than {second} {over}, by {points}"


def _signed(gap: float) -> str:
    return "level" if round(gap) == 0 else f"{'+' if gap > 0 else '−'}{abs(gap):.0f}"


def cost(run: Run) -> Page:
    """Of ``plots.cost``: which part of each arm's tokens and seconds is thinking."""
    return prose(" ".join(_thought(by_arm(run))))


def _thought(arms: _Arms) -> Iterator[str]:
    answers = {}
    for arm, every in arms.items():
        parts = [(_seconds(one), _tokens(one)) for one in every if one.ok]
        if not parts:
            continue
        answers[arm] = fmean(tokens["answer"] for _, tokens in parts)
        spent = [sum(own[part] for own, _ in parts) for part in ("thinking", "all")]
        written = [sum(own[part] for _, own in parts) for part in ("thinking", "all")]
        if written[0] and spent[1]:
            yield (
                f"Thinking is {written[0] / written[1]:.0%} of the tokens and "
                f"{spent[0] / spent[1]:.0%} of the seconds of {arm}."
            )
    if len(answers) > 1:
        (first, mean), *others = answers.items()
        told = [f"{number(tokens)} with {arm}" for arm, tokens in others]
        yield f"The answer by itself has {number(mean)} tokens with {first}, {listed(told)}."


def timeline(run: Run, problem: str) -> Page:
    """Of ``plots.timeline``: how long each arm took for the problem, and how long it thought."""
    told = []
    for arm, every in by_arm(run, problem).items():
        parts = [_seconds(one) for one in every if one.ok]
        whole = fmean(own["all"] for own in parts) if parts else 0.0
        if whole:
            share = fmean(own["thinking"] for own in parts) / whole
            thinking = f", {share:.0%} of it thinking" if share else ""
            told.append(f"{arm} took {seconds(whole)}{thinking}")
    if not told:
        return prose("")
    drawn = any(len(every) > 1 for every in by_arm(run, problem).values())
    return prose(capital("; ".join(told)) + (" (means over samples)." if drawn else "."))


def gaps(arms: _Arms) -> Page:
    """Of ``plots.inter_token_latency``: the median gap of each arm, its tail, early and late."""
    told = []
    for arm, every in arms.items():
        found = [(t.index, t.gap) for one in every for t in token_times(one) if t.gap]
        if len(found) > 1:
            told.append(f"{arm}: {_gaps(found)}")
    return prose(capital("; ".join(told)) + "." if told else "")


def _gaps(found: Sequence[tuple[int, float]]) -> str:
    every = [gap for _, gap in found]
    half = (min(i for i, _ in found) + max(i for i, _ in found)) / 2
    early = [gap for place, gap in found if place <= half]
    late = [gap for place, gap in found if place > half]
    tail = seconds(float(np.percentile(every, 99)))
    parts = f" ({seconds(median(early))} in the first half of the positions, " * bool(late)
    rest = f"{seconds(median(late))} in the second)" if late else ""
    return f"median gap {seconds(median(every))}{parts}{rest}, 99th percentile {tail}"


def _seconds(one: Generation) -> dict[str, float]:
    parts = segments(one)
    thinking = sum(part.seconds for part in parts if part.phase == "thinking")
    return {"thinking": thinking, "all": sum(part.seconds for part in parts)}


def _tokens(one: Generation) -> dict[str, int]:
    channels = [str(time.channel) for time in token_times(one)]
    return {part: channels.count(part) for part in ("thinking", "answer")} | {"all": len(channels)}


# --- sweeps ---------------------------------------------------------------------------------------


def overview(run: Run) -> Page:
    """Of ``plots.overview``: the settings that were right least and most often."""
    cells = [cell for cell in grid_cells(run) if cell.accuracy is not None]
    shares = [cell.accuracy.value for cell in cells if cell.accuracy is not None]
    if len(set(shares)) < 2:
        return prose("")
    most, least = best(cells), cells[shares.index(min(shares))]
    return prose(
        f"Right answers range from {min(shares):.0%} at {title(least, cells)} to "
        f"{max(shares):.0%} at {title(most, cells)}."
    )


def pareto(run: Run, cost: str = "output_tokens") -> Page:
    """Of ``plots.pareto``: how many settings are on the front, its cheapest and its best."""
    rows, cells = read(run.cells()), grid_cells(run)
    found = front(rows, cost)
    if not found:
        return prose("")

    def told(place: int) -> str:
        share, spent = (quantity(c).told(rows[place][c]) for c in ("accuracy", cost))
        return f"{title(cells[place], cells)} with {share} right for {spent}"

    if len(found) == 1:
        return prose(f"One setting beats or equals all others: {told(found[0])}.")
    return prose(
        f"{len(found)} of {len(rows)} settings are on the front, from {told(found[0])} to "
        f"{told(found[-1])} an answer."
    )


def budgets(run: Run) -> Page:
    """Of ``plots.budget``: the least budget that stays near thinking without one."""
    graded = [cell for cell in grid_cells(run) if cell.accuracy is not None]
    return prose(" ".join(budget(graded)))
