"""Fewer points that tell the same: for figures of more tokens than a browser can draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.plots.phases import Token

_BINS = 80  # most places of a line of medians
_OVER = 5  # points that a median is taken over, on average


@dataclass(frozen=True, slots=True)
class Point:
    """A value of one token."""

    token: Token
    value: float
    source: str  # which generation it is from, untrusted


def thinned(points: Sequence[Point], most: int, *, highest: bool) -> Sequence[Point]:
    """At most ``most`` of the points.

    Sorted by position they are cut into equal stretches; of each the median and the
    extreme stay, so that no outlier is lost and the middle stays the middle.

    Args:
        points: In any order.
        most: At least 2.
        highest: The extreme is the greatest value, not the least.
    """
    if len(points) <= most:
        return points
    ordered = sorted(points, key=lambda point: point.token.time.index)
    kept = []
    for stretch in np.array_split(np.arange(len(ordered)), most // 2):
        ranked = sorted((ordered[i] for i in stretch), key=lambda point: point.value)
        kept += [ranked[(len(ranked) - highest) // 2], ranked[-1 if highest else 0]]
    return kept


def medians(
    points: Sequence[Point],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Median positions and median values of equal stretches of positions, for a line.

    There are at most 80 stretches, and no more than leave each five points on average.
    """
    positions = np.array([point.token.time.index for point in points], np.float64)
    values = np.array([point.value for point in points], np.float64)
    most = max(1, min(_BINS, len(points) // _OVER))
    width = -(-int(positions.max() + 1) // most)
    stretch = positions // width
    found = [(stretch == number) for number in np.unique(stretch)]
    return (
        np.array([np.median(positions[mask]) for mask in found]),
        np.array([np.median(values[mask]) for mask in found]),
    )
