"""How many bits each block of a model gets: the least expected error within a budget of bits.

ExLlamaV2 looks for it by simulated annealing, seeded by the system. Where its extension is not
there, the same is found by merging the blocks' options one by one and keeping, of all sums so far,
those that no cheaper one beats: the optimum itself as long as there are not too many of them, and
the same at every run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Option = tuple[int, float]  # cost in bits, expected error
Found = tuple[list[Option], list[int], float, int, float]

_KEPT = 4096  # sums that are kept from one block to the next


def sim_anneal(
    slots: Sequence[Sequence[Option]],
    max_cost: int,
    initial_temp: float,
    cooling_factor: float,
    min_temp: float,
    iterations: int,
    norm: float,
) -> Found:
    """One option of every slot, so that the sum of ``error^norm`` is least.

    The name and the signature are the extension's; the temperatures and iterations of its
    annealing mean nothing here.

    Args:
        slots: The options of each block.
        max_cost: What they may cost together; where nothing is that cheap, the cheapest are taken.
        initial_temp: Not read.
        cooling_factor: Not read.
        min_temp: Not read.
        iterations: Not read.
        norm: How much more a large error weighs than several small ones.

    Returns:
        The options chosen, their indices, the sum, their cost, and the largest error.
    """
    chosen = best_choice(slots, max_cost, norm)
    options = [slot[index] for slot, index in zip(slots, chosen, strict=True)]
    return (
        options,
        chosen,
        sum(error**norm for _, error in options),
        sum(cost for cost, _ in options),
        max(error for _, error in options),
    )


def best_choice(slots: Sequence[Sequence[Option]], max_cost: int, norm: float) -> list[int]:
    """The index of each slot's option."""
    costs, sums = np.zeros(1, dtype=np.int64), np.zeros(1)
    steps: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []  # from which sum, which option
    for slot in slots:
        more = np.array([cost for cost, _ in slot], dtype=np.int64)
        worse = np.array([error for _, error in slot]) ** norm
        every, all_sums = np.add.outer(costs, more).ravel(), np.add.outer(sums, worse).ravel()
        kept = _front(every, all_sums)
        costs, sums = every[kept], all_sums[kept]
        steps.append((kept // len(slot), kept % len(slot)))
    place = max(int(np.searchsorted(costs, max_cost, side="right")) - 1, 0)
    chosen = []
    for came_from, option in reversed(steps):
        chosen.append(int(option[place]))
        place = int(came_from[place])
    return chosen[::-1]


def _front(costs: NDArray[np.int64], sums: NDArray[np.float64]) -> NDArray[np.int64]:
    """The indices of what nothing cheaper beats, by rising cost; thinned when there are many."""
    order = np.lexsort((sums, costs))
    ranked = sums[order]
    best_before = np.concatenate([[np.inf], np.minimum.accumulate(ranked)[:-1]])
    front: NDArray[np.int64] = order[ranked < best_before]
    if len(front) <= _KEPT:
        return front
    return front[np.linspace(0, len(front) - 1, _KEPT).astype(np.int64)]
