"""Intervals for right and wrong: one arm alone, and two arms on the same problems.

Scores of one problem's repeats are averaged first (the reducer); the metric is
the mean over problems. Problems, not generations, are the independent draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

_DRAWS = 5000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with a 95 % interval; ``low`` and ``high`` are ``None`` where undefined."""

    value: float
    low: float | None
    high: float | None
    count: int  # problems it rests on

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.1%} (n={self.count})"
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}] (n={self.count})"


@dataclass(frozen=True, slots=True)
class Paired:
    """Two arms on the same problems: the first minus the second."""

    difference: Estimate
    only_first: int  # problems that only the first arm got right (mean score above a half)
    only_second: int
    p_value: float | None  # McNemar's exact test of the two counts; None when both are 0


def accuracy(scores: Mapping[str, Sequence[float]]) -> Estimate | None:
    """Mean over problems of the mean score, with its interval; ``None`` without problems.

    One sample a problem: Clopper–Pearson (exact binomial). More: a percentile
    bootstrap over problems, each with all its samples, from a fixed seed; at 0
    and 1, where the bootstrap has no width, Clopper–Pearson over problems.

    Args:
        scores: The scores of each problem's samples, 0 or 1, by problem id.
    """
    means = np.array([np.mean(values) for values in scores.values() if len(values)])
    if not len(means):
        return None
    value = float(means.mean())
    binary = bool(np.isin(means, (0.0, 1.0)).all()) and all(len(v) <= 1 for v in scores.values())
    if binary or value in (0.0, 1.0):
        low, high = _clopper_pearson(round(float(means.sum())), len(means))
    else:
        low, high = _bootstrap(means)
    return Estimate(value, low, high, len(means))


def paired(
    first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]
) -> Paired | None:
    """The difference of two arms over the problems that both have; ``None`` without any.

    The interval is a percentile bootstrap over problems; with fewer than two, or
    when every problem differs alike, there is none.
    """
    common = [p for p in first if len(first[p]) and len(second.get(p, ()))]
    if not common:
        return None
    ours = np.array([np.mean(first[problem]) for problem in common])
    theirs = np.array([np.mean(second[problem]) for problem in common])
    gaps = ours - theirs
    varied = len(gaps) > 1 and float(np.ptp(gaps)) > 0
    low, high = _bootstrap(gaps) if varied else (None, None)
    wins = int(((ours > 0.5) & (theirs <= 0.5)).sum())
    losses = int(((theirs > 0.5) & (ours <= 0.5)).sum())
    decided = wins + losses
    p_value = float(stats.binomtest(wins, decided).pvalue) if decided else None
    return Paired(Estimate(float(gaps.mean()), low, high, len(gaps)), wins, losses, p_value)


def _clopper_pearson(right: int, count: int) -> tuple[float, float]:
    interval = stats.binomtest(right, count).proportion_ci(0.95, method="exact")
    return float(interval.low), float(interval.high)


def _bootstrap(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    generator = np.random.default_rng(0)
    draws = generator.integers(0, len(values), size=(_DRAWS, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
