"""ExLlamaV2's native sampler in plain torch, its quirks included: for machines without CUDA.

By the source of ExLlamaV2 0.3.2's extension. Temperature, top-k, top-p, min-p and the
repetition penalty are there; what nothing here asks for is not. Among equally likely
candidates another may come first than in the extension.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

import torch
from torch import Tensor

_GREEDY = 0.01  # temperatures below are greedy
_TINY = 1e-6  # candidates below are never in a nucleus
_SHORT_OF_ONE = 0.9998  # keeps the drawn point inside a mass that rounding made smaller than 1


def apply_rep_penalty(
    ids: Tensor,
    penalty: float,
    sustain: int,
    decay: int,
    frequency: float,
    presence: float,
    logits: Tensor,
) -> None:
    """Divide the positive logits of ids that were seen by the penalty, multiply the others.

    Args:
        ids: int64 ``(rows, n)``.
        penalty: 1 is none.
        sustain: Must be -1: over the whole text.
        decay: Must be 0.
        frequency: Must be 0, as ``presence``.
        presence: See ``frequency``.
        logits: float32 ``(rows, 1, vocabulary)``, written in place.
    """
    if (sustain, decay, frequency, presence) != (-1, 0, 0.0, 0.0):
        raise NotImplementedError("The portable natives know the plain repetition penalty only.")
    for own, row in zip(ids, logits[:, 0], strict=True):
        seen = own.unique()
        seen = seen[seen < len(row)]
        old = row[seen]
        row[seen] = torch.where(old > 0, old / penalty, old * penalty)


def sample_basic(
    logits: Tensor,
    temperature: float,
    top_k: int,
    top_p: float,
    top_a: float,
    min_p: float,
    tfs: float,
    typical: float,
    random: float,
    output_tokens: Tensor,
    output_probs: Tensor,
    *rest: Any,
) -> list[float]:
    """Draw one token a row of ``(rows, 1, vocabulary)``; ids and probabilities are written."""
    if top_a or tfs or typical:
        raise NotImplementedError("The portable natives know top-k, top-p and min-p only.")
    greedy = temperature < _GREEDY
    for i, row in enumerate(logits[:, -1].float()):
        weights = torch.softmax(row if greedy else row / temperature, -1)
        token, share = _drawn(weights, 1 if greedy else top_k, top_p, min_p, random * _SHORT_OF_ONE)
        output_tokens[i, 0], output_probs[i, 0] = token, share
    return []


def _drawn(
    weights: Tensor, top_k: int, top_p: float, min_p: float, point: float
) -> tuple[int, float]:
    ids = torch.arange(len(weights))
    if 0 < top_k < len(weights):
        weights, ids = weights.sort(descending=True, stable=True)
        weights, ids = weights[:top_k], ids[:top_k]
        weights = weights / weights.sum()
    if len(ids) > 1 and 0 < top_p < 1:
        kept = torch.tensor(nucleus(weights.tolist(), top_p))
        weights, ids = weights[kept] / weights[kept].sum(), ids[kept]
    if len(ids) > 1 and 0 < min_p < 1:
        kept = weights >= min_p * weights.max()
        weights, ids = weights[kept] / weights[kept].sum(), ids[kept]
    place = int(torch.searchsorted(weights.cumsum(-1), torch.tensor(point), right=True))
    place = min(place, len(ids) - 1)
    return int(ids[place]), float(weights[place])


def nucleus(weights: list[float], top_p: float) -> list[int]:
    """The candidates that the extension's top-p keeps, likeliest first.

    It adds them up in the order in which they come, and throws out the smallest as long as
    the sum is above ``top_p``: so the one that crosses the line goes, and smaller ones that
    still fit stay.
    """
    heap: list[tuple[float, int]] = []
    total = 0.0
    for place, weight in enumerate(weights):
        if weight < _TINY or (total > top_p and weight < heap[0][0]):
            continue
        heappush(heap, (weight, place))
        total += weight
        while total > top_p and len(heap) > 1:
            total -= heappop(heap)[0]
    return [place for _, place in sorted(heap, reverse=True)]
