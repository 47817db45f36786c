"""Which rows of a decode step are attended to together, and the pages that hold their keys.

Rows one by one cost a few kernel launches each in every layer: at 64 requests and 32
layers that is thousands a step, more than a GPU's work takes. So on a GPU the rows are
grouped by length, at most a factor of two apart, which makes a handful of groups
whatever the batch; a group's keys are gathered into one tensor. On a CPU a launch costs
nothing and a copy does: only rows within one page are grouped there, mostly by a view.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.models.memory import GATHERED


@dataclass(frozen=True, slots=True)
class Group:
    """Rows whose keys are picked as one tensor."""

    rows: tuple[int, ...]
    places: Tensor | None  # (rows,) in the batch; None: all of it, in its own order
    pages: Tensor | slice  # (rows, blocks), or what picks evenly spaced pages without a copy
    mask: Tensor  # (rows, 1, new, reach): 0 for the keys that a query sees, else -inf

    def picked(self, cache: Tensor) -> Tensor:
        """The rows' keys or values, ``(rows, reach, kv_heads, head_dim)``."""
        reach = self.mask.shape[-1]
        if isinstance(self.pages, slice):
            return cache[:, :reach][self.pages]
        if self.pages.shape[1] == 1:
            return cache[:, :reach].index_select(0, self.pages[:, 0])
        chosen = cache.index_select(0, self.pages.flatten())
        return chosen.view(len(self.pages), -1, *cache.shape[2:])


def groups(
    totals: list[int], pages: list[list[int]], new: int, cache: Tensor, *, gather: bool
) -> list[Group]:
    """The groups of a step; a row in none of them is attended to by itself.

    Args:
        totals: Keys that each row's last query sees.
        pages: The pages that hold them, in order.
        new: Queries a row.
        cache: ``(pages, page_size, kv_heads, head_dim)``, keys or values of a layer.
        gather: Group rows of several pages too, by copying their keys.
    """
    if len(totals) < 2 or (new > 1 and not gather):
        return []
    chosen = _alike(pages, _bytes_a_page(cache)) if gather else _short(pages)
    return [_group(rows, totals, pages, new, cache) for rows in chosen if len(rows) > 1]


def _short(pages: list[list[int]]) -> Iterator[list[int]]:
    """The rows within one page, in the order of their pages."""
    rows = [row for row, used in enumerate(pages) if len(used) == 1]
    yield sorted(rows, key=lambda row: pages[row][0])


def _alike(pages: list[list[int]], page_bytes: int) -> Iterator[list[int]]:
    """Rows whose numbers of pages round up to the same power of two, within ``GATHERED`` bytes."""
    by_size: dict[int, list[int]] = {}
    for row, used in enumerate(pages):
        by_size.setdefault((len(used) - 1).bit_length(), []).append(row)
    for power, rows in sorted(by_size.items()):
        most = max(1, GATHERED // (2**power * page_bytes))
        for start in range(0, len(rows), most):
            yield rows[start : start + most]


def _bytes_a_page(cache: Tensor) -> int:
    """Of keys and values of one layer."""
    return 2 * cache[0].numel() * cache.element_size()


def _group(
    rows: list[int], totals: list[int], pages: list[list[int]], new: int, cache: Tensor
) -> Group:
    device, page_size = cache.device, cache.shape[1]
    blocks = max(len(pages[row]) for row in rows)
    longest = max(totals[row] for row in rows)
    # A GPU's kernels want masks whose rows are aligned, which whole pages are.
    reach = longest if blocks == 1 and not cache.is_cuda else blocks * page_size
    return Group(
        rows=tuple(rows),
        places=None if rows == [*range(len(totals))] else torch.tensor(rows, device=device),
        pages=_pages([pages[row] for row in rows], blocks, device),
        mask=_mask([totals[row] for row in rows], new, reach, cache),
    )


def _mask(totals: list[int], new: int, reach: int, cache: Tensor) -> Tensor:
    """Query ``i`` of ``new`` sees all keys but the last ``new - 1 - i`` of its row."""
    last = torch.tensor(totals, device=cache.device)[:, None] - new
    seen = last + torch.arange(1, new + 1, device=cache.device)
    unseen = torch.arange(reach, device=cache.device) >= seen[..., None]
    mask = torch.zeros(unseen.shape, device=cache.device, dtype=cache.dtype)
    return mask.masked_fill_(unseen, -torch.inf)[:, None]


def _pages(pages: list[list[int]], blocks: int, device: torch.device) -> Tensor | slice:
    """Page numbers, short rows padded with their last; a slice where single ones are evenly spaced.

    Those of a fresh batch are, in ascending order.
    """
    if blocks == 1:
        single = [used[0] for used in pages]
        step = single[1] - single[0]
        if step > 0 and single == [*range(single[0], single[-1] + 1, step)]:
            return slice(single[0], single[-1] + 1, step)
    padded = [used + used[-1:] * (blocks - len(used)) for used in pages]
    return torch.tensor(padded, device=device)
