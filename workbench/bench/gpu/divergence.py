"""How far two ways of computing the same model lie apart, by their logits and by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def logits_apart(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> dict[str, Any]:
    """Compare logits behind the same ids.

    Args:
        ours: One float32 ``(positions, vocabulary)`` a text.
        theirs: Likewise; the yardstick.

    Returns:
        ``positions``; ``equal_argmax``: the share whose most likely id is the same;
        ``logit_difference_most`` and ``…_mean``: of absolute values; ``kl_most`` and
        ``kl_mean``: the divergence of ours from theirs a position, in nats,
        sum p (log p − log q) with p theirs and q ours.
    """
    mine, other = torch.cat(list(ours)).double(), torch.cat(list(theirs)).double()
    difference = (mine - other).abs()
    log_p, log_q = other.log_softmax(-1), mine.log_softmax(-1)
    kl = (log_p.exp() * (log_p - log_q)).sum(-1).clamp(min=0)
    return {
        "positions": len(mine),
        "equal_argmax": float((mine.argmax(-1) == other.argmax(-1)).double().mean()),
        "logit_difference_most": float(difference.max()),
        "logit_difference_mean": float(difference.mean()),
        "kl_most": float(kl.max()),
        "kl_mean": float(kl.mean()),
    }


def ids_apart(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Compare answers to the same requests.

    Returns:
        ``answers``; ``equal``: the share that is the same to the end; ``first_divergent``:
        the least place, from 0, at which any two differ, ``None`` where none do.
    """
    places = [divergent(a, b) for a, b in zip(ours, theirs, strict=True)]
    found = [place for place in places if place is not None]
    return {
        "answers": len(places),
        "equal": places.count(None) / len(places),
        "first_divergent": min(found, default=None),
    }


def divergent(one: Sequence[int], other: Sequence[int]) -> int | None:
    """The first place at which two answers differ; ``None``: they are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    place = next((place for place, (a, b) in pairs if a != b), None)
    if place is None and len(one) != len(other):
        return min(len(one), len(other))
    return place
