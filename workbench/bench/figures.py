"""Two ways of doing the same work, measured in turns, and their ratio held against its goal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

Side = Callable[[], float]  # does the work once; its value in the figure's unit


@dataclass(frozen=True, slots=True)
class Goal:
    """What a ratio should be."""

    bound: Literal["at least", "at most", "above"]
    value: float

    def met(self, ratio: float) -> bool:
        """Whether a ratio is as it should be."""
        if self.bound == "at most":
            return ratio <= self.value
        return ratio >= self.value if self.bound == "at least" else ratio > self.value

    def __str__(self) -> str:
        return f"{self.bound} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One ratio: the first side by the second, each round's two values beside one another."""

    name: str
    what: str
    unit: str  # of the two values
    first: float  # median over the rounds
    second: float
    ratio: float  # median of the rounds' ratios
    low: float  # least of them
    high: float
    rounds: int
    goal: Goal | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; ``None`` without one."""
        return None if self.goal is None else self.goal.met(self.ratio)

    def as_json(self) -> Mapping[str, Any]:
        """Every field, and ``met``."""
        return asdict(self) | {"met": self.met}


def compared(
    name: str,
    what: str,
    unit: str,
    sides: tuple[Side, Side],
    *,
    rounds: int,
    goal: Goal | None = None,
) -> Figure:
    """Do both sides once to warm up, then in turns: A B, B A, A B …

    A machine's speed drifts and other processes come and go; neighbours in time see
    the same of it, so the ratio is taken round by round.
    """
    for side in sides:
        side()
    pairs = [_round(sides, swapped=bool(turn % 2)) for turn in range(rounds)]
    return figure(name, what, unit, pairs, goal)


def figure(
    name: str,
    what: str,
    unit: str,
    pairs: Sequence[tuple[float, float]],
    goal: Goal | None = None,
) -> Figure:
    """The figure of rounds that have been measured."""
    ratios = [first / second for first, second in pairs]
    return Figure(
        name=name,
        what=what,
        unit=unit,
        first=median(first for first, _ in pairs),
        second=median(second for _, second in pairs),
        ratio=median(ratios),
        low=min(ratios),
        high=max(ratios),
        rounds=len(pairs),
        goal=goal,
    )


def _round(sides: tuple[Side, Side], *, swapped: bool) -> tuple[float, float]:
    if swapped:
        second = sides[1]()
        return sides[0](), second
    return sides[0](), sides[1]()
