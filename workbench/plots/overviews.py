"""A sweep at a glance, in the figure that suits what varies in it."""

from __future__ import annotations

import plotly.graph_objects as go

from workbench.plots.cells import Cells, axes, axis_title, places, read
from workbench.plots.curves import curves
from workbench.plots.heatmaps import heatmap
from workbench.plots.style import nothing

_BUDGET = "thinking_budget"  # has a figure of its own, ``plots.budget``


def overview(cells: Cells, value: str = "accuracy") -> go.Figure:
    """A heatmap where two axes of numbers vary, a curve where one does.

    The first two such axes are drawn, in the plan's order; others become panels or lines.

    Args:
        cells: ``run.cells()``, or its rows.
        value: A column, see ``plots.cells.QUANTITIES``.

    Raises:
        InvalidInput: No such quantity.
    """
    rows = read(cells)
    numbers = [
        axis
        for axis in axes(rows)
        if len(values := places(rows, axis)) > 1 and not any(isinstance(v, str) for v in values)
    ]
    chosen = sorted(numbers, key=lambda axis: axis == _BUDGET)
    if len(chosen) > 1:
        return heatmap(rows, chosen[0], chosen[1], value)
    if chosen:
        return curves(rows, chosen[0], value)
    told = ", ".join(axis_title(axis) for axis in axes(rows))
    return nothing("The sweep at a glance", f"No setting that is a number varies: {told}.")
