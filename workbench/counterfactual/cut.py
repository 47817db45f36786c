"""What top-k, nucleus and min-p keep of weights that are partly known, and the kept distribution.

Every step keeps the most likely tokens, so the steps together keep as many as the strictest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.counterfactual.weights import Interval, Weights

Array = npt.NDArray[Any]

_ROUNDING = 1e-9  # share of the mass; far more than the law's own sums lose


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What can be drawn, as bounds: n tokens."""

    size: Interval  # number of kept candidates
    mass: Interval  # their weight
    rest: Interval  # the part of it that candidates outside the record have


def cut(found: Weights, top_p: float, min_p: float) -> Kept:
    """The tokens that nucleus and min-p keep.

    Args:
        found: After temperature and top-k.
        top_p: Mass of the nucleus; 1 keeps every token.
        min_p: Least weight relative to the most likely token's.
    """
    size, rest = _nucleus(found, top_p)
    if min_p:
        likely, more = _likely(found, min_p)
        size = _least(size, likely)
        rest = Interval(np.minimum(rest.low, 0.0), np.minimum(rest.high, more))
    return Kept(size, _mass(found, size, rest), rest)


def entropy(found: Weights, kept: Kept) -> Interval:
    """Bounds of the entropy of what is kept, in nats.

    It rises with every token that is added in falling order: with weight share x of the
    whole, at most 1/(n + 1), the new entropy is that of (x, 1 - x) plus 1 - x of the old,
    and the old is at most ln n. Candidates outside the record add to it as a mixture:
    the entropy of the shares, plus each part's entropy by its share. Theirs is at most
    the logarithm of their number, and at least that of their mass over the heaviest.
    """
    inside = Interval(
        _entropy(found, np.minimum(kept.size.low, found.counts)).low,
        _entropy(found, np.minimum(kept.size.high, found.counts)).high,
    )
    beyond = kept.size.low > found.counts, kept.size.high > found.counts
    if not beyond[1].any():
        return inside
    known, high = found.known, kept.rest.high
    low = np.where(beyond[0], kept.rest.low, 0.0)
    shares = low / (low + known.high), high / (high + known.low)
    number = np.log(np.maximum(kept.size.high - found.counts, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        fewest = np.log(low) - np.log(found.largest)
    fewest = np.where(fewest > 0, fewest, 0.0)
    best = 1 / (1 + np.exp(inside.high - number))
    return Interval(
        np.where(
            beyond[0],
            np.minimum(*(_mixed(share, inside.low, fewest) for share in shares)),
            inside.low,
        ),
        np.where(beyond[1], _mixed(np.clip(best, *shares), inside.high, number), inside.high),
    )


# --- sizes --------------------------------------------------------------------------------------


def _nucleus(found: Weights, top_p: float) -> tuple[Interval, Interval]:
    """Size of the nucleus, and the weight of what is in it beyond the record."""
    total = _total(found)
    if top_p >= 1:
        return total, found.rest
    known, whole = found.known, found.whole
    doubt = _ROUNDING * whole.high[:, None]
    # The first i candidates fall short of p of the whole: (1 - p) head < p tail.
    head, tail = _heads(found)
    short = (1 - top_p) * head.high + doubt < top_p * tail.low
    maybe = (1 - top_p) * head.low < top_p * tail.high + doubt
    there = np.arange(head.low.shape[1]) < found.counts[:, None]
    least, most = (short & there).sum(axis=1), (maybe & there).sum(axis=1)
    size = Interval(
        np.minimum(least + 1.0, total.high),
        np.where(most == found.counts, total.high, np.minimum(most + 1.0, total.high)),
    )
    rest = Interval(
        np.clip(top_p * whole.low - known.high, 0.0, found.rest.low),
        np.clip(top_p * whole.high + found.largest - known.low, 0.0, found.rest.high),
    )
    return size, rest


def _likely(found: Weights, min_p: float) -> tuple[Interval, Array]:
    """Number of tokens that min-p keeps, and the most that others among them can weigh."""
    sure = (found.each.low >= min_p * (1 + _ROUNDING)).sum(axis=1)
    maybe = (found.each.high >= min_p * (1 - _ROUNDING)).sum(axis=1)
    more = (maybe == found.counts) & (found.largest >= min_p * (1 - _ROUNDING))
    most = np.where(more, _total(found).high, maybe)
    size = Interval(np.maximum(sure, 1.0), most.astype(np.float64))  # the peak's weight is 1
    return size, np.where(more, found.rest.high, 0.0)


def _total(found: Weights) -> Interval:
    return Interval(found.counts + found.others.low, found.counts + found.others.high)


def _least(one: Interval, other: Interval) -> Interval:
    return Interval(np.minimum(one.low, other.low), np.minimum(one.high, other.high))


def _heads(found: Weights) -> tuple[Interval, Interval]:
    """Mass of the first 1, 2, … candidates, and mass of everything behind them."""
    low, high = found.mass.low[:, 1:], found.mass.high[:, 1:]
    behind = Interval(
        low[:, -1:] - low + found.rest.low[:, None], high[:, -1:] - high + found.rest.high[:, None]
    )
    return Interval(low, high), behind


# --- sums over what is kept -----------------------------------------------------------------------


def _mass(found: Weights, size: Interval, rest: Interval) -> Interval:
    inside = [np.minimum(bound, found.counts).astype(np.int64) for bound in (size.low, size.high)]
    return Interval(
        found.first(found.mass.low, inside[0]) + np.where(size.low > found.counts, rest.low, 0.0),
        found.first(found.mass.high, inside[1])
        + np.where(size.high > found.counts, rest.high, 0.0),
    )


def _entropy(found: Weights, count: Array) -> Interval:
    """Entropy of the first ``count`` candidates: ln Z + sum(-w ln w) / Z."""
    at = count.astype(np.int64)
    low, high = found.first(found.mass.low, at), found.first(found.mass.high, at)
    spread = found.first(found.spread.low, at), found.first(found.spread.high, at)
    return Interval(np.log(low) + spread[0] / high, np.log(high) + spread[1] / low)


def _mixed(share: Array, known: Array, others: Array) -> Array:
    """Entropy of a mixture of two distributions over different tokens."""
    rest = 1 - share
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = -share * np.log(share) - rest * np.log(rest)
    shares = np.where((share > 0) & (rest > 0), shares, 0.0)
    found: Array = shares + rest * known + share * others
    return found
