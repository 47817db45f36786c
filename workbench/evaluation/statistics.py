"""Intervals and tests for right and wrong, tokens and seconds: one arm alone, two arms paired.

Values of one problem's repeats are averaged first (the reducer); the metric is
the mean over problems. Problems, not generations, are the independent draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from scipy import stats

_DRAWS = 5000
_PORTION = 2**20  # resampled values held at once
_EXACT = 12  # gaps up to which every sign is tried: 4096 ways
_LEVELS = (2.5, 97.5)

_Values = Mapping[str, Sequence[float]]  # a problem's repeats, by problem id
_Array = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with a 95 % interval; ``low`` and ``high`` are ``None`` where undefined."""

    value: float
    low: float | None
    high: float | None
    count: int  # problems it rests on
    share: bool = True  # of 1, told in per cent; otherwise in its own unit

    def __str__(self) -> str:
        def told(value: float) -> str:
            return f"{value:.1%}" if self.share else f"{value:,.4g}"

        if self.low is None or self.high is None:
            return f"{told(self.value)} (n={self.count})"
        return f"{told(self.value)} [{told(self.low)}, {told(self.high)}] (n={self.count})"


@dataclass(frozen=True, slots=True)
class Paired:
    """Two arms on the same problems: the first minus the second."""

    difference: Estimate
    only_first: int  # problems that only the first arm got right (mean score above a half)
    only_second: int
    p_value: float | None  # McNemar's exact test of the two counts; None when both are 0


@dataclass(frozen=True, slots=True)
class Difference:
    """Any quantity of two arms on the same problems: the first minus the second."""

    estimate: Estimate
    p_value: float | None  # of the sign-flip test; None when no problem differs

    @property
    def sure(self) -> bool:
        """Neither the interval nor the test allows for none; few problems never suffice."""
        low, high = self.estimate.low, self.estimate.high
        beside = low is None or high is None or low > 0 or high < 0
        return beside and self.p_value is not None and self.p_value < 0.05


def accuracy(scores: _Values) -> Estimate | None:
    """Mean over problems of the mean score, with its interval; ``None`` without problems.

    One sample a problem: Clopper–Pearson (exact binomial). More: a percentile
    bootstrap over problems, each with all its samples, from a fixed seed; at 0
    and 1, where the bootstrap has no width, Clopper–Pearson over problems.

    Args:
        scores: The scores of each problem's samples, 0 or 1, by problem id.
    """
    means = _means(scores)
    if not len(means):
        return None
    value = float(means.mean())
    binary = bool(np.isin(means, (0.0, 1.0)).all()) and all(len(v) <= 1 for v in scores.values())
    if binary or value in (0.0, 1.0):
        low, high = _clopper_pearson(round(float(means.sum())), len(means))
        return Estimate(value, low, high, len(means))
    return _estimate(means, share=True)


def mean(values: _Values) -> Estimate | None:
    """Mean over problems of any quantity's mean; ``None`` without problems.

    The interval is a percentile bootstrap over problems from a fixed seed; with fewer
    than two problems, or when all are alike, there is none.

    Args:
        values: The quantity of each problem's samples, in any unit, by problem id.
    """
    means = _means(values)
    return _estimate(means, share=False) if len(means) else None


def paired(first: _Values, second: _Values) -> Paired | None:
    """The difference of two arms' scores over the problems that both have; ``None`` without any.

    The interval is a percentile bootstrap over problems; with fewer than two, or
    when every problem differs alike, there is none.
    """
    ours, theirs = _both(first, second)
    if not len(ours):
        return None
    wins = int(((ours > 0.5) & (theirs <= 0.5)).sum())
    losses = int(((theirs > 0.5) & (ours <= 0.5)).sum())
    decided = wins + losses
    p_value = float(stats.binomtest(wins, decided).pvalue) if decided else None
    return Paired(_estimate(ours - theirs, share=True), wins, losses, p_value)


def difference(first: _Values, second: _Values, *, share: bool = False) -> Difference | None:
    """The difference of any quantity over the problems that both have; ``None`` without any.

    The interval is ``paired``'s. The test flips the signs of the problems' differences
    (Fisher's randomisation test of their mean, two-sided): every way up to 12 that are
    not 0, else 10,000 seeded ones. With one score a problem it is McNemar's exact test.

    Args:
        first: The quantity of each problem's samples, by problem id.
        second: The same of the other arm.
        share: The quantity is a share of 1, told in per cent.
    """
    ours, theirs = _both(first, second)
    if not len(ours):
        return None
    gaps = ours - theirs
    return Difference(_estimate(gaps, share=share), _sign_flips(gaps))


def ratio(
    first: tuple[_Values, _Values], second: tuple[_Values, _Values]
) -> tuple[Estimate, int] | None:
    """How much one paired difference is for each unit of another, over the same problems.

    The ratio of the two mean differences; ``None`` without a problem that has all four
    values, or when the second difference is 0. The interval is a percentile bootstrap of
    the ratio over problems; where a resampled second difference is not positive the ratio
    has no meaning and counts as without bound, so that the interval may have no upper end;
    where all problems are alike there is none.

    Args:
        first: The quantity that is divided: in one arm, and in the other.
        second: The quantity that divides it, in the same two arms; positive on the whole.

    Returns:
        The estimate and how many of its 5000 resamples had no positive second difference.
    """
    arms = (*first, *second)
    common = [problem for problem in arms[0] if all(len(arm.get(problem, ())) for arm in arms)]
    a, b, c, d = (_means({problem: arm[problem] for problem in common}) for arm in arms)
    over, under = a - b, c - d
    if not common or float(under.mean()) == 0:
        return None
    value = float(over.mean() / under.mean())
    if len(common) < 2:
        return Estimate(value, None, None, len(common), share=False), 0
    tops, bottoms = _resampled(over), _resampled(under)  # the same draws: the seed is fixed
    drawn = np.full(_DRAWS, np.inf)
    np.divide(tops, bottoms, out=drawn, where=bottoms > 0)
    low, high = (float(level) for level in np.percentile(drawn, _LEVELS, method="higher"))
    width = drawn.max() > drawn.min()
    ends = (
        low if width and np.isfinite(low) else None,
        high if width and np.isfinite(high) else None,
    )
    return Estimate(value, *ends, len(common), share=False), int((bottoms <= 0).sum())


def _means(values: _Values) -> _Array:
    return np.array([np.mean(own) for own in values.values() if len(own)], np.float64)


def _both(first: _Values, second: _Values) -> tuple[_Array, _Array]:
    """The means of the problems that both have, in one order."""
    common = [p for p in first if len(first[p]) and len(second.get(p, ()))]
    return _means({p: first[p] for p in common}), _means({p: second[p] for p in common})


def _estimate(means: _Array, *, share: bool) -> Estimate:
    varied = len(means) > 1 and float(np.ptp(means)) > 0
    low, high = _bootstrap(means) if varied else (None, None)
    return Estimate(float(means.mean()), low, high, len(means), share)


def _clopper_pearson(right: int, count: int) -> tuple[float, float]:
    interval = stats.binomtest(right, count).proportion_ci(0.95, method="exact")
    return float(interval.low), float(interval.high)


def _bootstrap(values: _Array) -> tuple[float, float]:
    low, high = np.percentile(_resampled(values), _LEVELS)
    return float(low), float(high)


def _resampled(values: _Array) -> _Array:
    """The means of ``_DRAWS`` resamples, from a fixed seed: the same problems for the same count.

    In portions, whose size does not change what is drawn.
    """
    generator = np.random.default_rng(0)
    parts = [
        values[generator.integers(0, len(values), size=(rows, len(values)))].mean(axis=1)
        for rows in _portions(len(values))
    ]
    return np.concatenate(parts)


def _portions(width: int) -> Iterator[int]:
    most = max(1, min(_DRAWS, _PORTION // width))
    whole, rest = divmod(_DRAWS, most)
    yield from repeat(most, whole)
    if rest:
        yield rest


def _sign_flips(gaps: _Array) -> float | None:
    """The share of sign flips whose mean is at least as far from 0; ``None`` without a gap."""
    apart = gaps[gaps != 0]
    if not len(apart):
        return None
    count = len(apart)
    exact = count <= _EXACT
    if exact:
        bits = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    else:
        bits = np.random.default_rng(0).integers(0, 2, size=(2 * _DRAWS, count))
    sums = np.abs((2 * bits - 1) @ apart)
    far = int((sums >= abs(apart.sum()) * (1 - 1e-12)).sum())
    return far / len(sums) if exact else (far + 1) / (len(sums) + 1)
