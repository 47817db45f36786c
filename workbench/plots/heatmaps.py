"""A quantity over two axes of a sweep, as coloured cells with their numbers in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from workbench.plots.cells import (
    Cells,
    Quantity,
    Row,
    axes,
    axis_title,
    batch_remark,
    check,
    greedy_remark,
    grouped,
    hover,
    named,
    others,
    places,
    quantity,
    read,
    remark,
    spread,
    tick,
)
from workbench.plots.style import INK, figure, nothing

_ROW = 38  # pixels of a cell
_GAP = 84  # pixels between panels: ticks, an axis' title, the next panel's title
_MOST = 12  # panels
_WIDE = 2  # panels side by side
_BAR = 110  # pixels of a plot that has room for a colour bar; the cells hold their numbers
_SCALE = "Cividis"


@dataclass(frozen=True, slots=True)
class _Board:
    """What all panels share: the axes and their places, and what is shown."""

    x: str
    y: str
    across: Sequence[Any]
    up: Sequence[Any]
    shown: Quantity
    rows: Sequence[Row]  # as they were asked

    @property
    def ends(self) -> tuple[float, float]:
        """Of the colours: shares go from 0 to 100 %."""
        column, scale = self.shown.column, self.shown.scale
        if scale == 100:
            return 0.0, 100.0
        values = [scale * value for row in self.rows if (value := row.get(column)) is not None]
        return min(values), max(values) if max(values) > min(values) else min(values) + 1


def heatmap(cells: Cells, x: str, y: str, value: str = "accuracy") -> go.Figure:
    """A quantity over two axes; a panel for each combination of the others.

    A greedy setting was asked once and stands at every top-p, top-k and min-p; a cell
    without a value is left empty, with a dash. Hovering shows the interval.

    Args:
        cells: ``run.cells()``, or its rows.
        x: An axis: a column before ``greedy``.
        y: Another one.
        value: A column, see ``plots.cells.QUANTITIES``.

    Raises:
        InvalidInput: No such axis or quantity.
    """
    rows, shown = read(cells), quantity(value)
    title = f"{shown.title[:1].upper()}{shown.title[1:]} by {axis_title(x)} and {axis_title(y)}"
    check(rows, x, y)
    drawn = spread(rows, axes(rows))
    if all(row.get(value) is None for row in drawn):
        return nothing(title, "No setting has a value yet.")
    board = _Board(x, y, places(drawn, x), _upwards(drawn, y), shown, rows)
    panels = grouped(drawn, others(drawn, x, y))
    names = list(panels)[:_MOST]
    made = _grid(title, board, names)
    for number, name in enumerate(names):
        _add_panel(made, board, number, min(_WIDE, len(names)), panels[name])
    _colour(made, board, _pixels(board, names))
    some = f"{_MOST} of {len(panels)} panels are drawn" if len(panels) > _MOST else ""
    remark(made, greedy_remark(rows, drawn), batch_remark(rows, shown), some)
    return made


def _grid(title: str, board: _Board, names: Sequence[str]) -> go.Figure:
    columns = min(_WIDE, len(names))
    lines, pixels = -(-len(names) // columns), _pixels(board, names)
    made = figure(
        title,
        subtitle=f"{named(board.shown)}, a number a setting",
        plot=pixels,
        legend=False,
        panels=len(names) > 1,
    )
    made.set_subplots(
        rows=lines,
        cols=columns,
        subplot_titles=list(names) if len(names) > 1 else None,
        vertical_spacing=_GAP / pixels if lines > 1 else 0,
        horizontal_spacing=0.12,
    )
    made.update_annotations(font={"size": 13})
    made.update_xaxes(
        title_text=axis_title(board.x),
        tickvals=list(range(len(board.across))),
        ticktext=[tick(board.x, value) for value in board.across],
        range=[-0.5, len(board.across) - 0.5],
        showgrid=False,
        zeroline=False,
    )
    made.update_yaxes(
        tickvals=list(range(len(board.up))),
        ticktext=[tick(board.y, value) for value in board.up],
        range=[-0.5, len(board.up) - 0.5],
        showgrid=False,
        zeroline=False,
    )
    made.update_yaxes(title_text=axis_title(board.y), col=1)
    return made


def _pixels(board: _Board, names: Sequence[str]) -> int:
    """The height of all panels."""
    lines = -(-len(names) // _WIDE)
    return lines * max(len(board.up), 2) * _ROW + (lines - 1) * _GAP


def _add_panel(
    made: go.Figure, board: _Board, number: int, columns: int, own: Sequence[Row]
) -> None:
    place = {"row": number // columns + 1, "col": number % columns + 1}
    shown, at = board.shown, {(row[board.x], row[board.y]): row for row in own}
    found = [[at.get((one, two)) for one in board.across] for two in board.up]
    values = [[row.get(shown.column) if row else None for row in line] for line in found]
    made.add_heatmap(
        **place,
        z=[[None if v is None else shown.scale * v for v in line] for line in values],
        customdata=[
            [hover(row, board.rows, shown) if row else "" for row in line] for line in found
        ],
        coloraxis="coloraxis",
        xgap=2,
        ygap=2,
        hoverongaps=False,
        hovertemplate="%{customdata}<extra></extra>",
    )
    _add_numbers(made, board, values, place)


def _add_numbers(
    made: go.Figure,
    board: _Board,
    values: Sequence[Sequence[float | None]],
    place: Mapping[str, int],
) -> None:
    """The cells' numbers, black or white by their colour; a dash where there is none."""
    spots = [(i, j, v) for j, line in enumerate(values) for i, v in enumerate(line)]
    low, high = board.ends
    colours = [
        INK if v is None else _ink((board.shown.scale * v - low) / (high - low))
        for _, _, v in spots
    ]
    made.add_scatter(
        **place,
        mode="text",
        x=[i for i, _, _ in spots],
        y=[j for _, j, _ in spots],
        text=["–" if v is None else board.shown.short(v) for _, _, v in spots],
        textfont={"color": colours, "size": 12},
        hoverinfo="skip",
        showlegend=False,
    )


def _ink(fraction: float) -> str:
    """Black or white, whichever stands out more from that place of the colour scale."""
    (colour,) = sample_colorscale(_SCALE, [min(max(fraction, 0.0), 1.0)], colortype="tuple")
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]  # of WCAG 2
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#FFFFFF"


def _upwards(rows: Sequence[Row], axis: str) -> list[Any]:
    """Numbers rise, names are read from the top."""
    values = places(rows, axis)
    return values[::-1] if any(isinstance(value, str) for value in values) else values


def _colour(made: go.Figure, board: _Board, pixels: int) -> None:
    """Cividis, which readers of any colour vision read alike; shares from 0 to 100 %."""
    low, high = board.ends
    bar = {
        "title": {"text": board.shown.unit.strip(), "font": {"size": 12}},
        "thickness": 12,
        "outlinewidth": 0,
        "tickfont": {"size": 11},
    }
    made.update_layout(
        coloraxis={
            "colorscale": _SCALE,
            "cmin": low,
            "cmax": high,
            "colorbar": bar,
            "showscale": pixels >= _BAR,
        }
    )
