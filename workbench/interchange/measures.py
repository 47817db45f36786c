"""What other programs call the score of a task: a mean over problems and its standard error.

The reducer is the mean over a problem's samples; the metric is the mean over problems,
and its standard error the sample standard deviation of the problems' means over the root
of their number. So it is in Inspect (``accuracy``, ``stderr`` after the ``mean`` reducer)
and in lm-eval (``mean``, ``mean_stderr``). Our own intervals are in ``Run.cells``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from workbench.interchange.conditions import Answered

EXACT = "exact_match"
RATING = "rating"


@dataclass(frozen=True, slots=True)
class Measure:
    """One quantity of a condition."""

    name: str
    means: Mapping[str, float]  # over a problem's samples, by problem
    samples: int  # values that it rests on

    @property
    def value(self) -> float:
        """The mean over problems."""
        return fmean(self.means.values())

    @property
    def stderr(self) -> float | None:
        """The standard error of ``value``; ``None`` of fewer than two problems."""
        if len(self.means) < 2:
            return None
        return stdev(self.means.values()) / math.sqrt(len(self.means))


def score_name(one: Answered) -> str:
    """What a score is: right or wrong, or a judge's rating from 1 to 10."""
    judged = one.cell.problem is not None and one.cell.problem.grader == "judge"
    return RATING if judged else EXACT


def scores(answered: Iterable[Answered]) -> tuple[Measure, ...]:
    """Every kind of score that there is; generations without a value are left out."""
    found: dict[str, dict[str, list[float]]] = {}
    for one in answered:
        if one.score is not None and one.score.value is not None:
            values = found.setdefault(score_name(one), {}).setdefault(one.problem, [])
            values.append(one.score.value)
    return tuple(_measure(name, values) for name, values in found.items())


def lengths(answered: Iterable[Answered]) -> tuple[Measure, ...]:
    """Tokens of thinking, tokens in all, and how often they ended at the limit."""
    good = [one for one in answered if one.row["finish_reason"] in ("stop", "length")]
    found: dict[str, dict[str, list[float]]] = {}
    for one in good:
        for name, value in {
            "output_tokens": one.row["output_tokens"],
            "thinking_tokens": one.row["thinking_tokens"],
            "truncated": float(one.row["finish_reason"] == "length"),
        }.items():
            if value is not None:
                found.setdefault(name, {}).setdefault(one.problem, []).append(float(value))
    return tuple(_measure(name, values) for name, values in found.items())


def _measure(name: str, values: Mapping[str, list[float]]) -> Measure:
    means = {problem: fmean(given) for problem, given in values.items()}
    return Measure(name, means, sum(map(len, values.values())))
