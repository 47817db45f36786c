"""``flash_attn_with_kvcache`` in plain torch: attention over ExLlamaV2's paged cache.

Same arguments and meaning as flash-attn's, so that ExLlamaV2's paged mode,
batching and prefix cache work wherever torch does. Scores are never kept for a
whole sequence at once: torch's own attention kernels do that blockwise.

Shapes: ``q`` is ``(batch, new, heads, head_dim)``, a cache is ``(pages,
page_size, kv_heads, head_dim)``, ``table`` is ``(batch, blocks)`` page numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from workbench.errors import EngineError


@dataclass(frozen=True, slots=True)
class _Short:
    """The rows of a decode step whose keys lie in one page, in the order of their pages."""

    rows: Tensor | None  # None: all rows of the step, in their own order
    pages: Tensor | slice  # (rows,), or what picks evenly spaced pages without a copy
    mask: Tensor  # (rows, 1, 1, longest): 0 for the page's keys that a row sees, else -inf


@dataclass(frozen=True, slots=True)
class _Step:
    """What every layer of one forward pass shares, read from the tensors once."""

    lengths: Tensor  # (batch,) as given: identity says whether the step is still the same
    table: Tensor
    totals: list[int]  # keys each sequence's last query sees
    pages: list[list[int]]  # the pages that hold them
    slots: Tensor | None  # (batch, new) where the new keys go, or None when they are in the cache
    short: _Short | None  # taken together; None unless there are several


class PagedAttention:
    """Callable in the place of ``flash_attn_with_kvcache``.

    Holds the plan of the current forward pass: ExLlamaV2 hands every layer the
    same length and table tensors, and reading them costs a device round trip.
    """

    def __init__(self) -> None:
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
        step = self._plan(cache_seqlens, block_table, q.shape[1], k_cache.shape[1], k is not None)
        if step.slots is not None and k is not None and v is not None:
            k_cache.view(-1, *k_cache.shape[2:])[step.slots] = k.to(k_cache.dtype)
            v_cache.view(-1, *v_cache.shape[2:])[step.slots] = v.to(v_cache.dtype)
        scale = softmax_scale or q.shape[-1] ** -0.5
        if step.short is None:
            rows = range(len(q))
            parts = [
                _one(q[i : i + 1], k_cache, v_cache, step.pages[i], step.totals[i], scale)
                for i in rows
            ]
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        return _decode(q, k_cache, v_cache, step, step.short, scale)

    def _plan(
        self, lengths: Tensor, table: Tensor, new: int, page_size: int, append: bool
    ) -> _Step:
        step = self._step
        same = step is not None and step.lengths is lengths and step.table is table
        if step is not None and same and (step.slots is not None) == append:
            return step
        self._step = step = _plan(lengths, table, new, page_size, append)
        return step


def _plan(lengths: Tensor, table: Tensor, new: int, page_size: int, append: bool) -> _Step:
    totals = [length + new * append for length in lengths.tolist()]
    used = [-(-total // page_size) for total in totals]
    pages = [row[:count] for row, count in zip(table.tolist(), used, strict=True)]
    slots = _slots(lengths, table, new, page_size) if append else None
    short = _short(totals, pages, table.device) if new == 1 else None
    return _Step(lengths, table, totals, pages, slots, short)


def _short(totals: list[int], pages: list[list[int]], device: torch.device) -> _Short | None:
    rows = [i for i, used in enumerate(pages) if len(used) == 1]
    if len(rows) < 2:
        return None
    rows.sort(key=lambda i: pages[i][0])
    reach = torch.tensor([totals[i] for i in rows], device=device)
    unseen = torch.arange(int(reach.max()), device=device) >= reach[:, None]
    mask = torch.zeros(unseen.shape, device=device).masked_fill_(unseen, -torch.inf)
    return _Short(
        rows=None if rows == [*range(len(pages))] else torch.tensor(rows, device=device),
        pages=_evenly([pages[i][0] for i in rows], device),
        mask=mask[:, None, None],
    )


def _evenly(pages: list[int], device: torch.device) -> Tensor | slice:
    """Ascending pages as a slice where they are evenly spaced, as those of a fresh batch are."""
    step = pages[1] - pages[0]
    if step > 0 and pages == [*range(pages[0], pages[-1] + 1, step)]:
        return slice(pages[0], pages[-1] + 1, step)
    return torch.tensor(pages, device=device)


def _slots(lengths: Tensor, table: Tensor, new: int, page_size: int) -> Tensor:
    """Flat cache positions ``(batch, new)`` behind each sequence's cached tokens."""
    place = lengths[:, None].long() + torch.arange(new, device=lengths.device)
    return table.long().gather(1, place // page_size) * page_size + place % page_size


def _decode(
    q: Tensor, k_cache: Tensor, v_cache: Tensor, step: _Step, short: _Short, scale: float
) -> Tensor:
    """One new token a row: rows within one page together, longer ones each by itself."""
    reach = short.mask.shape[-1]
    keys, values = _picked(k_cache, short.pages, reach), _picked(v_cache, short.pages, reach)
    if short.rows is None:
        return _grouped(q, keys, values, scale, short.mask)
    out = torch.empty_like(q)
    out[short.rows] = _grouped(q[short.rows], keys, values, scale, short.mask)
    for i, pages in enumerate(step.pages):
        if len(pages) > 1:
            out[i : i + 1] = _one(q[i : i + 1], k_cache, v_cache, pages, step.totals[i], scale)
    return out


def _picked(cache: Tensor, pages: Tensor | slice, reach: int) -> Tensor:
    """The first ``reach`` entries of some pages; a view where the pages are a slice."""
    part = cache[:, :reach]
    return part[pages] if isinstance(pages, slice) else part.index_select(0, pages)


def _one(
    q: Tensor, k_cache: Tensor, v_cache: Tensor, pages: list[int], total: int, scale: float
) -> Tensor:
    """One sequence; its last query sees ``total`` keys."""
    keys, values = _sequence(k_cache, pages, total), _sequence(v_cache, pages, total)
    new = q.shape[1]
    if new == 1:
        return _grouped(q, keys, values, scale, None)
    keys, values = keys.to(q.dtype), values.to(q.dtype)
    mask = None
    if new < total:  # queries behind a cached prefix: the triangle sits at the lower right
        mask = torch.ones(new, total, dtype=torch.bool, device=q.device).tril(total - new)
    out = functional.scaled_dot_product_attention(
        q.transpose(1, 2),
        keys.transpose(1, 2),
        values.transpose(1, 2),
        attn_mask=mask,
        is_causal=mask is None,
        scale=scale,
        enable_gqa=keys.shape[2] != q.shape[2],
    )
    return out.transpose(1, 2)


def _grouped(q: Tensor, keys: Tensor, values: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    """Attention of single new tokens, the heads that share a key head taken as its queries.

    That needs no copy of keys per head, and no causal mask: the new token sees all keys.
    """
    batch, _, heads, width = q.shape
    kv_heads = keys.shape[2]
    out = functional.scaled_dot_product_attention(
        q.view(batch, kv_heads, heads // kv_heads, width),
        keys.to(q.dtype).transpose(1, 2),
        values.to(q.dtype).transpose(1, 2),
        attn_mask=None if mask is None else mask.to(q.dtype),
        scale=scale,
    )
    return out.reshape(batch, 1, heads, width)


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
