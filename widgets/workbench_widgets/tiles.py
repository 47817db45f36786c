"""Grid cells as a page shows them, and the generations of one."""

from __future__ import annotations

from typing import Any

from workbench.evaluation.statistics import Estimate
from workbench.experiments import Run
from workbench.experiments.grid import GridCell, coordinates, grid_cells
from workbench.printable import one_line
from workbench.records import Plan

Tile = dict[str, Any]  # JSON-able
_MOST = 500  # generations that are listed


def empty(plan: Plan) -> tuple[list[Tile], dict[int, int]]:
    """The tiles of a plan that has not begun, and the tile of each of its cells."""
    places: dict[tuple[Any, ...], list[int]] = {}
    every = coordinates(plan)
    for index, place in enumerate(every):
        places.setdefault(tuple(place.values()), []).append(index)
    found = [_blank(every[own[0]], len(own)) for own in places.values()]
    of = {index: tile for tile, own in enumerate(places.values()) for index in own}
    return found, of


def tiles(run: Run) -> list[Tile]:
    """What there is of every grid cell."""
    return [_tile(cell) for cell in grid_cells(run)]


def members(run: Run, tile: int) -> list[dict[str, Any]]:
    """The generations of a grid cell that have ended, the first of them."""
    cell = grid_cells(run)[tile]
    return [
        {
            "index": row["index"],
            "problem": one_line(str(row["problem"]), 80),
            "sample": row["sample"],
            "end": row["finish_reason"],
            "score": row["score"],
            "read": None if row["extracted"] is None else one_line(str(row["extracted"]), 60),
            "tokens": row["output_tokens"],
            "seconds": row["request_latency"],
        }
        for row in cell.members[:_MOST]
    ]


def _blank(place: dict[str, Any], planned: int) -> Tile:
    numbers = dict.fromkeys(("accuracy", "tokens", "seconds"))
    counts = dict.fromkeys(("ended", "failed", "truncated", "incomplete", "running"), 0)
    return {"place": _words(place), "planned": planned} | counts | numbers


def _tile(cell: GridCell) -> Tile:
    return {
        "place": _words(cell.coordinates),
        "planned": cell.planned,
        "ended": len(cell.members),
        "failed": cell.failed,
        "truncated": cell.truncated,
        "incomplete": cell.incomplete,
        "accuracy": _interval(cell.accuracy),
        "tokens": _interval(cell.output_tokens),
        "seconds": _interval(cell.request_latency),
    }


def _words(place: Any) -> list[list[str]]:
    return [[axis, one_line(_value(value), 60)] for axis, value in place.items()]


def _value(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _interval(found: Estimate | None) -> list[float | None] | None:
    return None if found is None else [found.value, found.low, found.high]
