"""``flash_attn_with_kvcache`` in plain torch: attention over ExLlamaV2's paged cache.

Same arguments and meaning as flash-attn's, so that ExLlamaV2's paged mode,
batching and prefix cache work wherever torch does.

Shapes: ``q`` is ``(batch, new, heads, head_dim)``, a cache is ``(pages,
page_size, kv_heads, head_dim)``, ``table`` is ``(batch, blocks)`` page numbers.

torch's kernels want keys in a row, so where a request's pages are scattered, or
several rows are taken together, they are gathered first: the keys are read
twice and written once, where flash-attn reads them once. torch's own paged forms
(FlexAttention's block masks, varlen attention) spare that copy, but need a
compilation for every shape or a torch newer than the oldest that is supported.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.engines import attending
from workbench.engines.pages import Group, groups
from workbench.errors import EngineError


@dataclass(frozen=True, slots=True)
class _Step:
    """What every layer of one forward pass shares, read from the tensors once."""

    lengths: Tensor  # (batch,) as given: identity says whether the step is still the same
    table: Tensor
    totals: list[int]  # keys each sequence's last query sees
    pages: list[list[int]]  # the pages that hold them
    slots: Tensor | None  # (batch, new) where the new keys go, or None when they are in the cache
    together: list[Group]
    alone: list[int]  # the rows in no group


class PagedAttention:
    """Callable in the place of ``flash_attn_with_kvcache``.

    Holds the plan of the current forward pass: ExLlamaV2 hands every layer the
    same length and table tensors. Reading them is the only wait for the device,
    twice a pass (lengths, table), in its first layer.

    Args:
        gather: Take rows together that lie in several pages; default: on a GPU.
    """

    def __init__(self, *, gather: bool | None = None) -> None:
        self._gather = gather
        self._step: _Step | None = None

    def __call__(
        self,
        q: Tensor,
        k_cache: Tensor,
        v_cache: Tensor,
        k: Tensor | None = None,
        v: Tensor | None = None,
        *,
        cache_seqlens: Tensor,
        block_table: Tensor,
        causal: bool = True,
        softmax_scale: float | None = None,
    ) -> Tensor:
        """Append the new keys and values, then attend causally.

        Args:
            q: Queries.
            k_cache: Keys; written in place when ``k`` is given.
            v_cache: Values; likewise.
            k: ``(batch, new, kv_heads, head_dim)``, or ``None`` when the cache has them.
            v: As ``k``.
            cache_seqlens: ``(batch,)`` tokens in the cache before ``k`` is appended
                (all of them, when ``k`` is ``None``).
            block_table: Pages of each sequence, in order.
            causal: Must be true.
            softmax_scale: Factor on the scores; default ``head_dim ** -0.5``.

        Returns:
            ``(batch, new, heads, head_dim)`` in the dtype of ``q``.
        """
        if not causal:
            raise EngineError("Attention without a causal mask was asked for.", remedy="Report it.")
        step = self._plan(cache_seqlens, block_table, q.shape[1], k_cache, k is not None)
        if step.slots is not None and k is not None and v is not None:
            k_cache.view(-1, *k_cache.shape[2:])[step.slots] = k.to(k_cache.dtype)
            v_cache.view(-1, *v_cache.shape[2:])[step.slots] = v.to(v_cache.dtype)
        scale = softmax_scale or q.shape[-1] ** -0.5
        return _attend(q, k_cache, v_cache, step, scale).contiguous()

    def _plan(self, lengths: Tensor, table: Tensor, new: int, cache: Tensor, append: bool) -> _Step:
        step = self._step
        same = step is not None and step.lengths is lengths and step.table is table
        if step is not None and same and (step.slots is not None) == append:
            return step
        gather = cache.is_cuda if self._gather is None else self._gather
        self._step = step = _plan(lengths, table, new, cache, append, gather)
        return step


def _plan(
    lengths: Tensor, table: Tensor, new: int, cache: Tensor, append: bool, gather: bool
) -> _Step:
    page_size = cache.shape[1]
    totals = [length + new * append for length in lengths.tolist()]
    used = [-(-total // page_size) for total in totals]
    pages = [row[:count] for row, count in zip(table.tolist(), used, strict=True)]
    slots = _slots(lengths, table, new, page_size) if append else None
    together = groups(totals, pages, new, cache, gather=gather)
    grouped = {row for group in together for row in group.rows}
    alone = [row for row in range(len(totals)) if row not in grouped]
    return _Step(lengths, table, totals, pages, slots, together, alone)


def _slots(lengths: Tensor, table: Tensor, new: int, page_size: int) -> Tensor:
    """Flat cache positions ``(batch, new)`` behind each sequence's cached tokens."""
    place = lengths[:, None].long() + torch.arange(new, device=lengths.device)
    return table.long().gather(1, place // page_size) * page_size + place % page_size


def _attend(q: Tensor, k_cache: Tensor, v_cache: Tensor, step: _Step, scale: float) -> Tensor:
    if len(q) == 1:
        return _one(q, k_cache, v_cache, step, 0, scale)
    if len(step.together) == 1 and step.together[0].places is None:
        return _together(q, k_cache, v_cache, step.together[0], scale)
    out = torch.empty_like(q)
    for group in step.together:
        rows = slice(None) if group.places is None else group.places
        out[rows] = _together(q[rows], k_cache, v_cache, group, scale)
    for i in step.alone:
        out[i : i + 1] = _one(q[i : i + 1], k_cache, v_cache, step, i, scale)
    return out


def _together(q: Tensor, k_cache: Tensor, v_cache: Tensor, group: Group, scale: float) -> Tensor:
    """The rows of a group, their keys padded to the same length and masked."""
    keys, values = group.picked(k_cache), group.picked(v_cache)
    return attending.grouped(q, keys, values, scale, group.mask)


def _one(
    q: Tensor, k_cache: Tensor, v_cache: Tensor, step: _Step, row: int, scale: float
) -> Tensor:
    """One sequence; its last query sees all its keys."""
    pages, total = step.pages[row], step.totals[row]
    keys, values = _sequence(k_cache, pages, total), _sequence(v_cache, pages, total)
    if q.shape[1] == 1:
        return attending.grouped(q, keys, values, scale, None)
    return attending.behind(q, keys, values, scale)


def _sequence(cache: Tensor, pages: list[int], total: int) -> Tensor:
    """The first ``total`` entries of a sequence, ``(1, total, kv_heads, head_dim)``.

    A view where the pages lie in a row, as a fresh sequence's mostly do.
    """
    page_size, first = cache.shape[1], pages[0]
    if all(page == first + i for i, page in enumerate(pages)):
        flat = cache.view(-1, *cache.shape[2:])
        return flat[first * page_size : first * page_size + total][None]
    chosen = torch.tensor(pages, device=cache.device)
    return cache.index_select(0, chosen).flatten(0, 1)[:total][None]
