"""What ExLlamaV2's converter calls of its extension, in plain torch and numpy.

Signatures are those of ``exllamav2_ext``: tensors are written in place. Matrices are float32
``(rows, columns)``, rows are inputs. Scales are float32 ``(columns,)``; an integer ``q`` stands
for ``(q - qzero) · scale``, multiplied in fp16 as ``reconstruct`` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg.blas import sger
from torch import Tensor

from workbench.engines.conversion.allocation import sim_anneal

_WORD = 32  # bits

Floats = NDArray[np.float32]


def quantize_err(
    weights: Tensor,
    errors: Tensor,
    scale: Tensor,
    qzero: float,
    maxq: float,
    norm: float,
    min_p: float,
    max_p: float,
    p_grid: int,
) -> None:
    """Add to row ``i`` of ``errors`` what rounding costs with the scales times the ``i``-th factor.

    Factors run evenly from ``min_p`` to ``max_p``; the cost is the sum of ``|error|^norm``. The
    kernel spreads it over the columns of ``errors``, which its caller sums; here one has it all.
    """
    values, base = weights.numpy(), scale.numpy()
    off, space = np.empty_like(values), np.empty_like(values)
    for i in range(p_grid + 1):
        share = i / p_grid
        step = base * np.float32(min_p * (1 - share) + max_p * share)
        np.divide(values, step, out=off)
        np.rint(off, out=off)
        np.clip(off, np.float32(-qzero), np.float32(maxq - qzero), out=off)
        off *= step
        off -= values
        errors[i, 0] += _cost(np.abs(off, out=off), norm, space)


def quantize_range(
    quant: Tensor,
    scale: Tensor,
    out_q: Tensor,
    qzero: float,
    maxq: float,
    hessian_inv: Tensor,
    weights: Tensor,
    error: Tensor,
    a: int,
    b: int,
) -> None:
    """Round rows ``a`` to ``b`` in turn, each row's error made good in the rows after it (GPTQ).

    Args:
        quant: Receives what the rounded rows stand for.
        scale: Of these rows.
        out_q: int16, receives the integers; a meta tensor receives nothing.
        qzero: The integer that stands for 0.
        maxq: The largest integer.
        hessian_inv: ``(rows, rows)``, upper Cholesky factor of the inverse Hessian.
        weights: Receives the corrections.
        error: Receives each row's error over the factor's diagonal.
        a: The first row.
        b: The row after the last.
    """
    factor, left, missed = hessian_inv.numpy(), weights.numpy(), error.numpy()
    made, steps = quant.numpy(), scale.numpy()
    integers = None if out_q.is_meta else out_q.numpy()
    for row in range(a, b):
        whole, made[row] = _rounded(left[row], steps, qzero, maxq)
        if integers is not None:
            integers[row] = whole
        missed[row] = (left[row] - made[row]) / factor[row, row]
        sger(-1, missed[row], factor[row, row:b], a=left[row:b].T, overwrite_a=1)
    left[b:] -= factor[a:b, b:].T @ missed[a:b]


def quantize_range_inplace(
    weights: Tensor, scale: Tensor, out_q: Tensor, qzero: float, maxq: float, a: int, b: int
) -> None:
    """Round rows ``a`` to ``b`` of ``weights`` to the nearest; ``out_q`` receives the integers."""
    left = weights.numpy()
    whole, left[a:b] = _rounded(left[a:b], scale.numpy(), qzero, maxq)
    if not out_q.is_meta:
        out_q.numpy()[a:b] = whole


def pack_rows_4(numbers: Tensor, words: Tensor) -> None:
    """Numbers from 1 to 16, int16 ``(n, columns)``, as four bits each, eight to an int32."""
    lanes = (numbers.long() - 1).view(len(numbers), -1, 8)
    words.copy_((lanes << torch.arange(8) * 4).sum(-1).to(torch.int32))


def pack_columns(integers: Tensor, words: Tensor, bits: int) -> None:
    """int16 ``(rows, columns)``, bit by bit down the int32 words of each column."""
    start = torch.arange(len(integers)) * bits
    word, shift = start // _WORD, (start % _WORD)[:, None]
    spread = integers.long() << shift  # up to 39 bits: what is above the word goes to the next
    packed = torch.zeros(len(words) + 1, integers.shape[1], dtype=torch.long)
    packed.index_add_(0, word, spread & 0xFFFFFFFF)
    packed.index_add_(0, word + 1, spread >> _WORD)
    words.copy_(packed[:-1].to(torch.int32))


def _cost(errors: Floats, norm: float, space: Floats) -> float:
    """The sum of ``errors^norm``; overwrites both arrays."""
    if norm != 3.5:
        return float(np.power(errors, np.float32(norm), out=space).sum())
    np.sqrt(errors, out=space)
    space *= errors
    errors *= errors
    return float(np.vdot(errors, space))


def _rounded(values: Floats, steps: Floats, qzero: float, maxq: float) -> tuple[Floats, Floats]:
    """Integers, and what they stand for: multiplied in fp16, as the kernels do."""
    whole = np.clip(np.rint(values / steps) + np.float32(qzero), 0, np.float32(maxq))
    centred = whole.astype(np.float16) - np.float16(qzero)
    return whole, (centred * steps.astype(np.float16)).astype(np.float32)


FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "quantize_err": quantize_err,
        "quantize_range": quantize_range,
        "quantize_range_inplace": quantize_range_inplace,
        "pack_rows_4": pack_rows_4,
        "pack_columns": pack_columns,
        "sim_anneal": sim_anneal,
    }
)
