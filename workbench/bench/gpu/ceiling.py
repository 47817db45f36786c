"""The card's memory bandwidth, as large plain kernels reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from workbench.bench.gpu.bed import Bed, waited

_ROUNDS = 20  # of which the fastest counts


def ceiling(bed: Bed) -> Iterator[tuple[str, Any]]:
    """Bytes a second of a copy on the device, of a sum that only reads, and the larger of them.

    A copy counts twice: every byte is read and written. Decoding reads nearly all of what
    it moves, so the sum is the closer likeness; some cards copy faster than they sum.
    """
    size = bed.sizes.copied
    source = torch.ones(size // 4, dtype=torch.float32, device=bed.device)
    target = torch.empty_like(source)
    copy = 2 * size / _fastest(bed, lambda: target.copy_(source))
    read = size / _fastest(bed, source.sum)
    yield "bytes", size
    yield "copy_bytes_per_second", copy
    yield "read_bytes_per_second", read
    yield "bytes_per_second", max(copy, read)


def _fastest(bed: Bed, work: Callable[[], object]) -> float:
    """Seconds of the fastest round, after two that warm up."""
    work()
    work()
    times = []
    for _ in range(_ROUNDS):
        with waited(bed.device) as seconds:
            work()
            times.append(seconds())
        bed.check_time()
    return min(times)
