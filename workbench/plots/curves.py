"""A quantity along one axis of a sweep, with its interval; and along the thinking budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

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
from workbench.plots.style import INK, SERIES, figure, nothing, translucent

_BUDGET = "thinking_budget"
_PANEL = 150  # pixels of a quantity, of several
_PANEL_OF_MANY = 190  # pixels of a panel, of several of one quantity
_DASHES = ("solid", "dash", "dot")
_PANELS = 12  # most panels
_MOST = len(SERIES) * len(_DASHES)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an axis' values stand: at their numbers, or evenly where one of them is none."""

    axis: str
    values: Sequence[Any]
    even: bool

    def of(self, row: Row) -> float:
        value = row[self.axis]
        return float(self.values.index(value) if self.even else value)


@dataclass(frozen=True, slots=True)
class _Chart:
    """What all panels share."""

    place: _Place
    lines: Sequence[str]  # the axes whose values are lines
    names: Sequence[str]  # of the lines: each has its colour in every panel
    rows: Sequence[Row]  # as they were asked

    @property
    def cut(self) -> str:
        """What is said of lines that are left out."""
        count = len(self.names)
        return f"{_MOST} of {count} lines are drawn" if count > _MOST else ""


@dataclass(frozen=True, slots=True)
class _Line:
    """Where a line is drawn, and how."""

    panel: int
    name: str
    colour: str

    @property
    def place(self) -> dict[str, Any]:
        return {"row": self.panel, "col": 1, "legendgroup": self.name}


def curves(cells: Cells, x: str, value: str = "accuracy", *, by: str | None = None) -> go.Figure:
    """A quantity along an axis, a line for each value of another, a panel for each of the rest.

    The band is the 95 % interval of each point by itself. A greedy setting was asked
    once and stands at every top-p, top-k and min-p.

    Args:
        cells: ``run.cells()``, or its rows.
        x: An axis: a column before ``greedy``.
        value: A column, see ``plots.cells.QUANTITIES``.
        by: The axis whose values are the lines; default: the last one that varies.

    Raises:
        InvalidInput: No such axis or quantity.
    """
    rows, shown = read(cells), quantity(value)
    title = f"{shown.title[:1].upper()}{shown.title[1:]} by {axis_title(x)}"
    check(rows, x, *([by] if by else []))
    drawn = spread(rows, axes(rows))
    if all(row.get(value) is None for row in drawn):
        return nothing(title, "No setting has a value yet.")
    lines = [by] if by else others(drawn, x)[-1:]
    every = grouped(drawn, others(drawn, x, *lines))
    panels = dict(list(every.items())[:_PANELS])
    chart = _Chart(_place(drawn, x), lines, list(grouped(drawn, lines)), rows)
    made = figure(
        title,
        subtitle=_subtitle(drawn, shown),
        plot=270 if len(panels) == 1 else _PANEL_OF_MANY * len(panels),
        legend=bool(chart.names[1:]),
        panels=len(panels) > 1,
    )
    titles = list(panels) if len(panels) > 1 else None
    made.set_subplots(
        rows=len(panels),
        cols=1,
        shared_xaxes=True,
        subplot_titles=titles,
        vertical_spacing=0.3 / max(len(panels), 2),
    )
    made.update_annotations(x=0, xanchor="left", font={"size": 13})
    for number, own in enumerate(panels.values(), start=1):
        _add_lines(made, chart, own, shown, number)
    _axis(made, chart.place, len(panels))
    _scale(made, shown, None, shown.axis)
    some = f"{_PANELS} of {len(every)} panels are drawn" if len(every) > _PANELS else ""
    remark(made, greedy_remark(rows, drawn), batch_remark(rows, shown), chart.cut, some)
    return made


def budget(cells: Cells) -> go.Figure:
    """Accuracy, tokens and seconds over the thinking budget; without one at the right.

    A line for each combination of the other axes. The dotted line is what thinking
    without a budget reaches.

    Args:
        cells: ``run.cells()`` of a sweep over ``thinking_tokens``, or its rows.

    Raises:
        InvalidInput: The cells have no thinking budget.
    """
    rows, title = read(cells), "What a thinking budget does"
    check(rows, _BUDGET)
    drawn = spread(rows, [axis for axis in axes(rows) if axis != _BUDGET])
    columns = ("accuracy", "output_tokens", "request_latency")
    told = [quantity(c) for c in columns if any(row.get(c) is not None for row in drawn)]
    if not told:
        return nothing(title, "No setting has a value yet.")
    lines = others(drawn, _BUDGET)
    place = _Place(_BUDGET, places(drawn, _BUDGET), even=True)
    chart = _Chart(place, lines, list(grouped(drawn, lines)), rows)
    made = figure(
        title,
        subtitle="mean over problems, with each point's 95% interval",
        plot=_PANEL * len(told),
        legend=bool(chart.names[1:]),
    )
    made.set_subplots(rows=len(told), cols=1, shared_xaxes=True, vertical_spacing=0.07)
    for number, shown in enumerate(told, start=1):
        _add_lines(made, chart, drawn, shown, number)
        _scale(made, shown, number, shown.axis)
    _axis(made, place, len(told))
    remark(made, batch_remark(rows, *told), chart.cut)
    return made


def _subtitle(rows: Sequence[Row], shown: Quantity) -> str:
    band = any(row.get(f"{shown.column}_low") is not None for row in rows)
    return named(shown) + (", with each point's 95% interval" if band else "")


def _place(rows: Sequence[Row], axis: str) -> _Place:
    values = places(rows, axis)
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return _Place(axis, values, even=not numbers)


def _add_lines(
    made: go.Figure, chart: _Chart, drawn: Sequence[Row], shown: Quantity, panel: int
) -> None:
    known = {trace.name for trace in made.data}
    for name, own in grouped(drawn, chart.lines).items():
        number = chart.names.index(name)
        if number >= _MOST:
            break
        points = [row for row in own if row.get(shown.column) is not None]
        points.sort(key=chart.place.of)
        line = _Line(panel, name, SERIES[number % len(SERIES)])
        _add_band(made, chart, points, shown, line)
        made.add_scatter(
            **line.place,
            name=name or shown.title,
            showlegend=len(chart.names) > 1 and name not in known,
            mode="lines+markers",
            line={"color": line.colour, "width": 2, "dash": _DASHES[number // len(SERIES)]},
            marker={"size": 7},
            x=[chart.place.of(row) for row in points],
            y=[shown.scale * row[shown.column] for row in points],
            customdata=[hover(row, chart.rows, shown) for row in points],
            hovertemplate="%{customdata}<extra></extra>",
        )
        if chart.place.axis == _BUDGET:
            _add_limit(made, chart, points, shown, line)


def _add_band(
    made: go.Figure, chart: _Chart, points: Sequence[Row], shown: Quantity, line: _Line
) -> None:
    low, high = f"{shown.column}_low", f"{shown.column}_high"
    if all(row.get(low) is None or row.get(high) is None for row in points):
        return

    def end(row: Row, which: str) -> float:
        value = row.get(which)
        return shown.scale * float(row[shown.column] if value is None else value)

    x = [chart.place.of(row) for row in points]
    made.add_scatter(
        **line.place,
        showlegend=False,
        x=[*x, *reversed(x)],
        y=[*(end(row, high) for row in points), *(end(row, low) for row in reversed(points))],
        mode="lines",
        fill="toself",
        fillcolor=translucent(line.colour),
        line={"width": 0},
        hoverinfo="skip",
    )


def _add_limit(
    made: go.Figure, chart: _Chart, points: Sequence[Row], shown: Quantity, line: _Line
) -> None:
    """What thinking without a budget reaches, drawn back over the budgets."""
    whole = [row for row in points if row[_BUDGET] is None]
    if not whole or len(points) < 2:
        return
    level = shown.scale * whole[0][shown.column]
    made.add_scatter(
        **line.place,
        showlegend=False,
        mode="lines",
        x=[chart.place.of(points[0]), chart.place.of(whole[0])],
        y=[level, level],
        line={"color": line.colour, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )


def _axis(made: go.Figure, place: _Place, last: int) -> None:
    ticks = list(range(len(place.values))) if place.even else [float(v) for v in place.values]
    room = 0.04 * (max(ticks) - min(ticks)) or 0.5
    made.update_xaxes(
        tickvals=ticks,
        ticktext=[tick(place.axis, value) for value in place.values],
        range=[min(ticks) - room, max(ticks) + room],
        zeroline=False,
    )
    unit = ", tokens" if place.axis == _BUDGET else ""
    made.update_xaxes(title_text=axis_title(place.axis) + unit, row=last)
    if place.axis == _BUDGET and None in place.values and len(place.values) > 1:
        made.add_vline(x=len(place.values) - 1.5, line={"color": INK, "width": 1, "dash": "dot"})


def _scale(made: go.Figure, shown: Quantity, panel: int | None, title: str) -> None:
    """The upward axis of one panel, or of all."""
    share = {"range": [-3, 103], "tickvals": [0, 25, 50, 75, 100]}
    kept = share if shown.scale == 100 else {"rangemode": "tozero"}
    made.update_yaxes(**kept, row=panel, title_text=title, zeroline=False)
