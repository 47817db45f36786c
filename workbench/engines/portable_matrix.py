"""EXL2 and GPTQ weights in plain torch: ExLlamaV2's quantised matrices, dequantised at load.

The formats are those that ExLlamaV2 0.3.2's ``reconstruct`` kernels read, and the values
are theirs to the bit: integers and scales are multiplied in fp16.

EXL2: a column's integers follow one another bit by bit through the 32-bit words of that
column, rows sorted by importance (``q_perm`` says which input a row belongs to). Rows form
groups, each with its own number of bits; a group's scale is ``(s + 1)² · q_scale_max``, with
``s`` four bits a column. Value: ``(q - 2^(bits - 1)) · scale``.

GPTQ: eight four-bit integers a word, a scale and a zero a group and column. Value:
``(q - (zero + 1)) · scale``; ``g_idx`` names the group of each row where rows were sorted
by importance (``act_order``).

Shapes: a matrix has ``rows`` inputs and ``columns`` outputs, as ``hidden @ matrix`` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor

_WORD = 32  # bits
_NIBBLES = 8  # four-bit numbers a word


@dataclass(frozen=True, slots=True)
class Matrix:
    """What a handle of the extension stands for."""

    weight: Tensor  # fp16 (rows, columns)
    bias: Tensor | None  # fp16 (columns,)


class Matrices:
    """The quantised matrices of a process by their handles, as the extension numbers them."""

    def __init__(self) -> None:
        self._held: dict[int, Matrix] = {}
        self._handles = count(1)  # 0 stands for no matrix

    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """Name and stand-in of the extension's functions on quantised matrices."""
        return {
            "make_q_matrix": self.make,
            "free_q_matrix": self.free,
            "reconstruct": self.reconstruct,
            "gemm_half_q_half": self.multiply,
        }

    def make(
        self,
        q_weight: Tensor,
        q_perm: Tensor,
        q_invperm: Tensor,
        q_scale: Tensor,
        q_scale_max: Tensor,
        q_groups: Tensor,
        q_group_map: Tensor,
        gptq_qzeros: Tensor,
        gptq_scales: Tensor,
        gptq_g_idx: Tensor,
        bias: Tensor,
        temp_dq: Tensor,
        max_dq_rows: int,
    ) -> int:
        """Dequantise a matrix; what is a meta tensor is not there. Returns its handle."""
        if q_scale.is_meta:
            rows = None if gptq_g_idx.is_meta else gptq_g_idx
            weight = gptq(q_weight, gptq_qzeros, gptq_scales, rows)
        else:
            order = None if q_perm.is_meta else q_perm
            weight = exl2(q_weight, q_scale, q_scale_max, q_groups, order)
        handle = next(self._handles)
        self._held[handle] = Matrix(weight, None if bias.is_meta else bias)
        return handle

    def free(self, handle: int) -> None:
        """Forget a matrix."""
        del self._held[handle]

    def reconstruct(self, handle: int, out: Tensor) -> None:
        """Write the fp16 matrix, without its bias, into ``out`` ``(rows, columns)``."""
        out.copy_(self._held[handle].weight)

    def multiply(self, a: Tensor, handle: int, out: Tensor, force_cuda: bool) -> None:
        """``out = a @ matrix + bias``, summed in float32; ``a`` is ``(n, rows)``."""
        matrix = self._held[handle]
        product = a.float() @ matrix.weight.float()
        out.copy_(product if matrix.bias is None else product + matrix.bias.float())


def exl2(
    words: Tensor, scales: Tensor, scale_max: Tensor, groups: Tensor, order: Tensor | None
) -> Tensor:
    """An EXL2 matrix, fp16 ``(rows, columns)``.

    Args:
        words: int32 ``(words, columns)``.
        scales: int32 ``(groups, columns / 8)``.
        scale_max: fp16 ``(groups,)``, already divided by 256.
        groups: int16 ``(2 · groups,)``: of each group its bits and its first row of words.
        order: int16 ``(rows,)``, read unsigned: the input that each stored row belongs to;
            ``None``: the inputs are in stored order.
    """
    table = groups.view(-1, 2).tolist()
    ends = [start for _, start in table[1:]] + [len(words)]
    steps = (nibbles(scales) + 1).square().half() * scale_max[:, None]  # (groups, columns)
    parts = [
        (unpacked(words[start:end], bits) - 2 ** (bits - 1)).half() * step
        for (bits, start), end, step in zip(table, ends, steps, strict=True)
    ]
    stored = torch.cat(parts)
    if order is None:
        return stored
    matrix = torch.empty_like(stored)
    matrix[order.long() & 0xFFFF] = stored
    return matrix


def gptq(words: Tensor, zeros: Tensor, scales: Tensor, group_of: Tensor | None) -> Tensor:
    """A four-bit GPTQ matrix, fp16 ``(rows, columns)``.

    Args:
        words: int32 ``(rows / 8, columns)``.
        zeros: int32 ``(groups, columns / 8)``, one less than the zero each.
        scales: fp16 ``(groups, columns)``.
        group_of: int32 ``(rows,)``; ``None``: rows fill the groups in turn, each of the
            smallest power of two that takes them all.
    """
    integers = unpacked(words, 4)
    if group_of is None:
        size = 1
        while size * len(scales) < len(integers):
            size *= 2
        group_of = torch.arange(len(integers)) // size
    rows = group_of.long()
    return (integers - (nibbles(zeros) + 1)[rows]).half() * scales[rows]


def unpacked(words: Tensor, bits: int) -> Tensor:
    """Integers that lie bit by bit down the columns of int32 ``(n, columns)``; rows int64."""
    unsigned = words.long() & 0xFFFFFFFF
    start = torch.arange(len(words) * _WORD // bits) * bits
    word, shift = start // _WORD, (start % _WORD)[:, None]
    low = unsigned[word] >> shift
    high = unsigned[(word + 1).clamp(max=len(words) - 1)] << (_WORD - shift)
    integers: Tensor = (low | high) & (2**bits - 1)
    return integers


def nibbles(words: Tensor) -> Tensor:
    """The eight four-bit numbers of each int32 of ``(n, m)``; int64 ``(n, 8 · m)``."""
    shifts = torch.arange(_NIBBLES) * 4
    spread: Tensor = words.long().unsqueeze(-1) >> shifts & 15
    return spread.view(len(words), -1)


def make_group_map(q_groups: Tensor, words: int) -> Tensor:
    """Of each row its group and how many rows of that are left; int16 ``(2 · rows,)``."""
    table = q_groups.view(-1, 2).tolist()
    ends = [start for _, start in table[1:]] + [words]
    rows = [
        (group, left)
        for group, ((bits, start), end) in enumerate(zip(table, ends, strict=True))
        for left in range((end - start) * _WORD // bits, 0, -1)
    ]
    return torch.tensor(rows, dtype=torch.short).flatten()


def tensor_remap(words: Tensor, index: Tensor) -> None:
    """Column ``i`` becomes what column ``index[i]`` was."""
    words.copy_(words[:, index.long()])


def tensor_remap_4bit(words: Tensor, index: Tensor) -> None:
    """The same for four-bit numbers, eight of them in a word."""
    moved = nibbles(words)[:, index.long()].view(len(words), -1, _NIBBLES)
    packed = (moved << torch.arange(_NIBBLES) * 4).sum(-1)
    words.copy_(packed.to(torch.int32))


def make_block(*args: Any) -> int:
    """A handle for an attention or feed-forward block; the portable engine runs neither fused."""
    return 1


def free_block(handle: int) -> None:
    """Nothing was kept for it."""
