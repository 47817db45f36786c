"""Random numbers by the gigabyte: a fixed pool of them, read from ever other places.

Drawing every weight of an 8B takes minutes, copying it seconds. Within one matrix nothing
repeats as long as it is no larger than the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

_NUMBERS = 2**26  # fp16: 128 MiB; the largest matrix of an 8B's layer has fewer
_PIECE = 2**22  # drawn at a time, in float32
_STRIDE = 7_919_993  # by which the place moves from tensor to tensor; prime, so it comes round late


class Pool:
    """Half-precision normal numbers and 32-bit patterns.

    Args:
        seed: Two pools of one seed give the same.
        numbers: How many before they repeat.
    """

    def __init__(self, seed: int = 0, numbers: int = _NUMBERS) -> None:
        source = torch.Generator().manual_seed(seed)
        self._normal = torch.empty(numbers, dtype=torch.float16)
        for start in range(0, numbers, _PIECE):
            part = self._normal[start : start + _PIECE]
            part.copy_(torch.randn(len(part), generator=source))
        words = torch.randint(-(2**31), 2**31, (numbers // 2,), generator=source)
        self._words = words.to(torch.int32)
        self._source = source
        self._place = 0

    def normal(self, shape: Sequence[int], scale: float) -> Tensor:
        """fp16 of mean 0 and standard deviation ``scale``."""
        return self._taken(self._normal, shape).mul_(scale)

    def words(self, shape: Sequence[int]) -> Tensor:
        """int32 with every bit at random."""
        return self._taken(self._words, shape)

    def order(self, count: int) -> Tensor:
        """The numbers below ``count`` in some order, int32."""
        return torch.randperm(count, generator=self._source).to(torch.int32)

    def _taken(self, source: Tensor, shape: Sequence[int]) -> Tensor:
        out = torch.empty(prod(shape), dtype=source.dtype)
        done = 0
        self._place = (self._place + _STRIDE) % len(source)
        while done < len(out):
            part = source[self._place : self._place + len(out) - done]
            out[done : done + len(part)] = part
            done += len(part)
            self._place = (self._place + len(part)) % len(source)
        return out.view(*shape)
