"""What a comparison says, in a paragraph: computed from the run, and no more than it shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.evaluation.statistics import Estimate, Paired, paired
from workbench.experiments.arms import scores_by_arm
from workbench.experiments.run import Run
from workbench.experiments.summary import ArmSummary, summarise
from workbench.experiments.wording import capital, counted, listed

_FEW = 30  # problems below which a reader is warned


def conclusion(run: Run) -> str:
    """Which arm was right how often, the paired differences, what thinking cost, caveats.

    Differences are the first arm minus each other one, on the problems that both
    have a score for. Plain text; the name of a model in it is as untrusted as ever.
    """
    found = summarise(run)
    arms = [arm for arm in found if arm.generations > arm.failed]
    if not arms:
        return "Nothing has been generated, so there is nothing to conclude."
    return " ".join(
        [*_right(arms), *_differences(run, arms), *_cost(run, arms), *_caveats(run, found)]
    )


def _right(arms: Sequence[ArmSummary]) -> Iterator[str]:
    graded = [arm for arm in arms if arm.accuracy is not None]
    if not graded:
        yield "The prompts have no answer key, so nothing is said about right and wrong."
        return
    told = [
        f"{arm.arm} {'was right on ' if number == 0 else 'on '}{_share(arm.accuracy)}"
        for number, arm in enumerate(graded)
        if arm.accuracy is not None
    ]
    yield capital(listed(told)) + "."


def _share(found: Estimate) -> str:
    """``11 of 12 problems (92%, 95% interval 62–100%)``."""
    right = found.value * found.count
    whole = abs(right - round(right)) < 1e-9
    problems = counted(found.count, "problem")
    told = f"{round(right)} of {problems}" if whole else f"{found.value:.0%} of {problems}"
    span = ""
    if found.low is not None and found.high is not None:
        span = f"95% interval {100 * found.low:.0f}–{100 * found.high:.0f}%"
    parts = [f"{found.value:.0%}" if whole else "", span]
    return f"{told} ({', '.join(part for part in parts if part)})"


def _differences(run: Run, arms: Sequence[ArmSummary]) -> Iterator[str]:
    scores = scores_by_arm(run)
    first, *others = [arm.arm for arm in arms]
    told = [
        _difference(first, other, found)
        for other in others
        if (found := paired(scores[first], scores[other])) is not None
    ]
    if told:
        yield f"Problem by problem, {first} is {listed(told)}."


def _difference(first: str, second: str, found: Paired) -> str:
    gap = found.difference
    points = f"{abs(100 * gap.value):.0f} points"
    where = "level with" if gap.value == 0 else "ahead of" if gap.value > 0 else "behind"
    by = "" if gap.value == 0 else f" by {points}"
    span = ""
    if gap.low is not None and gap.high is not None:
        span = f"95% interval {100 * gap.low:+.0f} to {100 * gap.high:+.0f}; "
    alone = f"{found.only_first} right in {first} alone, {found.only_second} in {second} alone"
    return f"{where} {second}{by} ({span}{alone}: {_verdict(found)})"


def _verdict(found: Paired) -> str:
    """What the exact test of the decided problems says, in words."""
    if found.p_value is None:
        return "nothing tells them apart"
    chance = "more than chance explains" if found.p_value < 0.05 else "chance can explain it"
    return f"{chance}, McNemar's exact p {_p(found.p_value)}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"


def _cost(run: Run, arms: Sequence[ArmSummary]) -> Iterator[str]:
    """The first arm's tokens and seconds beside the cheapest other arm's."""
    first, *others = arms
    if not others:
        return
    other = min(others, key=lambda arm: arm.output_tokens or 0.0)
    tokens, theirs = first.output_tokens, other.output_tokens
    time, their_time = first.request_latency, other.request_latency
    if not (tokens and theirs and time and their_time):
        return
    at_once = run.environment.get("concurrency") or 1
    how = f", with {at_once} requests at once" if at_once > 1 else ""
    yield (
        f"An answer of {first.arm} took {tokens:,.0f} tokens and {time:.3g} s on average{how}, "
        f"one of {other.arm} {theirs:,.0f} tokens and {their_time:.3g} s: "
        f"{_times(tokens / theirs)} the tokens and {_times(time / their_time)} the time."
    )
    if first.thinking_tokens:
        yield f"{capital(f'{first.thinking_tokens / tokens:.0%}')} of those tokens were thinking."


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"


def _caveats(run: Run, arms: Sequence[ArmSummary]) -> Iterator[str]:
    total = counted(sum(arm.generations for arm in arms), "answer")
    for number, what in (
        (sum(arm.failed for arm in arms), "failed"),
        (sum(arm.cut_off for arm in arms), "ended at the length limit"),
        (sum(arm.incomplete for arm in arms), "never closed the thinking"),
        (sum(arm.leaked for arm in arms), "thought though it was off"),
    ):
        if number:
            yield f"{number} of {total} {what}."
    if len(run.generations) < len(run.plan):
        yield f"The run is not whole: {len(run.generations)} of {len(run.plan)} generations."
    counts = {arm.accuracy.count for arm in arms if arm.accuracy is not None}
    if counts and max(counts) < _FEW:
        few = "1 problem is" if max(counts) == 1 else f"{max(counts)} problems are"
        yield f"{few} few: others may turn out otherwise."
