"""Causal attention over keys that lie in a row, by torch's kernels; none keeps all scores.

Queries ``(batch, new, heads, head_dim)`` are a sequence's last ones, keys and values are
``(batch, total, kv_heads, head_dim)``; the triangle of the mask sits at the lower right.

For a piece of a prompt there are two ways, chosen by what torch says of the tensors:

- its flash kernel, which knows that triangle and shares key heads among query heads
  (half precision on compute capability 8.0 and newer): nothing is kept but the result;
- elsewhere queries in blocks, each against the keys that it sees, under a mask. Torch
  may keep a block's scores then, in float32: so many queries are taken at a time that
  these stay within ``SCORES``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.backends.cuda import SDPAParams, can_use_flash_attention
from torch.nn import functional
from torch.nn.attention.bias import causal_lower_right

SCORES = 2**28  # bytes of float32 scores that are kept at once, at most


def behind(q: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """A piece of one sequence's prompt, behind what the cache holds of it.

    Args:
        q: ``(1, new, heads, head_dim)``.
        keys: ``(1, total, kv_heads, head_dim)``, the piece's own included.
        values: As ``keys``.
        scale: Factor on the scores.

    Returns:
        ``(1, new, heads, head_dim)`` in the dtype of ``q``.
    """
    keys, values = keys.to(q.dtype), values.to(q.dtype)
    if fused(q, keys, values):
        return _lower_right(q, keys, values, scale)
    new, total = q.shape[1], keys.shape[1]
    size = block(q.shape[2], total)
    parts = [
        _block(q[:, i : i + size], keys[:, :seen], values[:, :seen], scale)
        for i in range(0, new, size)
        for seen in [total - new + min(i + size, new)]
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def grouped(q: Tensor, keys: Tensor, values: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    """Attention of a few new tokens a row, the heads that share a key head taken as its queries.

    That needs no copy of keys per head, and every kernel of torch takes it.

    Args:
        q: ``(batch, new, heads, head_dim)``.
        keys: ``(batch, reach, kv_heads, head_dim)``.
        values: As ``keys``.
        scale: Factor on the scores.
        mask: ``(batch, 1, new, reach)``, added to the scores; ``None``: all keys are seen.
    """
    batch, new, heads, width = q.shape
    kv_heads, share = keys.shape[2], heads // keys.shape[2]
    out = functional.scaled_dot_product_attention(
        q.view(batch, new, kv_heads, share, width).permute(0, 2, 3, 1, 4).flatten(2, 3),
        keys.to(q.dtype).transpose(1, 2),
        values.to(q.dtype).transpose(1, 2),
        attn_mask=None if mask is None else _for_heads(mask.to(q.dtype), share),
        scale=scale,
    )
    return out.view(batch, kv_heads, share, new, width).permute(0, 3, 1, 2, 4).flatten(2, 3)


def fused(q: Tensor, keys: Tensor, values: Tensor) -> bool:
    """Whether torch's flash kernel takes these tensors here, key heads shared as they are."""
    if not q.is_cuda:
        return False
    query, key, value = (part.transpose(1, 2) for part in (q, keys, values))
    asked = SDPAParams(query, key, value, None, 0.0, False, True)
    return bool(can_use_flash_attention(asked))


def shares_heads(q: Tensor) -> bool:
    """Whether a kernel under a mask takes fewer key heads than query heads: not on a GPU."""
    return not q.is_cuda


def block(heads: int, total: int) -> int:
    """Queries that are taken at a time, their scores within ``SCORES`` bytes; at least one."""
    return max(1, SCORES // (4 * heads * total))


def _lower_right(q: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    out: Tensor = functional.scaled_dot_product_attention(
        q.transpose(1, 2),
        keys.transpose(1, 2),
        values.transpose(1, 2),
        attn_mask=causal_lower_right(q.shape[1], keys.shape[1]),
        scale=scale,
        enable_gqa=True,
    )
    return out.transpose(1, 2)


def _block(q: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Some queries of a piece; the last of them sees all the keys that are given."""
    new, total = q.shape[1], keys.shape[1]
    if not shares_heads(q):
        added = torch.full((new, total), -torch.inf, dtype=q.dtype, device=q.device)
        return grouped(q, keys, values, scale, added.triu_(total - new + 1)[None, None])
    mask = None
    if new < total:
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


def _for_heads(mask: Tensor, share: int) -> Tensor:
    """The mask of ``new`` queries as that of ``share * new``, a head's queries in a row."""
    batch, _, new, reach = mask.shape
    if new == 1:
        return mask
    return mask.expand(batch, share, new, reach).reshape(batch, 1, share * new, reach)
