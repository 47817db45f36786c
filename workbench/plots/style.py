"""One look for all figures: colours, template, labels, and the figure that has nothing to show.

Colour always means the phase of a generation, position always the arm. The colours
are those of Okabe and Ito (2008), which readers with any colour vision tell apart;
text and grid are mid-grey on no background, so a figure stands on a light page and
on a dark one.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import plotly.graph_objects as go

from workbench.printable import one_line

INK = "#777777"  # 4.5:1 on white, 4.2:1 on JupyterLab's dark page
_GRID = "rgba(128,128,128,0.25)"
_LEGEND = 56  # pixels: two lines, which a narrow page needs
_PANEL = 18  # pixels: its title
_FOOT = 62  # pixels: ticks, the axis' title, a note
_FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"

# What time goes into, in order; a token's phase is its channel's.
PHASES: Mapping[str, str] = MappingProxyType(
    {
        "queue": "#999999",
        "prefill": "#56B4E9",
        "first token": "#009E73",
        "thinking": "#E69F00",
        "think tags": "#CC79A7",
        "answer": "#0072B2",
        "stop token": "#D55E00",
    }
)

# Lines and points that are told apart by name: the same colours, the strongest first.
SERIES: tuple[str, ...] = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#56B4E9",
    "#999999",
)


def translucent(colour: str, alpha: float = 0.16) -> str:
    """A colour ``#RRGGBB`` for an area that others show through."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def figure(
    title: str, *, subtitle: str = "", plot: int = 250, legend: bool = True, panels: bool = False
) -> go.Figure:
    """An empty figure in the house's look.

    Title, subtitle and legend stand over one another above the plot, at distances in
    pixels, so that they do not collide on any width.

    Args:
        title: Ours, or escaped by ``label``.
        subtitle: The same.
        plot: Height of the plot itself, pixels; the width is the page's.
        legend: Leave room for one.
        panels: Leave room for the title of a panel beneath it.
    """
    head = 34 + (20 if subtitle else 0)
    top = head + (_LEGEND if legend else 14) + (_PANEL if panels else 0)
    height = top + plot + _FOOT
    made = go.Figure()
    made.update_layout(
        template=_template(),
        height=height,
        margin={"t": top},
        title={"text": title, "subtitle": {"text": subtitle}},
        legend={"y": 1 - head / height},
    )
    return made


def nothing(title: str, why: str) -> go.Figure:
    """A figure that says why there is nothing to show."""
    made = figure(title, plot=60, legend=False)
    made.update_xaxes(visible=False)
    made.update_yaxes(visible=False)
    made.add_annotation(
        text=why, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 14}
    )
    return made


def note(made: go.Figure, text: str) -> None:
    """A remark under the figure, at its right."""
    made.add_annotation(
        text=text,
        showarrow=False,
        xref="paper",
        yref="paper",
        x=1,
        y=0,
        xanchor="right",
        yanchor="top",
        yshift=-42,
        font={"size": 11},
    )


def rows_named(made: go.Figure, names: Sequence[str]) -> None:
    """Rows 0, 1, … from the top, under their names, which need not be different."""
    made.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=list(names),
        ticklabelstandoff=6,
        range=[len(names) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )


def label(text: str, most: int = 60) -> str:
    """Untrusted text for a label or a hover: plotly reads a subset of HTML and TeX in both."""
    return html.escape(one_line(text, most), quote=False).replace("$", "&#36;")


def labels(texts: Sequence[str], most: int = 60) -> list[str]:
    """``label`` of each."""
    return [label(text, most) for text in texts]


def _template() -> go.layout.Template:
    axis = {
        "gridcolor": _GRID,
        "zerolinecolor": _GRID,
        "linecolor": INK,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 12}},
        "tickfont": {"size": 12},
    }
    layout = go.Layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": _FONT, "size": 13, "color": INK},
        title={
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 10},
            "font": {"size": 16},
            "subtitle": {"font": {"size": 12}},
        },
        margin={"l": 8, "r": 16, "b": _FOOT},
        legend={
            "orientation": "h",
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "yref": "container",
            "yanchor": "top",
            "traceorder": "normal",
            "itemwidth": 34,
            "font": {"size": 12},
        },
        hoverlabel={"font": {"family": _FONT, "size": 12}, "align": "left"},
        barmode="stack",
        bargap=0.35,
        xaxis=axis,
        yaxis=axis,
    )
    return go.layout.Template(layout=layout)
