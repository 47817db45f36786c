"""Where the names of points stand so that they cover neither one another nor a point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

HEIGHT = 320  # pixels of the plot
LOW, HIGH = -3.0, 112.0  # of its upward axis, %: above 100 there is room for names
_WIDTH = 700  # pixels that a page usually gives the plot
_LINE = 16  # pixels of a name's height
_CHARACTER = 6.3  # pixels of one, on average
_LINE_ROOM = 2  # pixels on either side of a line that stay free
_POINT = 6  # pixels around a point's middle that stay free

Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True, slots=True)
class Scale:
    """The axis of the cost."""

    logarithmic: bool
    low: float  # its ends, of a logarithmic one as powers of ten
    high: float

    def at(self, value: float) -> float:
        """A value as annotations want it: on a logarithmic axis its power of ten."""
        return math.log10(value) if self.logarithmic else value

    def across(self, value: float) -> float:
        """Pixels from the left of the plot."""
        return _WIDTH * (self.at(value) - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Spot:
    """A name's place beside its point: an offset in pixels, and the end of it that is there."""

    dx: float
    dy: float  # upwards
    anchor: str  # left, right


def up(percent: float) -> float:
    """Pixels from the bottom of the plot."""
    return HEIGHT * (percent - LOW) / (HIGH - LOW)


def spots(
    names: Sequence[tuple[str, float, float]],
    points: Sequence[tuple[float, float]],
    steps: Sequence[tuple[float, float]] = (),
) -> list[Spot]:
    """A place for each name: the first free one, else the first.

    Args:
        names: Each with its point, in pixels from the lower left of the plot.
        points: All points, which names should not cover.
        steps: Corners of the front, by rising cost: between two of them a line goes
            across and then up, which names should not cover either.
    """
    taken = [(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in points]
    for (left, low), (right, high) in pairwise(steps):
        taken.append((left, low - _LINE_ROOM, right, low + _LINE_ROOM))
        taken.append((right - _LINE_ROOM, low, right + _LINE_ROOM, high))
    found = []
    for name, x, y in names:
        width = _CHARACTER * len(name) + 6
        tried = list(_around())
        free = (
            spot for spot in tried if _inside(b := _box(spot, x, y, width)) and not _hits(b, taken)
        )
        spot = next(free, tried[0])
        taken.append(_box(spot, x, y, width))
        found.append(spot)
    return found


def _around() -> Iterator[Spot]:
    """Above and to the left first: no point is cheaper and better than one on the front."""
    for step in range(5):
        far = 18 + step * _LINE
        yield Spot(-8, far, "right")
        yield Spot(8, far, "left")
    for step in range(5):
        far = 18 + step * _LINE
        yield Spot(8, -far, "left")
        yield Spot(-8, -far, "right")


def _box(spot: Spot, x: float, y: float, width: float) -> Box:
    near, middle = x + spot.dx, y + spot.dy
    left = near if spot.anchor == "left" else near - width
    return left, middle - _LINE / 2, left + width, middle + _LINE / 2


def _inside(box: Box) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= _WIDTH and box[3] <= HEIGHT


def _hits(box: Box, taken: Sequence[Box]) -> bool:
    return any(
        box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
        for other in taken
    )
