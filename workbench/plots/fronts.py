"""Accuracy against what it costs, and the settings that nothing beats: the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from workbench.plots.cells import (
    Cells,
    Quantity,
    Row,
    batch_remark,
    hover,
    name,
    others,
    quantity,
    read,
    remark,
    tick,
)
from workbench.plots.labelling import HEIGHT, HIGH, LOW, Scale, spots, up
from workbench.plots.style import INK, SERIES, figure, nothing, translucent

_MOST = 8  # labels
_TICKS = tuple(step * 10.0**power for power in range(-4, 8) for step in (1, 2, 5))  # logarithmic


def pareto(cells: Cells, cost: str = "output_tokens") -> go.Figure:
    """Accuracy against the cost of an answer, a point a setting, with both intervals.

    On the front are the settings that no other one beats: none is at least as often
    right for less, nor more often right for the same. The front is of these
    measurements; settings near it may change places with those on it.

    Args:
        cells: ``run.cells()``, or its rows.
        cost: A column such as ``output_tokens`` or ``request_latency``.

    Raises:
        InvalidInput: No such quantity.
    """
    rows, shown = read(cells), quantity(cost)
    title = f"Right answers against {shown.title}"
    points = _measured(rows, cost)
    if not points:
        return nothing(title, "No setting has a graded answer yet.")
    groups = _groups(points)
    made = figure(
        title,
        subtitle="means over problems with 95% intervals; the front is named",
        plot=HEIGHT,
        legend=True,
    )
    best = _front(points, shown)
    _add_front(made, best, shown)
    for number, (group, own) in enumerate(groups.items()):
        _add_points(made, own, rows, shown, group, SERIES[number % len(SERIES)])
    made.update_traces(showlegend=len(groups) > 1, selector={"mode": "markers"})
    scale = _scale(points, shown)
    _draw_axes(made, scale, shown)
    _add_labels(made, best, points, scale, shown, rows)
    some = f"{_MOST} of {len(best)} settings on the front are named" if best[_MOST:] else ""
    remark(made, batch_remark(rows, shown), some)
    return made


def front(cells: Cells, cost: str = "output_tokens") -> list[int]:
    """The numbers of the rows that are on the front of ``pareto``, by rising cost."""
    rows = read(cells)
    return [rows.index(dict(row)) for row in _front(_measured(rows, cost), quantity(cost))]


def _measured(rows: Sequence[Row], cost: str) -> list[Row]:
    return [row for row in rows if row.get("accuracy") is not None and row.get(cost) is not None]


def _groups(points: Sequence[Row]) -> dict[str, list[Row]]:
    """The points by their colour: the first axis of names."""
    named = [a for a in others(points) if any(isinstance(row[a], str) for row in points)]
    found: dict[str, list[Row]] = {}
    for row in points:
        group = tick(named[0], row[named[0]]) if named else "a setting"
        found.setdefault(group, []).append(row)
    return found


def _front(points: Sequence[Row], shown: Quantity) -> list[Row]:
    """The points that none beats, by rising cost."""
    ordered = sorted(points, key=lambda row: (row[shown.column], -row["accuracy"]))
    front: list[Row] = []
    for row in ordered:
        if not front or row["accuracy"] > front[-1]["accuracy"]:
            front.append(row)
    return front


def _add_front(made: go.Figure, front: Sequence[Row], shown: Quantity) -> None:
    """Steps: between two points on it, the front is as good as the cheaper one."""
    made.add_scatter(
        name="Pareto front",
        mode="lines",
        line={"color": INK, "width": 1.5, "dash": "dash", "shape": "hv"},
        x=[shown.scale * row[shown.column] for row in front],
        y=[100 * row["accuracy"] for row in front],
        hoverinfo="skip",
        showlegend=len(front) > 1,
    )


def _add_points(
    made: go.Figure,
    own: Sequence[Row],
    rows: Sequence[Row],
    shown: Quantity,
    group: str,
    colour: str,
) -> None:
    accuracy = quantity("accuracy")
    made.add_scatter(
        name=group,
        mode="markers",
        marker={"color": colour, "size": 10},
        x=[shown.scale * row[shown.column] for row in own],
        y=[100 * row["accuracy"] for row in own],
        error_x=_errors(own, shown, colour),
        error_y=_errors(own, accuracy, colour),
        customdata=[
            [hover(row, rows, accuracy), f"{shown.title}: {shown.told(row[shown.column])}"]
            for row in own
        ],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
    )


def _errors(own: Sequence[Row], shown: Quantity, colour: str) -> dict[str, object]:
    def reach(row: Row, end: str) -> float:
        value = row.get(f"{shown.column}_{end}")
        return 0.0 if value is None else shown.scale * abs(float(value) - row[shown.column])

    return {
        "type": "data",
        "symmetric": False,
        "array": [reach(row, "high") for row in own],
        "arrayminus": [reach(row, "low") for row in own],
        "color": translucent(colour, 0.45),
        "thickness": 1,
        "width": 0,
    }


def _scale(points: Sequence[Row], shown: Quantity) -> Scale:
    """Logarithmic where the costs span more than a factor of ten."""
    ends = [
        shown.scale * value
        for row in points
        for key in ("", "_low", "_high")
        if (value := row.get(f"{shown.column}{key}")) is not None
    ]
    logarithmic = min(ends) > 0 and max(ends) > 10 * min(ends)
    low, high = (math.log10(min(ends)), math.log10(max(ends))) if logarithmic else (0, max(ends))
    room = 0.05 * (high - low) or 0.5
    return Scale(logarithmic, low - (room if logarithmic else 0), high + room)


def _draw_axes(made: go.Figure, scale: Scale, shown: Quantity) -> None:
    made.update_xaxes(
        title_text=shown.axis,
        type="log" if scale.logarithmic else "linear",
        range=[scale.low, scale.high],
        zeroline=False,
    )
    if scale.logarithmic:
        made.update_xaxes(tickvals=_TICKS, tickformat=",~g")
    made.update_yaxes(
        title_text="right answers, %",
        range=[LOW, HIGH],
        tickvals=list(range(0, 101, 20)),
        zeroline=False,
    )


def _add_labels(
    made: go.Figure,
    front: Sequence[Row],
    points: Sequence[Row],
    scale: Scale,
    shown: Quantity,
    rows: Sequence[Row],
) -> None:
    """The names of the points on the front, kept apart from one another and from all points."""

    def pixels(row: Row) -> tuple[float, float]:
        return scale.across(shown.scale * row[shown.column]), up(100 * row["accuracy"])

    named = [(name(row, rows), *pixels(row)) for row in front[:_MOST]]
    found = spots(named, [pixels(row) for row in points], [pixels(row) for row in front])
    for row, spot in zip(front, found, strict=False):
        made.add_annotation(
            x=scale.at(shown.scale * row[shown.column]),
            y=100 * row["accuracy"],
            text=name(row, rows),
            ax=spot.dx,
            ay=-spot.dy,
            xanchor=spot.anchor,
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            arrowcolor=INK,
            standoff=6,
            font={"size": 12},
        )
