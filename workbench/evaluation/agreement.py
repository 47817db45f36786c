"""How far our pass@1 is from a published one, with the sampling errors of both.

A published figure stands for a fixed set of problems. When ours rests on all of them, only
the drawing of samples is uncertain; when it rests on some, which ones they are is uncertain
too. Two-stage sampling without return (Cochran 1977, eq. 11.24) says how the two add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import stats

from workbench.evaluation.passes import Samples, errors

_EVERYTHING = 1.0
_ROUNDING = 0.0005  # published to a tenth of a point


@dataclass(frozen=True, slots=True)
class Published:
    """A share of right answers that somebody else measured."""

    value: float  # of 1
    problems: int | None = None  # of the whole benchmark; None: not known
    samples: int = 1  # of each problem that were averaged
    drawn: bool = True  # tokens were drawn; greedy answers have no sampling error


@dataclass(frozen=True, slots=True)
class Gap:
    """Ours minus the published share, with its 95 % interval."""

    value: float
    low: float
    high: float
    whole: bool  # ours rests on all the problems

    @property
    def width(self) -> float:
        return self.high - self.low


def gap(samples: Samples, published: Published) -> Gap | None:
    """Ours minus theirs; ``None`` without samples.

    Each side has an interval of its own, and the two are put together without a normal
    approximation where they are lopsided (MOVER, Zou and Donner 2008). Ours is
    Clopper and Pearson's with the effective number of draws, p (1 - p) / variance (Korn and
    Graubard 1998), so it stays within 0 and 1. Where a problem has one sample only, its variance
    cannot be estimated, and the largest it can be, that of p (1 - p), is taken. Their sampling
    error is that of as many samples as they averaged, with our spread within problems.
    """
    asked = {problem: own for problem, own in samples.items() if own}
    if not asked:
        return None
    means = [sum(s.right for s in own) / len(own) for own in asked.values()]
    ours = float(np.mean(means))
    reached = 0.0 if published.problems is None else min(1.0, len(asked) / published.problems)
    low, high = _ours(asked, ours, reached)
    their_low, their_high = _theirs(published, asked, ours)
    value = ours - published.value
    return Gap(
        value,
        value - sqrt((ours - low) ** 2 + (their_high - published.value) ** 2),
        value + sqrt((high - ours) ** 2 + (published.value - their_low) ** 2),
        reached == _EVERYTHING,
    )


def _ours(asked: Samples, share: float, reached: float) -> tuple[float, float]:
    """The interval of our share, for the whole benchmark of which a part was reached."""
    count, draws = len(asked), sum(map(len, asked.values()))
    if share in (0.0, 1.0):
        return _clopper_pearson(share, 1 / ((1 - reached) / count + reached / draws))
    if count == 1 and reached < _EVERYTHING:
        return _clopper_pearson(share, 1.0)
    within = _drawing(asked, share)
    over = errors(asked).clustered
    variance = max((1 - reached) * (over or 0.0) ** 2 + reached * within, 1 / draws**2)
    effective = share * (1 - share) / variance
    if reached < _EVERYTHING:  # the spread over problems is itself an estimate
        effective *= float(stats.norm.ppf(0.975) / stats.t.ppf(0.975, count - 1)) ** 2
    return _clopper_pearson(share, effective)


def _drawing(asked: Samples, share: float) -> float:
    """The variance of our share if the samples of these problems were drawn again."""
    sampling = errors(asked).sampling
    return share * (1 - share) / len(asked) if sampling is None else sampling**2


def _theirs(published: Published, asked: Samples, share: float) -> tuple[float, float]:
    """The interval of the published share over draws of the samples, its rounding included."""
    low = high = published.value
    if published.drawn:
        own = [len(samples) for samples in asked.values()]
        single = len(own) * _drawing(asked, share) / float(np.mean([1 / size for size in own]))
        largest = published.value * (1 - published.value)
        spread = min(single, largest) if min(own) > 1 else largest
        draws = (published.problems or len(own)) * published.samples
        effective = largest * draws / spread if spread > 0 else float(draws)
        low, high = _clopper_pearson(published.value, effective)
    return max(0.0, low - _ROUNDING), min(1.0, high + _ROUNDING)


def _clopper_pearson(share: float, draws: float) -> tuple[float, float]:
    """The exact binomial interval, also for a number of draws that is not whole."""
    right, wrong = share * draws, (1 - share) * draws
    low = 0.0 if right <= 0 else float(stats.beta.ppf(0.025, right, wrong + 1))
    high = 1.0 if wrong <= 0 else float(stats.beta.ppf(0.975, right + 1, wrong))
    return low, high
