"""ExLlamaV2's quantised key/value cache in plain torch: round to nearest, in groups of 32.

The format is that of ExLlamaV2 0.3.2's CUDA kernels: 64 neighbouring values are two
interleaved groups, each turned by a Walsh-Hadamard transform of 32; then 32 neighbours
share a scale, their largest magnitude over half the number of steps. Four-bit values
lie two to a byte, the earlier one in the lower half. The kernels compute in fp16, these
functions in float32, so a rounding may fall to the other side.

Shapes: values ``(1, tokens, kv_heads, head_dim)``, bytes the same with fewer a byte,
scales ``(1, tokens, kv_heads, head_dim / 32)``.
"""

from __future__ import annotations

from functools import cache

import torch
from scipy.linalg import hadamard
from torch import Tensor

_TURNED = 32  # values that one transform turns
_GROUP = 32  # values that share a scale


def fp16_to_q_kv(
    k_in: Tensor,
    k_out: Tensor,
    k_scales: Tensor,
    v_in: Tensor,
    v_out: Tensor,
    v_scales: Tensor,
    batch_size: int,
    offset: int,
    width: int,
    page_size: int,
    cache_seqlens: Tensor,
    block_table: Tensor,
    wbits: int,
) -> None:
    """Store ``width`` new tokens of every row, which lie behind its ``cache_seqlens``."""
    starts = [(start, start + width) for start in cache_seqlens.tolist()]
    places = _places(starts, block_table.tolist()[:batch_size], page_size)
    _store(k_in, k_out, k_scales, places, 4 if wbits == 4 else 8)
    _store(v_in, v_out, v_scales, places, 8 if wbits == 8 else 4)


def q_to_fp16_kv(
    k_in: Tensor,
    k_out: Tensor,
    k_scales: Tensor,
    v_in: Tensor,
    v_out: Tensor,
    v_scales: Tensor,
    batch_size: int,
    offset: int,
    width: int,
    page_size: int,
    cache_seqlens: Tensor,
    block_table: Tensor,
    wbits: int,
) -> None:
    """Read the ``cache_seqlens`` tokens of every row into its pages of ``k_out``, ``v_out``."""
    held = [(0, length) for length in cache_seqlens.tolist()]
    places = _places(held, block_table.tolist()[:batch_size], page_size)
    if len(places):
        _read(k_in, k_scales, k_out, places, 4 if wbits == 4 else 8)
        _read(v_in, v_scales, v_out, places, 8 if wbits == 8 else 4)


def quantised(values: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Bytes and scales of values ``(tokens, width)``.

    Args:
        values: ``width`` is a multiple of 64.
        bits: 4 or 8 a value.

    Returns:
        uint8 ``(tokens, width * bits / 8)`` and fp16 ``(tokens, width / 32)``.
    """
    half = 2 ** (bits - 1)
    groups = _turned(values.float()).view(len(values), -1, _GROUP)
    largest = groups.abs().amax(-1, keepdim=True)
    steps = torch.where(largest > 0, groups / largest, 0.0) * half + half
    whole = steps.round().clamp(0, 2 * half - 1).to(torch.uint8).flatten(-2)
    scales = (largest.squeeze(-1) / half).half()
    return (whole if bits == 8 else whole[..., 0::2] | whole[..., 1::2] << 4), scales


def dequantised(packed: Tensor, scales: Tensor, bits: int) -> Tensor:
    """The values again, float32 ``(tokens, width)``."""
    half = 2 ** (bits - 1)
    if bits == 4:
        packed = torch.stack([packed & 15, packed >> 4], dim=-1).flatten(-2)
    groups = (packed.float() - half).view(len(packed), -1, _GROUP) * scales.float().unsqueeze(-1)
    return _turned(groups.flatten(1)) / _TURNED


def _turned(values: Tensor) -> Tensor:
    """Walsh-Hadamard transform, unscaled, of the two interleaved groups of every 64 values."""
    lanes = values.reshape(-1, _TURNED, 2)  # neighbours belong to different groups
    return (_hadamard() @ lanes).view(values.shape)


@cache
def _hadamard() -> Tensor:
    return torch.from_numpy(hadamard(_TURNED)).float()


def _places(spans: list[tuple[int, int]], table: list[list[int]], page_size: int) -> Tensor:
    """Where in the cache the tokens of every row lie, row after row."""
    found = [
        torch.arange(start, end) % page_size
        + page_size * torch.tensor(pages)[torch.arange(start, end) // page_size]
        for (start, end), pages in zip(spans, table, strict=False)
    ]
    return torch.cat(found)


def _store(values: Tensor, packed: Tensor, scales: Tensor, places: Tensor, bits: int) -> None:
    flat, shares = quantised(values[0, places].flatten(1), bits)
    packed[0, places] = flat.view(len(places), *packed.shape[2:])
    scales[0, places] = shares.view(len(places), *scales.shape[2:])


def _read(packed: Tensor, scales: Tensor, values: Tensor, places: Tensor, bits: int) -> None:
    flat = dequantised(packed[0, places].flatten(1), scales[0, places].flatten(1), bits)
    values[0, places] = flat.view(-1, *values.shape[2:]).to(values.dtype)
