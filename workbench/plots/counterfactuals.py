"""Recorded tokens under other settings: tokens kept, entropy, coverage; temperature over top-p."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from workbench.counterfactual import Mean, Outlook, grid
from workbench.plots.style import figure, label, nothing
from workbench.records import Generation

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
TOP_PS = (0.5, 0.9, 0.95, 1.0)

_ROW = 36  # pixels
_GAP = 78  # pixels between panels of different arms: a title, ticks, the axis' title
_SCALE = "Cividis"  # the same to readers with any colour vision


@dataclass(frozen=True, slots=True)
class _Panel:
    """One quantity of a setting."""

    title: str
    mean: Callable[[Outlook], Mean]
    text: str  # format of a figure
    shade: Callable[[float], float] = float  # what the colour stands for
    covers: bool = False  # draw the coverage instead of the mean


_PANELS = (
    # A whole vocabulary is thousands of times a nucleus: colours are logarithms.
    _Panel("tokens kept", lambda row: row.size, ".3g", shade=log),
    _Panel("entropy, nats", lambda row: row.entropy, ".3f"),
    _Panel("entropy known, %", lambda row: row.entropy, ".3g", covers=True),
)


def counterfactual(
    arms: Mapping[str, Sequence[Generation]],
    *,
    temperatures: Iterable[float] = TEMPERATURES,
    top_ps: Iterable[float] = TOP_PS,
    vocabulary: int | None = None,
) -> go.Figure:
    """What other settings would have drawn from: three heatmaps an arm, temperature over top-p.

    Mean number of tokens kept and mean entropy over all tokens, and the share of tokens whose
    own entropy the record tells. Where it leaves a mean open, the field has the least that it
    can be, after a ≥. Nothing is asked of a model.

    Args:
        arms: The generations of each arm; their tokens count together. Those whose request
            had no ``alternatives`` are left out.
        temperatures: From the top.
        top_ps: From the left.
        vocabulary: Ids that the model can draw; see ``workbench.counterfactual``.

    Raises:
        InvalidInput: As ``workbench.counterfactual.counterfactual``.
    """
    title = "Other temperatures and nuclei, at the recorded tokens"
    heights, widths = tuple(temperatures), tuple(top_ps)
    told = {arm: [one for one in every if one.request.alternatives] for arm, every in arms.items()}
    grids = {
        arm: grid(every, heights, widths, vocabulary=vocabulary) for arm, every in told.items()
    }
    grids = {arm: rows for arm, rows in grids.items() if rows and rows[0].tokens}
    if not grids:
        return nothing(title, "No alternatives were recorded: ask with alternatives=20.")
    made = _panels(title, grids, len(heights))
    for row, (arm, rows) in enumerate(grids.items(), start=1):
        for column, panel in enumerate(_PANELS, start=1):
            most = _largest(panel, grids.values())
            made.add_trace(_heatmap(label(arm), panel, rows, most), row=row, col=column)
    made.update_xaxes(type="category", showgrid=False, ticks="")
    made.update_yaxes(type="category", showgrid=False, ticks="", autorange="reversed")
    made.update_xaxes(title_text="top-p", row=len(grids))
    made.update_yaxes(title_text="temperature", col=1)
    return made


def _panels(title: str, grids: Mapping[str, Sequence[Outlook]], lines: int) -> go.Figure:
    """The empty figure: a row of panels an arm."""
    plot = len(grids) * lines * _ROW + (len(grids) - 1) * _GAP
    tokens = {rows[0].tokens for rows in grids.values()}
    span = "–".join(f"{count:,}" for count in sorted({min(tokens), max(tokens)}))
    made = figure(
        title,
        subtitle=f"means over {span} tokens an arm; ≥: the record leaves open how much more",
        plot=plot,
        legend=False,
    )
    named = [
        panel.title if len(grids) == 1 else f"{label(arm, 24)} · {panel.title}"
        for arm in grids
        for panel in _PANELS
    ]
    made.set_subplots(
        rows=len(grids),
        cols=len(_PANELS),
        shared_yaxes=True,
        subplot_titles=named,
        horizontal_spacing=0.04,
        vertical_spacing=_GAP / plot if len(grids) > 1 else 0.0,
    )
    made.update_layout(margin={"t": made.layout.margin.t + 14}, height=made.layout.height + 14)
    made.update_annotations(font={"size": 13})
    return made


def _heatmap(arm: str, panel: _Panel, rows: Sequence[Outlook], most: float) -> go.Heatmap:
    heights = list(dict.fromkeys(row.temperature for row in rows))
    widths = list(dict.fromkeys(row.top_p for row in rows))
    shape = (len(heights), len(widths))
    return go.Heatmap(
        x=[f"{value:g}" for value in widths],
        y=[f"{value:g}" for value in heights],
        z=_table([_shade(panel, row) for row in rows], shape),
        text=_table([_text(panel, row) for row in rows], shape),
        customdata=_table([_told(arm, panel, row) for row in rows], shape),
        texttemplate="%{text}",
        hovertemplate="%{customdata}<extra></extra>",
        colorscale=_SCALE,
        zmin=0.0,
        zmax=most,
        showscale=False,
        xgap=2,
        ygap=2,
    )


def _value(panel: _Panel, row: Outlook) -> float:
    """The mean, or the least that it can be; or the coverage, in percent."""
    mean = panel.mean(row)
    if panel.covers:
        return 100 * (mean.coverage or 0.0)
    return (mean.low or 0.0) if mean.value is None else mean.value


def _shade(panel: _Panel, row: Outlook) -> float:
    return panel.shade(_value(panel, row))


def _text(panel: _Panel, row: Outlook) -> str:
    is_open = not panel.covers and panel.mean(row).value is None
    return ("≥ " if is_open else "") + format(_value(panel, row), panel.text)


def _told(arm: str, panel: _Panel, row: Outlook) -> str:
    mean = panel.mean(row)
    lines = [
        f"<b>{arm}</b> · temperature {row.temperature:g}, top-p {row.top_p:g}",
        f"{panel.title}: {_text(panel, row)}",
    ]
    if not panel.covers and mean.value is None:
        lines.append(f"at least {mean.low:,.4g}, at most {mean.high:,.4g}")
    lines.append(f"known of {mean.coverage:.1%} of {row.tokens:,} tokens")
    return "<br>".join(lines)


def _table(values: Sequence[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    return np.array(values).reshape(shape)


def _largest(panel: _Panel, grids: Iterable[Sequence[Outlook]]) -> float:
    if panel.covers:
        return 100.0
    return max(_shade(panel, row) for rows in grids for row in rows) or 1.0
