"""Several runs beside one another: how often right, how many tokens, how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from workbench.evaluation.statistics import Estimate
from workbench.plots.style import PHASES, figure, labels, nothing, rows_named

_ROW = 24  # pixels
_PANELS = ("right answers, %", "tokens of an answer", "seconds of an answer")


def beside(sides: Mapping[str, Sequence[Estimate | None]]) -> go.Figure:
    """A row a side, a panel a quantity, each value with its 95 % interval over problems.

    Args:
        sides: By name: accuracy (a share of 1), tokens, seconds; ``None`` is left out.
    """
    title = "Runs side by side"
    if not any(one for every in sides.values() for one in every):
        return nothing(title, "No generation has ended yet.")
    made = figure(
        title,
        subtitle="mean over problems, with its 95% interval",
        plot=max(_ROW * len(sides), 80),
        legend=False,
    )
    columns = {
        name: [every[place] for every in sides.values()] for place, name in enumerate(_PANELS)
    }
    columns = {name: column for name, column in columns.items() if any(column)}
    made.set_subplots(rows=1, cols=len(columns), shared_yaxes=True, horizontal_spacing=0.05)
    for place, (name, column) in enumerate(columns.items(), start=1):
        share = name == _PANELS[0]
        _panel(made, place, column, list(sides), 100.0 if share else 1.0)
        made.update_xaxes(title_text=name, zeroline=False, rangemode="tozero", col=place)
        made.update_xaxes(range=[-3, 103] if share else None, col=place)
    rows_named(made, labels(list(sides)))
    return made


def _panel(
    made: go.Figure,
    column: int,
    values: Sequence[Estimate | None],
    names: Sequence[str],
    scale: float,
) -> None:
    dots = [(place, one) for place, one in enumerate(values) if one is not None]
    shown = labels(list(names))
    made.add_scatter(
        row=1,
        col=column,
        mode="markers",
        marker={"color": PHASES["answer"], "size": 9},
        x=[scale * one.value for _, one in dots],
        y=[place for place, _ in dots],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [scale * ((one.high or one.value) - one.value) for _, one in dots],
            "arrayminus": [scale * (one.value - _low(one)) for _, one in dots],
            "color": PHASES["answer"],
            "thickness": 2,
            "width": 4,
        },
        customdata=[[shown[place], str(one)] for place, one in dots],
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        showlegend=False,
    )


def _low(one: Estimate) -> float:
    return one.value if one.low is None else one.low
