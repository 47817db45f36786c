"""What came of each arm, in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from workbench.evaluation.statistics import Estimate, accuracy
from workbench.experiments.arms import arm_names, scores_by_arm
from workbench.experiments.energy import ENERGY, energy_per_token
from workbench.experiments.run import Run

Row = Mapping[str, Any]  # of ``run.rows()``
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
    energy: float | None  # joules on the GPU, mean
    energy_per_token: float | None  # joules: all of them over all output tokens
    draft_acceptance_thinking: float | None  # mean share; None without speculation
    draft_acceptance_answer: float | None  # mean share
    tokens_per_step: float | None  # mean; None without speculation


def summarise(run: Run) -> tuple[ArmSummary, ...]:
    """Every arm of the run, in the plan's order; tokens are not read."""
    scores = scores_by_arm(run)
    return tuple(_arm(name, rows, accuracy(scores[name])) for name, rows in _rows(run).items())


def _rows(run: Run) -> dict[str, list[Row]]:
    """The rows of each arm; every arm of the plan, also one without generations."""
    names = arm_names(run.plan.cells)
    found: dict[str, list[Row]] = {name: [] for name in names}
    for row in run.rows():
        found[names[row["index"]]].append(row)
    return found


def _arm(name: str, rows: Sequence[Row], estimate: Estimate | None) -> ArmSummary:
    good = [row for row in rows if row["finish_reason"] in ("stop", "length")]

    def over(key: str, fold: Fold) -> float | None:
        values = [value for row in good if (value := row[key]) is not None]
        return float(fold(values)) if values else None

    return ArmSummary(
        arm=name,
        generations=len(rows),
        failed=len(rows) - len(good),
        cut_off=sum(row["finish_reason"] == "length" for row in good),
        incomplete=sum(row["incomplete"] for row in good),
        leaked=sum(row["leaked"] for row in good),
        accuracy=estimate,
        thinking_tokens=over("thinking_tokens", mean),
        answer_tokens=over("answer_tokens", mean),
        output_tokens=over("output_tokens", mean),
        request_latency=over("request_latency", mean),
        time_to_first_token=over("time_to_first_token", median),
        time_to_first_output_token=over("time_to_first_output_token", median),
        inter_token_latency=over("inter_token_latency", median),
        draft_acceptance_thinking=over("draft_acceptance_thinking", mean),
        draft_acceptance_answer=over("draft_acceptance_answer", mean),
        tokens_per_step=over("tokens_per_step", mean),
        energy=over(ENERGY, mean),
        energy_per_token=energy_per_token((row[ENERGY], row["output_tokens"]) for row in good),
    )
