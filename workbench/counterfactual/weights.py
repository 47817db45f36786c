"""Candidates at another temperature, and how much the candidates left out can weigh there.

A weight is a probability relative to the most likely token's, to the power a = 1/T, as in
the law of sampling. Let q be the n unknown probabilities, relative to the largest, r their
sum, and c = min(r, p_k), where p_k is the least known one: each q is at most c. Their
weight W = sum q^a then lies between

- *concentrated*, r c^(a-1): as q^a = q q^(a-1), and q^(a-1) is at most c^(a-1) for a > 1
  and at least that for a < 1;
- *even*, n (r/n)^a: the power mean inequality, x^a being convex for a > 1 (then W is at
  least that) and concave for a < 1 (at most).

At a = 1 both are r, so T = 1 leaves nothing open but entropies. Both rise with r, the even
one gets wider with n, so bounds of r and n from above and below give bounds of W.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.counterfactual.recorded import Recorded, margin

Array = npt.NDArray[Any]

_NOTHING = -800.0  # its exponential is 0 in float64


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """Bounds of some numbers, element by element."""

    low: Array
    high: Array


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """n tokens at one temperature. Column i of a sum is that of the first i candidates."""

    counts: Array  # int64 [n]: candidates that are there
    each: Interval  # [n, k]
    mass: Interval  # [n, k + 1]: sums of the weights
    spread: Interval  # [n, k + 1]: sums of -w ln w
    rest: Interval  # [n]: weight of all others that top-k leaves
    others: Interval  # [n]: their number
    largest: Array  # [n]: the heaviest of them is at most so heavy

    def first(self, sums: Array, count: Array) -> Array:
        """Column ``count`` of each row."""
        found: Array = np.take_along_axis(sums, count[:, None], axis=1)[:, 0]
        return found

    @property
    def known(self) -> Interval:
        """Mass of the candidates: [n]."""
        return Interval(self.mass.low[:, -1], self.mass.high[:, -1])

    @property
    def whole(self) -> Interval:
        """Mass of all that top-k leaves: [n]."""
        known = self.known
        return Interval(known.low + self.rest.low, known.high + self.rest.high)


def weights(tokens: Recorded, temperature: float, top_k: int) -> Weights:
    """Candidates at a temperature above 0, and bounds of what the others weigh there.

    Args:
        tokens: As ``Recorded.top(top_k)`` leaves them.
        temperature: Of the draw.
        top_k: Of the draw; 0 where there is none.
    """
    low, high = _logs(tokens, temperature)
    each = Interval(np.exp(low), np.exp(high))
    rest, largest = _rest(tokens, temperature)
    others = Interval(*tokens.others)
    if top_k:
        rest, others = _limited(rest, others, largest, top_k - tokens.counts)
    return Weights(
        counts=tokens.counts,
        each=each,
        mass=Interval(_sums(each.low), _sums(each.high)),
        spread=_spread(low, high, each),
        rest=rest,
        others=others,
        largest=largest,
    )


def doubt(tokens: Recorded, logprobs: Array) -> Array:
    """How far the distance of log-probabilities ``[n, …]`` to the largest may be from the truth."""
    slop = tokens.slop[:, None]
    found: Array = margin(logprobs, slop) + margin(tokens.logprobs[:, :1], slop)
    return found


def _logs(tokens: Recorded, temperature: float) -> tuple[Array, Array]:
    """Bounds of the logarithms of the weights; the first is 0, exactly."""
    gap = tokens.logprobs - tokens.logprobs[:, :1]
    by = doubt(tokens, tokens.logprobs)
    by[:, 0] = 0.0
    return scaled(gap - by, temperature), scaled(gap + by, temperature)


def scaled(gap: Array, temperature: float) -> Array:
    """Logarithms of weights from distances to the most likely token."""
    with np.errstate(over="ignore"):
        found: Array = np.clip(gap / temperature, _NOTHING, 0.0)
    return found


def _sums(columns: Array) -> Array:
    sums = np.zeros((columns.shape[0], columns.shape[1] + 1))
    np.cumsum(columns, axis=1, out=sums[:, 1:])
    return sums


def _spread(low: Array, high: Array, each: Interval) -> Interval:
    """-w ln w rises up to w = 1/e, where it is 1/e, and falls from there."""
    ends = -low * each.low, -high * each.high
    most = np.where((low < -1) & (high > -1), np.exp(-1), np.maximum(*ends))
    return Interval(_sums(np.minimum(*ends)), _sums(most))


def _rest(tokens: Recorded, temperature: float) -> tuple[Interval, Array]:
    """Bounds of the others' weight, and of the heaviest of them from above."""
    peak = tokens.logprobs[:, 0]
    by = margin(peak, tokens.slop)
    last = np.take_along_axis(tokens.logprobs, tokens.counts[:, None] - 1, axis=1)[:, 0]
    cap = np.minimum(last - peak + doubt(tokens, last[:, None])[:, 0], 0.0)
    there = tokens.others[1] > 0
    number = np.log(np.where(there, tokens.others[1], 1.0))
    with np.errstate(divide="ignore"):
        low, high = np.log(tokens.rest[0]) - peak - by, np.log(tokens.rest[1]) - peak + by
    if temperature < 1:
        bounds = _even(low, number, temperature), _concentrated(high, cap, temperature)
    else:
        bounds = _concentrated(low, cap, temperature), _even(high, number, temperature)
    largest = np.where(there, np.exp(scaled(np.minimum(high, cap), temperature)), 0.0)
    return Interval(*(np.where(there, bound, 0.0) for bound in bounds)), largest


def _even(mass: Array, number: Array, temperature: float) -> Array:
    """Weight of equal shares, from the logarithms of their sum and their number."""
    with np.errstate(over="ignore"):
        found: Array = np.exp(number + (mass - number) / temperature)
    return found


def _concentrated(mass: Array, cap: Array, temperature: float) -> Array:
    """Weight of the fewest shares of at most ``cap`` that make up a mass; all logarithms."""
    share = np.where(mass > -np.inf, np.minimum(mass, cap), 0.0)
    with np.errstate(over="ignore"):
        found: Array = np.exp(mass + share / temperature - share)
    return found


def _limited(
    rest: Interval, others: Interval, largest: Array, room: Array
) -> tuple[Interval, Interval]:
    """What top-k leaves of the others: the ``room`` heaviest of them."""
    share = np.minimum(1.0, room / np.maximum(others.high, 1.0))  # of the weight, at the least
    heaviest = Interval(rest.low * share, np.minimum(rest.high, room * largest))
    return heaviest, Interval(np.minimum(others.low, room), np.minimum(others.high, room))
