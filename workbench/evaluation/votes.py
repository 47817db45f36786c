"""The chance that a majority of k answers is right, exact over all ways to take k of n."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import comb

_Ways = Mapping[
    tuple[int, int], int
]  # (samples taken, answers as frequent as the right one) -> ways


@dataclass(frozen=True, slots=True)
class Ballot:
    """A problem's samples, as votes."""

    right: int  # votes for the right answer
    wrong: tuple[int, ...]  # votes for each wrong answer
    silent: int = 0  # samples without an answer

    @property
    def count(self) -> int:
        return self.right + sum(self.wrong) + self.silent


def majority(ballot: Ballot, k: int) -> float:
    """The chance that the most frequent answer of k samples, taken without return, is right.

    Summed over m, the votes that the right answer gets: C(right, m) times the ways in which
    nobody gets more; where t wrong answers get as many, the right one is drawn with
    1 / (t + 1).

    Args:
        ballot: Of n samples.
        k: From 1 to n.
    """
    if ballot.right == 0:
        return 0.0
    total = sum(
        comb(ballot.right, votes) * ways / (ties + 1)
        for votes in range(1, min(k, ballot.right) + 1)
        for (taken, ties), ways in _others(ballot, votes, k - votes).items()
        if taken == k - votes
    )
    return total / comb(ballot.count, k)


def _others(ballot: Ballot, votes: int, most: int) -> _Ways:
    """The ways to take up to ``most`` of the others, no wrong answer more than ``votes`` times."""
    ways: _Ways = {(taken, 0): comb(ballot.silent, taken) for taken in range(most + 1)}
    for size in ballot.wrong:
        longer: dict[tuple[int, int], int] = defaultdict(int)
        for (taken, ties), known in ways.items():
            for own in range(min(size, votes, most - taken) + 1):
                longer[taken + own, ties + (own == votes)] += known * comb(size, own)
        ways = longer
    return ways
