"""The grid cells of a run as a table: what each setting brought, in words and numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.evaluation.statistics import Estimate
from workbench.experiments import Run
from workbench.experiments.grid import GridCell, grid_cells
from workbench.experiments.wording import DRAW_ONLY, axis_name
from workbench.pages.numbers import interval, seconds
from workbench.pages.page import Page, render
from workbench.printable import one_line
from workbench.records import Plan

_VALUE = 30  # characters of an axis's value
_MOST = 200  # rows on a page

_Column = tuple[str, Callable[[GridCell], str | None]]


@dataclass(frozen=True, slots=True)
class GridTable:
    """A table of texts, ready to be set; what is undefined is ``None``."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    note: str  # what the figures are, and what they rest on


def grid_table(run: Run) -> GridTable:
    """A row a grid cell; columns that say nothing anywhere are left out.

    Counts are of generations, tokens and seconds are means over problems; what is right
    has its 95 % interval over problems.
    """
    found = grid_cells(run)
    columns = [*_places(run.plan, found), *_told()]
    read = [(name, [of(cell) for cell in found]) for name, of in columns]
    told = [(name, texts) for name, texts in read if any(text is not None for text in texts)]
    rows = tuple(zip(*(texts for _, texts in told), strict=True))
    return GridTable(tuple(name for name, _ in told), rows, _note(found))


def cells_table(run: Run) -> Page:
    """``grid_table`` for a notebook or a report; every value escaped."""
    told = grid_table(run)
    more = len(told.rows) - _MOST
    left_out = f" {more:,} more settings are not shown; run.cells() has them." if more > 0 else ""
    return render(
        "table",
        f"{len(told.rows)} grid cells; {told.note}",
        label="Grid cells",
        kind="wb-numbers",
        heads=list(told.heads),
        rows=[list(row) for row in told.rows[:_MOST]],
        note=f"{told.note[:1].upper()}{told.note[1:]}.{left_out}",
    )


def head(axis: str) -> str:
    """An axis as the head of a column; a budget is not what was spent of it."""
    return "thinking budget" if axis == "thinking_tokens" else axis_name(axis)


def _places(plan: Plan, cells: Sequence[GridCell]) -> list[_Column]:
    """A column an axis that has several values, or the first."""
    axes = list(cells[0].coordinates) if cells else []
    telling = [axis for axis in axes if len(plan.axes[axis]) > 1] or axes[:1]
    return [(head(axis), _place(axis)) for axis in telling]


def _place(axis: str) -> Callable[[GridCell], str | None]:
    def text(cell: GridCell) -> str:
        if cell.greedy and axis in DRAW_ONLY:
            return "any"  # nothing is drawn: all of its values are one
        value = cell.coordinates[axis]
        return "none" if value is None else one_line(str(value), _VALUE)

    return text


def _told() -> tuple[_Column, ...]:
    return (
        ("ended", _ended),
        ("right", lambda cell: _right(cell.accuracy)),
        ("thinking", lambda cell: _tokens(cell.thinking_tokens)),
        ("answer", lambda cell: _tokens(cell.answer_tokens)),
        ("latency", lambda cell: seconds(_value(cell.request_latency))),
        ("failed", lambda cell: _count(cell.failed)),
        ("cut off", lambda cell: _count(cell.truncated)),
        ("unclosed", lambda cell: _count(cell.incomplete)),
        ("leaked", lambda cell: _count(cell.leaked)),
        ("at budget", lambda cell: _count(cell.forced)),
        ("distinct", lambda cell: _mean(cell.distinct_answers)),
        ("agreement", lambda cell: _share(cell.agreement)),
    )


def _note(cells: Sequence[GridCell]) -> str:
    problems = {member["problem"] for cell in cells for member in cell.members}
    basis = f"means over {len(problems):,} problem{'s' * (len(problems) != 1)}"
    batch = any(not cell.alone and cell.request_latency is not None for cell in cells)
    waited = "; latency is that of a batch, its queue included" if batch else ""
    return f"{basis}; thinking and answer in tokens{waited}"


def _ended(cell: GridCell) -> str:
    ended = len(cell.members)
    return f"{ended:,}" if ended == cell.planned else f"{ended:,} of {cell.planned:,}"


def _right(found: Estimate | None) -> str | None:
    """``82% (66–93%)``: the problems it rests on are the same in every row."""
    text = interval(found)
    return text and text.partition(", n = ")[0]


def _value(found: Estimate | None) -> float | None:
    return None if found is None else found.value


def _tokens(found: Estimate | None) -> str | None:
    return None if found is None else f"{found.value:,.0f}"


def _count(count: int) -> str | None:
    return f"{count:,}" if count else None


def _mean(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.0%}"
