"""The figures of every drawn token under another setting, and how certain they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.counterfactual.cut import Kept, cut, entropy
from workbench.counterfactual.recorded import Recorded, recorded
from workbench.counterfactual.weights import Interval, Weights, doubt, scaled, weights
from workbench.records import Generation, Sampling

Array = npt.NDArray[Any]

TOLERANCE = 1e-3  # nats of an entropy; share of a probability


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """A figure of each of n tokens: bounds that hold, and whether they are close enough."""

    low: Array  # float64 [n]
    high: Array  # float64 [n]
    certain: Array  # bool [n]: there is a figure

    def __len__(self) -> int:
        return len(self.low)

    def __getitem__(self, token: int) -> float | None:
        return float(self.low[token] + self.high[token]) / 2 if self.certain[token] else None

    @property
    def coverage(self) -> float | None:
        """Share of the tokens that have a figure; ``None`` where there is no token."""
        return float(self.certain.mean()) if len(self) else None

    @property
    def mean(self) -> tuple[float, float] | None:
        """Bounds of the mean over all tokens; ``None`` where there is no token.

        The mean over the tokens that have a figure would be another: those without have
        the broadest distributions.
        """
        return (float(self.low.mean()), float(self.high.mean())) if len(self) else None


@dataclass(frozen=True, slots=True)
class TokenFigures:
    """One drawn token under another setting; ``None`` where the record leaves a figure open."""

    generation: int  # place among the generations given
    index: int  # place among the ids of its generation
    id: int
    size: int | None  # tokens that the setting keeps, the size of the nucleus
    entropy: float | None  # of the distribution that would have been drawn from, nats
    probability: float | None  # of the token in it


@dataclass(frozen=True, slots=True, eq=False)
class Counterfactual:
    """All drawn tokens under another setting, as columns of n."""

    sampling: Sampling  # temperature, top-p, top-k and min-p count
    generation: Array  # int64: place among the generations given
    index: Array  # int64: place among the ids of its generation
    ids: Array  # int64
    size: Quantity  # tokens that the setting keeps: a figure where it is exact
    entropy: Quantity  # nats: a figure where the bounds are within the tolerance
    probability: Quantity  # of the chosen token: where they are, in proportion to it

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[TokenFigures]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, token: int) -> TokenFigures:
        size = self.size[token]
        return TokenFigures(
            int(self.generation[token]),
            int(self.index[token]),
            int(self.ids[token]),
            None if size is None else int(size),
            self.entropy[token],
            self.probability[token],
        )


def counterfactual(
    generations: Generation | Iterable[Generation],
    *,
    temperature: float,
    top_p: float = 1.0,
    top_k: int = 0,
    min_p: float = 0.0,
    vocabulary: int | None = None,
    tolerance: float = TOLERANCE,
) -> Counterfactual:
    """What every drawn token's distribution would have been under another setting.

    Args:
        generations: One or several answers to requests with ``alternatives``. Ids that the
            engine wrote itself (``Chunk.forced``) and the stop token, which is not recorded,
            are left out.
        temperature: 0 is greedy: one token, of probability 1.
        top_p: See ``workbench.sampling``.
        top_k: The same.
        min_p: The same.
        vocabulary: Ids that the model can draw. ``None``: unknown, at most ``MOST_IDS``;
            that costs many figures above temperature 1 and the sizes of uncut distributions.
        tolerance: Most distance between the bounds of an entropy in nats, and of a
            probability as a share of it.

    Raises:
        InvalidInput: Alternatives were not recorded or are no distribution; the draw had a
            repetition penalty or ``min_tokens``; a setting is out of its range; the
            vocabulary is too small.
    """
    setting = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p)
    tokens = recorded(several(generations), vocabulary).top(top_k)
    found = weights(tokens, temperature, top_k) if temperature else None
    return figures(tokens, found, setting, tolerance)


def several(generations: Generation | Iterable[Generation]) -> list[Generation]:
    """One or several, as a list."""
    return [generations] if isinstance(generations, Generation) else list(generations)


def figures(
    tokens: Recorded, found: Weights | None, setting: Sampling, tolerance: float
) -> Counterfactual:
    """The figures of tokens, whose weights at the setting's temperature are given; greedy has none.

    Args:
        tokens: As ``Recorded.top(setting.top_k)`` leaves them.
        found: ``weights`` of them.
        setting: Which tokens are kept.
        tolerance: As of ``counterfactual``.
    """
    if found is None:
        size, spread, chance = _greedy(tokens)
    else:
        kept = cut(found, setting.top_p, setting.min_p)
        size, spread = kept.size, entropy(found, kept)
        uncut = setting.top_p >= 1 and not setting.min_p and not setting.top_k
        chance = _chosen(tokens, found, kept, setting.temperature, uncut=uncut)
    return Counterfactual(
        sampling=setting,
        generation=tokens.generation,
        index=tokens.index,
        ids=tokens.ids,
        size=_quantity(size, 0.0),
        entropy=_quantity(spread, tolerance),
        probability=_quantity(chance, tolerance * chance.high),
    )


def _quantity(bounds: Interval, most: Array | float) -> Quantity:
    return Quantity(bounds.low, bounds.high, bounds.high - bounds.low <= most)


def _greedy(tokens: Recorded) -> tuple[Interval, Interval, Interval]:
    right = (tokens.candidates[:, 0] == tokens.ids).astype(np.float64)
    one, none = np.ones(len(tokens)), np.zeros(len(tokens))
    return Interval(one, one), Interval(none, none), Interval(right, right)


def _chosen(
    tokens: Recorded, found: Weights, kept: Kept, temperature: float, *, uncut: bool
) -> Interval:
    """Bounds of the probability of what was chosen: its share of the kept weight."""
    same = tokens.candidates == tokens.ids[:, None]
    inside, at = same.any(axis=1), same.argmax(axis=1)
    stranger = _unlisted(tokens, found, temperature)
    low = np.where(inside, found.first(found.each.low, at), stranger.low)
    high = np.where(inside, found.first(found.each.high, at), stranger.high)
    place = np.where(inside, at, found.counts)
    surely = np.where(inside, kept.size.low > place, uncut)
    least = np.where(inside, kept.mass.low, np.maximum(kept.mass.low, found.known.low + low))
    return Interval(
        np.where(surely, low / kept.mass.high, 0.0),
        np.where(
            kept.size.high > place,
            np.minimum(high / np.where(surely, least, kept.mass.low), 1.0),
            0.0,
        ),
    )


def _unlisted(tokens: Recorded, found: Weights, temperature: float) -> Interval:
    """Bounds of the weight of a chosen token that is not among the candidates."""
    gap = tokens.own - tokens.logprobs[:, 0]
    by = doubt(tokens, tokens.own[:, None])[:, 0]
    low, high = np.exp(scaled(gap - by, temperature)), np.exp(scaled(gap + by, temperature))
    known = ~np.isnan(tokens.own)
    most = np.where(known, np.minimum(high, found.largest), found.largest)
    return Interval(np.where(known, np.minimum(low, most), 0.0), most)
