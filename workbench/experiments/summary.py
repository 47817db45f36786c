"""What came of each arm, in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median

from workbench import metrics, thinking
from workbench.evaluation.statistics import Estimate, accuracy
from workbench.experiments.arms import by_arm, scores_by_arm
from workbench.experiments.run import Run
from workbench.records import Generation

Fold = Callable[[Iterable[float]], float]


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One arm. Means and medians are over its generations; ``None`` is undefined.

    Failed and cancelled generations are counted, and left out of everything else.
    """

    arm: str
    generations: int
    failed: int  # ended with an error, or were cancelled
    cut_off: int  # ended at their length, not by themselves
    incomplete: int  # thinking that was never closed
    leaked: int  # thinking though it was off
    accuracy: Estimate | None  # None: nothing was graded
    thinking_tokens: float | None  # mean
    answer_tokens: float | None  # mean
    output_tokens: float | None  # mean, the think tags included
    request_latency: float | None  # seconds, mean
    time_to_first_token: float | None  # seconds, median
    time_to_first_output_token: float | None  # seconds, median: the first token of the answer
    inter_token_latency: float | None  # seconds, median


def summarise(run: Run) -> tuple[ArmSummary, ...]:
    """Every arm of the run, in the plan's order."""
    scores = scores_by_arm(run)
    return tuple(
        _arm(name, generations, accuracy(scores[name])) for name, generations in by_arm(run).items()
    )


def _arm(name: str, generations: Sequence[Generation], estimate: Estimate | None) -> ArmSummary:
    good = [generation for generation in generations if generation.ok]
    rows = [metrics.measure(generation) for generation in good]
    flags = [thinking.flags(generation) for generation in good]

    def over(key: str, fold: Fold) -> float | None:
        values = [value for row in rows if (value := row[key]) is not None]
        return float(fold(values)) if values else None

    return ArmSummary(
        arm=name,
        generations=len(generations),
        failed=len(generations) - len(good),
        cut_off=sum(generation.finish_reason == "length" for generation in good),
        incomplete=sum(flag.incomplete for flag in flags),
        leaked=sum(flag.leaked for flag in flags),
        accuracy=estimate,
        thinking_tokens=over("thinking_tokens", mean),
        answer_tokens=over("answer_tokens", mean),
        output_tokens=over("output_tokens", mean),
        request_latency=over("request_latency", mean),
        time_to_first_token=over("time_to_first_token", median),
        time_to_first_output_token=over("time_to_first_output_token", median),
        inter_token_latency=over("inter_token_latency", median),
    )
