"""Recorded alternatives as columns, checked, with what is known of the candidates left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.errors import InvalidInput
from workbench.records import Alternatives, Generation

Array = npt.NDArray[Any]

MOST_IDS = 2**20  # of any vocabulary; those in use have up to about 262,000
_SINGLE = 2.0**-20  # error of a float32 log-softmax, times 1 + |log-probability|
_DOUBLE = 2.0**-40  # error of a float64 one over any vocabulary, the same way


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """The drawn tokens of some generations: n rows, and columns for up to k candidates.

    Rows of fewer candidates are padded at the right, with id -1 and log-probability -inf.
    """

    generation: Array  # int64 [n]: place among the generations
    index: Array  # int64 [n]: place among the ids of its generation
    ids: Array  # int64 [n]: what was chosen
    own: Array  # float64 [n]: its log-probability; NaN where it was not recorded
    candidates: Array  # int64 [n, k], most likely first
    logprobs: Array  # float64 [n, k]
    slop: Array  # float64 [n]: error of a log-probability, times 1 + |log-probability|
    counts: Array  # int64 [n]: candidates that are there
    rest: tuple[Array, Array]  # float64 [n] each: bounds of the mass of all others
    others: tuple[Array, Array]  # float64 [n] each: bounds of their number

    def __len__(self) -> int:
        return len(self.ids)

    def top(self, count: int) -> Recorded:
        """Without what top-k certainly removes; 0 removes nothing."""
        if not count:
            return self
        whole = self.counts < count
        (rest_low, rest_high), (low, high) = self.rest, self.others
        return replace(
            self,
            candidates=self.candidates[:, :count],
            logprobs=self.logprobs[:, :count],
            counts=np.minimum(self.counts, count),
            rest=(np.where(whole, rest_low, 0.0), np.where(whole, rest_high, 0.0)),
            others=(np.where(whole, low, 0.0), np.where(whole, high, 0.0)),
        )


def recorded(generations: Sequence[Generation], vocabulary: int | None) -> Recorded:
    """The drawn tokens of generations; forced ones were not drawn and are left out.

    Args:
        generations: Answers to requests with ``alternatives``.
        vocabulary: Ids that the model can draw; ``None``: at most ``MOST_IDS``.

    Raises:
        InvalidInput: Alternatives were not recorded or are no distribution; the draw was
            not from them; the vocabulary is too small for them.
    """
    for generation in generations:
        _check_request(generation)
    rows = list(chain.from_iterable(_rows(i, one) for i, one in enumerate(generations)))
    number, index, ids, own, ranks, asked = (
        zip(*rows, strict=True) if rows else ((), (), (), (), (), ())
    )
    counts, candidates, logprobs = _table(ranks)
    places = np.array(number, np.int64)
    slop = _slop(places, logprobs, np.array(own, np.float64), len(generations))
    _check_distribution(counts, logprobs)
    mass = _missing(logprobs, slop)
    if (mass[1] < 0).any():
        raise _no_distribution()
    # An engine gives fewer than it was asked for only where no others are possible.
    complete = (counts < np.array(asked, np.int64)) & (mass[0] <= 0)
    others = _others(counts, complete, mass[0] > 0, candidates, vocabulary)
    return Recorded(
        generation=places,
        index=np.array(index, np.int64),
        ids=np.array(ids, np.int64),
        own=np.array(own, np.float64),
        candidates=candidates,
        logprobs=logprobs,
        slop=slop,
        counts=counts,
        rest=_rest(mass, others, logprobs, counts, slop),
        others=others,
    )


def margin(logprobs: Array, slop: Array) -> Array:
    """How far each log-probability may be from the model's; 0 where there is none."""
    size = np.where(np.isfinite(logprobs), np.abs(logprobs) + 1, 0.0)
    found: Array = size * slop
    return found


# --- reading ----------------------------------------------------------------------------------

_Row = tuple[int, int, int, float, Alternatives, int]


def _rows(number: int, generation: Generation) -> Iterator[_Row]:
    index = 0
    asked = generation.request.alternatives
    for chunk in generation.chunks():
        if chunk.forced or not chunk.ids:
            index += len(chunk.ids)
            continue
        if chunk.alternatives is None:
            raise _unrecorded(f"Token {index}")
        own: Iterable[float] = chunk.logprobs or (np.nan,) * len(chunk.ids)
        for token, logprob, rank in zip(chunk.ids, own, chunk.alternatives, strict=True):
            yield number, index, token, logprob, rank, asked
            index += 1


def _table(ranks: Sequence[Alternatives]) -> tuple[Array, Array, Array]:
    """Number, ids and log-probabilities of each token's candidates: [n], [n, k] twice."""
    counts = np.fromiter(map(len, ranks), np.int64, len(ranks))
    flat = chain.from_iterable(chain.from_iterable(ranks))
    pairs = np.fromiter(flat, np.float64, 2 * int(counts.sum())).reshape(-1, 2)
    there = np.arange(max(1, counts.max(initial=1))) < counts[:, None]
    candidates = np.full(there.shape, -1, np.int64)
    logprobs = np.full(there.shape, -np.inf)
    candidates[there] = pairs[:, 0].astype(np.int64)
    logprobs[there] = pairs[:, 1]
    return counts, candidates, logprobs


def _slop(number: Array, logprobs: Array, own: Array, generations: int) -> Array:
    """Rounding of each row: float32's where every number of a generation is one, else float64's."""
    numbers = np.column_stack((logprobs, np.where(np.isnan(own), 0.0, own)))
    with np.errstate(over="ignore"):
        narrow = (numbers.astype(np.float32) == numbers).all(axis=1)
    wide = np.bincount(number, weights=~narrow, minlength=generations) > 0
    return np.where(wide[number], _DOUBLE, _SINGLE)


# --- what was left out ------------------------------------------------------------------------


def _others(
    counts: Array, complete: Array, some: Array, candidates: Array, vocabulary: int | None
) -> tuple[Array, Array]:
    """Bounds of the number of candidates that are not there; ``some``: at least one is missing."""
    if vocabulary is None:
        high = np.where(complete, 0, np.maximum(MOST_IDS - counts, 0)).astype(np.float64)
        return some.astype(np.float64), high
    least = max(candidates.max(initial=-1) + 1, counts.max(initial=1))
    if vocabulary < least:
        raise _too_small()
    number = np.where(complete, 0, vocabulary - counts).astype(np.float64)
    return number, number


def _missing(logprobs: Array, slop: Array) -> tuple[Array, Array]:
    """Bounds of one minus the sum of the candidates' probabilities, by rounding alone."""
    chances = np.exp(logprobs)
    left = 1 - chances.sum(axis=1)
    doubt = (chances * np.expm1(margin(logprobs, slop[:, None]))).sum(axis=1) + 1e-14
    return left - doubt, left + doubt


def _rest(
    mass: tuple[Array, Array],
    others: tuple[Array, Array],
    logprobs: Array,
    counts: Array,
    slop: Array,
) -> tuple[Array, Array]:
    """Bounds of the mass of all others: not negative, and each is at most the last candidate's."""
    last = np.take_along_axis(logprobs, counts[:, None] - 1, axis=1)[:, 0]
    fits = others[1] * np.exp(last + margin(last, slop))
    if (mass[0] > fits).any():
        raise _too_small()
    return np.maximum(mass[0], 0.0), np.minimum(np.maximum(mass[1], 0.0), fits)


# --- refusals ---------------------------------------------------------------------------------


def _check_request(generation: Generation) -> None:
    request, sampling = generation.request, generation.request.sampling
    if not request.alternatives:
        raise _unrecorded("A generation")
    if sampling.repetition_penalty != 1:
        raise InvalidInput(
            f"The draw had a repetition penalty of {sampling.repetition_penalty:g}, "
            "which the recorded alternatives do not contain.",
            remedy="Ask again with repetition_penalty=1.",
        )
    if sampling.min_tokens:
        raise InvalidInput(
            f"The model could not end its turn before token {sampling.min_tokens}, "
            "which the recorded alternatives do not contain.",
            remedy="Ask again without min_tokens.",
        )


def _check_distribution(counts: Array, logprobs: Array) -> None:
    there = np.arange(logprobs.shape[1]) < counts[:, None]
    numbers = np.where(there, logprobs, 0.0)
    usable = np.isfinite(numbers).all() and (numbers <= 1e-5).all() and counts.min(initial=1)
    if not usable or (logprobs[:, 1:] > logprobs[:, :-1]).any():
        raise _no_distribution()


def _no_distribution() -> InvalidInput:
    return InvalidInput(
        "The recorded alternatives are no distribution, most likely first.",
        remedy="Ask again with alternatives=20.",
    )


def _unrecorded(what: str) -> InvalidInput:
    return InvalidInput(
        f"{what} has no recorded alternatives.", remedy="Ask again with alternatives=20."
    )


def _too_small() -> InvalidInput:
    return InvalidInput(
        "The vocabulary is too small for the recorded alternatives.",
        remedy="Give the number of ids of the model, or leave it out.",
    )
