"""The law of sampling as tensor arithmetic: logits and settings in, ids out.

One row of logits is drawn in these steps:

1. repetition penalty, as in CTRL (Keskar et al. 2019, arXiv:1909.05858): the logit of
   every id already in the context is divided by the penalty when positive, else multiplied;
2. temperature: logits are divided by it; 0 is greedy, the most likely token, and nothing
   below applies;
3. top-k: the ``top_k`` most likely tokens stay;
4. nucleus (Holtzman et al. 2020, arXiv:1904.09751): the smallest set of most likely tokens
   whose share of the mass that top-k left reaches ``top_p``; the token that crosses the
   line is in it;
5. min-p: tokens at least ``min_p`` times as likely as the most likely one stay;
6. one draw: the inverse CDF of one uniform number, over the kept tokens in ascending id order.

Equal logits rank by id, the lower first, so every step is deterministic. Logits and the
penalty are float32, everything after is float64. Rows never influence one another: on a
CPU a row's arithmetic is the same, bit for bit, in any batch and on any number of threads.

Sorting a vocabulary is what costs, so only *candidates* are sorted: a set that provably
holds every kept token and that one comparison finds. A looser set costs time and changes
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.records import Sampling

_BLOCK = 256  # columns reduced together: a fixed shape adds up alike in any batch
_TWO_LEVELS = 4096  # columns from which a CPU finds a maximum faster in two steps
_ROUNDING = 1e-9  # far more than float64 loses in adding up a vocabulary


@dataclass(frozen=True, slots=True)
class Settings:
    """How rows are drawn, ready for arithmetic; float64 [rows, 1] each."""

    temperature: Tensor
    top_k: Tensor  # 0 where there is none
    top_p: Tensor  # infinite where there is none
    min_p: Tensor  # weight below which nothing is kept
    spare: Tensor  # share of the mass below which a token is certainly outside the nucleus
    u: Tensor  # the uniform numbers, in [0, 1)


def settings(rows: Sequence[tuple[Sampling, float]], logits: Tensor) -> Settings:
    """The settings of rows that are not greedy, each with its uniform number.

    Tokens lighter than ``(1 - top_p) * mass / vocabulary`` weigh less than ``1 - top_p``
    of the mass together, so the others reach ``top_p`` without them. ``spare`` is half of
    that: then the rounding of either sum decides nothing.
    """
    width = 2 * logits.shape[1]
    columns = [
        (
            s.temperature,
            s.top_k,
            s.top_p if s.top_p < 1 else math.inf,
            s.min_p,
            max(1 - s.top_p - _ROUNDING, 0) / width,
            u,
        )
        for s, u in rows
    ]
    table = torch.tensor(columns, dtype=torch.float64, device=logits.device)
    return Settings(*table[:, None].unbind(-1))


def penalised(logits: Tensor, rows: Sequence[int], seen: Sequence[Tensor], by: Tensor) -> Tensor:
    """A copy of the logits with the ids seen by some rows made less likely.

    Args:
        logits: float32 [all rows, vocabulary].
        rows: Which rows are penalised.
        seen: int64 [any length], one a penalised row; repeats count once.
        by: float32 [penalised rows], the penalties.
    """
    lengths = torch.tensor([len(ids) for ids in seen], device=logits.device)
    row = torch.tensor(rows, device=logits.device).repeat_interleave(lengths)
    column = torch.cat([ids.to(logits.device) for ids in seen])
    penalty = by.repeat_interleave(lengths)
    old = logits[row, column]
    return logits.index_put((row, column), torch.where(old > 0, old / penalty, old * penalty))


def ruled_out(logits: Tensor, pairs: Tensor) -> Tensor:
    """A copy of the logits with some ids made impossible; NaN and +inf stay, to be refused.

    Args:
        logits: float32 [rows, vocabulary].
        pairs: int64 [n, 2], row and id.
    """
    row, column = pairs.unbind(1)
    old = logits[row, column]
    return logits.index_put((row, column), torch.where(old < torch.inf, -torch.inf, old))


def largest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Value and lowest id of each row's largest logit, [rows] each; NaN where a row has one."""
    width = logits.shape[1]
    if width < _TWO_LEVELS or logits.is_cuda:
        value, index = logits.max(-1)
        return value, index
    block = _blocked(logits, lambda part: part.amax(-1)).argmax(-1, keepdim=True)
    columns = block * _BLOCK + torch.arange(_BLOCK, device=logits.device)
    value, inside = logits.gather(1, columns.clamp_(max=width - 1)).max(-1)
    return value, block[:, 0] * _BLOCK + inside


def plain(logits: Tensor, peak: Tensor, settings: Settings) -> Tensor:
    """Ids drawn from the whole vocabulary: [rows]. ``peak`` is float64 [rows, 1]."""
    return _inverse(_weights(logits, peak, settings.temperature), settings.u)[:, 0]


def truncated(logits: Tensor, peak: Tensor, settings: Settings, counted: bool) -> Tensor:
    """Ids drawn after top-k, nucleus and min-p: [rows].

    Args:
        logits: float32 [rows, vocabulary].
        peak: float64 [rows, 1], the largest logits.
        settings: How to draw.
        counted: Every row has a ``top_k`` above 0; else every row has 0.
    """
    if counted:
        mask, mass = _top_k(logits, settings), None
    else:
        mask, mass = _heavy(logits, peak, settings)
    ids, padding = _members(mask)
    near = logits.gather(1, ids).masked_fill_(padding, -torch.inf)
    weights = _weights(near, peak, settings.temperature)
    order = near.sort(dim=-1, descending=True, stable=True).indices  # ids ascend, so ties do
    ranked = weights.gather(1, order)
    weights.scatter_(1, order, ranked * _within(ranked, mass, settings))
    return ids.gather(1, _inverse(weights, settings.u))[:, 0]


def log_probabilities(logits: Tensor, ids: Tensor) -> Tensor:
    """Natural log of the softmax at some ids of each row: float64 [rows, n]."""
    return torch.log_softmax(logits, -1, dtype=torch.float64).gather(1, ids)


def most_likely(logits: Tensor, count: int) -> Tensor:
    """The ids of the ``count`` largest logits, largest first, equal ones by id: [rows, count]."""
    least = logits.topk(count).values[:, -1:]
    ids, padding = _members(~(logits < least))  # NaN, refused later, is less than nothing
    near = logits.gather(1, ids).masked_fill_(padding, -torch.inf)
    order = near.sort(dim=-1, descending=True, stable=True).indices
    return ids.gather(1, order[:, :count])


# --- candidates -----------------------------------------------------------------------------


def _top_k(logits: Tensor, settings: Settings) -> Tensor:
    """Mask of the tokens at least as likely as a row's ``top_k``-th."""
    count = settings.top_k.long().clamp_(max=logits.shape[1])
    best = logits.topk(int(count.max())).values
    return logits >= best.gather(1, count - 1)


def _heavy(logits: Tensor, peak: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Mask of the tokens that nucleus and min-p can keep, and the mass of all tokens."""
    weights = _weights(logits, peak, settings.temperature)
    mass = _mass(weights)
    return weights >= torch.maximum(settings.spare * mass, settings.min_p), mass


def _members(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Ids under a mask, ascending, and which of them are padding: [rows, most of a row]."""
    row, column = mask.nonzero(as_tuple=True)
    if len(mask) == 1 and len(column):
        return column[None], torch.zeros_like(column, dtype=torch.bool)[None]
    bounds = torch.searchsorted(row, torch.arange(len(mask) + 1, device=mask.device))
    start, counts = bounds[:-1], bounds.diff()
    places = torch.arange(max(1, int(counts.max())), device=mask.device)
    ids = row.new_zeros(len(mask), len(places))
    ids[row, torch.arange(len(row), device=mask.device) - start[row]] = column
    return ids, places >= counts[:, None]


def _within(ranked: Tensor, mass: Tensor | None, settings: Settings) -> Tensor:
    """Which candidates are kept, given their weights from the most likely one down.

    ``mass`` is that of the vocabulary; ``None`` where top-k sets it.
    """
    reached = ranked.cumsum(-1)
    kept = ranked >= settings.min_p
    rank = torch.arange(ranked.shape[1], device=ranked.device)
    if mass is None:
        last = settings.top_k.long().clamp_(max=ranked.shape[1]) - 1
        kept &= rank <= last
        mass = reached.gather(1, last)
    crossing = torch.searchsorted(reached, settings.top_p * mass)
    return kept & (rank <= crossing)


# --- arithmetic -----------------------------------------------------------------------------


def _weights(logits: Tensor, peak: Tensor, temperature: Tensor) -> Tensor:
    """The softmax's numerators, the most likely token's being 1: float64 [rows, n]."""
    return logits.double().sub_(peak).div_(temperature).exp_()


def _inverse(weights: Tensor, u: Tensor) -> Tensor:
    """The first column at which the cumulated weight exceeds ``u`` of the whole: [rows, 1]."""
    reached = weights.cumsum(-1)
    column = torch.searchsorted(reached, u * reached[:, -1:], right=True)
    return column.clamp_(max=weights.shape[1] - 1)  # only rows that will be refused get that far


def _mass(weights: Tensor) -> Tensor:
    return _blocked(weights, lambda part: part.sum(-1)).sum(-1, keepdim=True)


def _blocked(values: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """Reduce every run of ``_BLOCK`` columns, the last one shorter: [rows, blocks]."""
    whole = values.shape[1] // _BLOCK
    edge = whole * _BLOCK
    head = reduce(values[:, :edge].view(len(values), whole, _BLOCK))
    if edge == values.shape[1]:
        return head
    return torch.cat((head, reduce(values[:, edge:])[:, None]), 1)
