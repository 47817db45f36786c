"""Paired differences with their intervals, a line each: a forest plot."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from workbench.evaluation.statistics import Difference
from workbench.plots.style import INK, SERIES, figure, labels, nothing, rows_named

_ROW = 26  # pixels
_SURE, _UNSURE = SERIES[0], "#999999"


def differences(
    found: Mapping[str, Difference],
    *,
    title: str = "Differences problem by problem",
    unit: str = "",
) -> go.Figure:
    """Each difference as a dot with its 95 % interval; those that chance can explain in grey.

    Args:
        found: By name, in the order they are drawn; shares of 1 are shown in points.
        title: Of the figure; ours, or escaped by ``style.label``.
        unit: Of other quantities: ``tokens``, ``s``.
    """
    if not found:
        return nothing(title, "Nothing can be compared yet.")
    every = list(found.items())
    scale = 100 if every[0][1].estimate.share else 1
    unit = "points" if scale == 100 else unit
    made = figure(
        title,
        subtitle="on the problems that both have; each with its 95% interval",
        plot=_ROW * len(every) + 16,
        legend=True,
    )
    names = labels([name for name, _ in every])
    for sure in (True, False):
        own = [(at, one.estimate) for at, (_, one) in enumerate(every) if one.sure is sure]
        if not own:
            continue
        colour = _SURE if sure else _UNSURE
        made.add_scatter(
            name="more than chance explains" if sure else "chance can explain it",
            mode="markers",
            marker={"color": colour, "size": 9},
            x=[scale * gap.value for _, gap in own],
            y=[at for at, _ in own],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [0 if g.high is None else scale * (g.high - g.value) for _, g in own],
                "arrayminus": [0 if g.low is None else scale * (g.value - g.low) for _, g in own],
                "color": colour,
                "thickness": 2,
                "width": 4,
            },
            customdata=[[names[at], _told(every[at][1], scale, unit)] for at, _ in own],
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        )
    made.add_vline(x=0, line={"color": INK, "width": 1})
    made.update_xaxes(title_text=f"difference, {unit}".rstrip(", "), zeroline=False)
    rows_named(made, names)
    return made


def _told(found: Difference, scale: float, unit: str) -> str:
    gap = found.estimate
    lines = [f"{scale * gap.value:+,.3g} {unit}".rstrip()]
    if gap.low is not None and gap.high is not None:
        lines.append(f"95% interval {scale * gap.low:+,.3g} to {scale * gap.high:+,.3g}")
    if found.p_value is not None:
        lines.append(f"p {'&lt; 0.001' if found.p_value < 0.001 else f'= {found.p_value:.2g}'}")
    return "<br>".join([*lines, f"{gap.count:,} problems"])
