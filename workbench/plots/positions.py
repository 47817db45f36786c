"""What happens token by token: latency and log-probability over the position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import plotly.graph_objects as go

from workbench.plots.phases import Token, tokens
from workbench.plots.style import INK, PHASES, figure, label, labels, note, nothing
from workbench.plots.thinning import Point, medians, thinned
from workbench.records import Generation

MOST_POINTS = 3000  # of a panel: what a browser pans and zooms without delay
_PANEL = 190  # pixels
_TICKS = tuple(step * 10.0**power for power in range(-3, 6) for step in (1, 3))  # of a log axis

_Arms = Mapping[str, Sequence[Generation]]


@dataclass(frozen=True, slots=True)
class _Quantity:
    """What is drawn over the position."""

    title: str
    axis: str  # with the unit
    empty: str  # said when there is none
    values: Callable[[Sequence[Token]], Iterable[tuple[Token, float]]]
    highest: bool  # which extreme is never thinned out


def inter_token_latency(arms: _Arms, *, most: int = MOST_POINTS) -> go.Figure:
    """Milliseconds from each token to the next, over the token's position; a panel an arm.

    Tokens that one iteration brought together have no gap between them, and the
    first token has none before it: both are left out.

    Args:
        arms: The generations of each arm, drawn over one another.
        most: Points of a panel. Of more, the longest and the median gap of each
            stretch of neighbours are drawn, and a note says so.
    """
    quantity = _Quantity(
        title="Inter-token latency by position",
        axis="inter-token latency, ms",
        empty="No generation has two tokens yet.",
        values=_gaps,
        highest=True,
    )
    return _by_position(quantity, arms, most)


def log_probability(arms: _Arms, *, most: int = MOST_POINTS) -> go.Figure:
    """The natural log-probability of each sampled token over its position; a panel an arm.

    Args:
        arms: The generations of each arm, drawn over one another.
        most: Points of a panel. Of more, the least and the median of each stretch of
            neighbours are drawn, and a note says so.
    """
    quantity = _Quantity(
        title="Log-probability of each sampled token by position",
        axis="log-probability, nats",
        empty="No log-probabilities were recorded.",
        values=_logprobs,
        highest=False,
    )
    return _by_position(quantity, arms, most)


def _gaps(sampled: Sequence[Token]) -> Iterable[tuple[Token, float]]:
    return ((token, 1000 * token.time.gap) for token in sampled if token.time.gap)


def _logprobs(sampled: Sequence[Token]) -> Iterable[tuple[Token, float]]:
    return ((token, token.time.logprob) for token in sampled if token.time.logprob is not None)


def _by_position(quantity: _Quantity, arms: _Arms, most: int) -> go.Figure:
    panels = {
        arm: [point for one in generations for point in _points(quantity, one)]
        for arm, generations in arms.items()
    }
    panels = {arm: points for arm, points in panels.items() if points}
    if not panels:
        return nothing(quantity.title, quantity.empty)
    made = figure(quantity.title, plot=_PANEL * len(panels), panels=True)
    made.update_layout(legend_itemsizing="constant")  # the points are small
    made.set_subplots(
        rows=len(panels),
        cols=1,
        shared_xaxes=True,
        shared_yaxes="all",
        subplot_titles=labels(list(panels)),
        vertical_spacing=0.3 / max(len(panels), 2),
    )
    for row, points in enumerate(panels.values(), start=1):
        _add_points(made, row, thinned(points, most, highest=quantity.highest))
        _add_medians(made, row, points)
    _finish(made, quantity, panels, most)
    return made


def _points(quantity: _Quantity, generation: Generation) -> Iterable[Point]:
    for token, value in quantity.values(tokens(generation)):
        yield Point(token, value, generation.request.label)


def _add_points(made: go.Figure, row: int, points: Sequence[Point]) -> None:
    named = {trace.name for trace in made.data}
    for phase, colour in PHASES.items():
        own = [point for point in points if point.token.phase == phase]
        if not own:
            continue
        made.add_scatter(
            row=row,
            col=1,
            name=phase,
            legendgroup=phase,
            showlegend=phase not in named,
            mode="markers",
            marker={"color": colour, "size": 4, "opacity": 0.7},
            x=np.array([point.token.time.index for point in own], np.int32),
            y=np.array([point.value for point in own], np.float32),
            text=[_hover(point) for point in own],
            hovertemplate=f"token %{{x}} · {phase} · %{{y:.4g}}<br>%{{text}}<extra></extra>",
        )


def _add_medians(made: go.Figure, row: int, points: Sequence[Point]) -> None:
    x, y = medians(points)
    made.add_scatter(
        row=row,
        col=1,
        name="median",
        legendgroup="median",
        showlegend="median" not in {trace.name for trace in made.data},
        mode="lines",
        line={"color": INK, "width": 1.5},
        x=x,
        y=y,
        hoverinfo="skip",
    )


def _hover(point: Point) -> str:
    return f"“{label(point.token.text, 40)}”<br>{label(point.source)}"


def _finish(
    made: go.Figure, quantity: _Quantity, panels: Mapping[str, Sequence[Point]], most: int
) -> None:
    values = [point.value for points in panels.values() for point in points]
    if min(values) > 0 and max(values) > 10 * median(values):
        made.update_yaxes(type="log", tickvals=_TICKS, tickformat="~g")
    made.update_yaxes(title_text=quantity.axis, row=(len(panels) + 1) // 2)
    made.update_xaxes(tickformat=",d")
    made.update_xaxes(title_text="position of the token", row=len(panels))
    made.update_annotations(x=0, xanchor="left", font={"size": 13})
    longest = max(len(points) for points in panels.values())
    if longest > most:
        which = "highest" if quantity.highest else "lowest"
        note(
            made, f"{most:,} of up to {longest:,} points a panel: medians and {which} of neighbours"
        )
