"""An evaluation in figures: our share beside the card's, part by part, and how long answers get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import plotly.graph_objects as go

from workbench.evaluation.statistics import Estimate
from workbench.plots.style import INK, SERIES, figure, label, labels, nothing, rows_named

_ROW = 44  # pixels of an arm
_PART = 20  # pixels of an arm within a part
_POINTS = 400  # of a curve: more cannot be told apart
_DASHES = ("solid", "dot", "dash")  # right, wrong, not graded
_TICKS = tuple(mantissa * 10**power for power in range(7) for mantissa in (1, 2, 5))
_WIDE = 20.0  # longest over shortest, above which lengths are on a logarithmic axis


class Shown(Protocol):
    """What is drawn of a verdict."""

    @property
    def arm(self) -> str: ...

    @property
    def ours(self) -> Estimate | None: ...

    @property
    def published(self) -> float | None: ...

    @property
    def words(self) -> str: ...


def verdict(found: Sequence[Shown]) -> go.Figure:
    """Our share with its 95 % interval over problems, and the published one as a mark, arm by arm.

    Args:
        found: ``experiments.verdict.verdicts``; ratings are drawn from 1 to 10.
    """
    title = "Our figures and the card's"
    ours = [(at, one.ours) for at, one in enumerate(found) if one.ours is not None]
    if not ours:
        return nothing(title, "Nothing has been graded yet.")
    share = ours[0][1].share
    scale = 100 if share else 1
    names = labels([one.arm for one in found])
    told = labels([one.words for one in found])
    made = figure(
        title, subtitle="ours, with its 95% interval over problems", plot=_ROW * len(found)
    )
    made.add_scatter(
        name="measured here",
        mode="markers",
        marker={"color": SERIES[0], "size": 11},
        x=[scale * one.value for _, one in ours],
        y=[at for at, _ in ours],
        error_x=_interval([one for _, one in ours], SERIES[0], scale),
        customdata=[[names[at], str(one), told[at]] for at, one in ours],
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<br>%{customdata[2]}<extra></extra>",
    )
    card = [(at, one.published) for at, one in enumerate(found) if one.published is not None]
    if card:
        made.add_scatter(
            name="on the card",
            mode="markers",
            marker={
                "symbol": "line-ns",
                "size": 22,
                "line": {"color": SERIES[4], "width": 3},
                "color": SERIES[4],
            },
            x=[scale * value for _, value in card],
            y=[at for at, _ in card],
            customdata=[[names[at]] for at, _ in card],
            hovertemplate="<b>%{customdata[0]}</b><br>card: %{x:.1f}<extra></extra>",
        )
    _axis(made, share)
    rows_named(made, [f"{name}<br><i>{words}</i>" for name, words in zip(names, told, strict=True)])
    return made


def parts(found: Mapping[str, Mapping[str, Estimate]], *, title: str = "Part by part") -> go.Figure:
    """The share of right answers with its 95 % interval: a row a part, a colour an arm.

    Args:
        found: Part (level, subject) -> arm -> estimate.
        title: Of the figure; ours, or escaped by ``style.label``.
    """
    arms = list(dict.fromkeys(arm for own in found.values() for arm in own))
    if not arms:
        return nothing(title, "There are no parts to tell apart.")
    every = list(found.items())
    made = figure(
        title,
        subtitle="mean over problems, with its 95% interval",
        plot=(8 + _PART * len(arms)) * len(every),
    )
    for number, arm in enumerate(arms):
        own = [(at, part[arm]) for at, (_, part) in enumerate(every) if arm in part]
        shift = 0.56 * ((number + 0.5) / len(arms) - 0.5)
        colour = SERIES[number % len(SERIES)]
        made.add_scatter(
            name=label(arm),
            mode="markers",
            marker={"color": colour, "size": 9, "symbol": number},
            x=[100 * one.value for _, one in own],
            y=[at + shift for at, _ in own],
            error_x=_interval([one for _, one in own], colour, 100),
            customdata=[[label(every[at][0]), str(one)] for at, one in own],
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        )
    _axis(made, share=True)
    rows_named(made, [_counted(name, part) for name, part in every])
    return made


def lengths(
    found: Mapping[str, Mapping[str, Sequence[float]]], *, unit: str = "tokens of an answer"
) -> go.Figure:
    """How many answers are at most so long: a curve an arm, right ones apart from wrong ones.

    Args:
        found: Arm -> right, wrong or not graded -> lengths.
        unit: Of the lengths.
    """
    title = "How long answers get"
    values = [one for arm in found.values() for own in arm.values() for one in own]
    if not values:
        return nothing(title, "No answer has ended yet.")
    made = figure(title, subtitle="share of the answers that are at most so long", plot=300)
    kinds = ("right", "wrong", "not graded")
    for number, (arm, own) in enumerate(found.items()):
        for kind in kinds:
            if not own.get(kind):
                continue
            x, y = _curve(own[kind])
            made.add_scatter(
                name=f"{label(arm)}, {kind} ({len(own[kind]):,})",
                mode="lines",
                line={
                    "color": SERIES[number % len(SERIES)],
                    "dash": _DASHES[kinds.index(kind)],
                    "width": 2,
                    "shape": "hv",
                },
                x=x,
                y=y,
                hovertemplate="%{y:.0f}% have at most %{x:,.0f}<extra>%{fullData.name}</extra>",
            )
    made.update_yaxes(title_text="answers, %", range=[-2, 102])
    made.update_xaxes(title_text=unit, rangemode="tozero")
    least = min(one for one in values if one > 0) if max(values) > 0 else 1.0
    if min(values) > 0 and max(values) / least > _WIDE:
        made.update_xaxes(type="log", tickvals=_TICKS, tickformat=",~g")
    return made


def _curve(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Lengths and the share, in per cent, that is no longer; at most so many points."""
    ordered = np.sort(np.asarray(values, np.float64))
    count = len(ordered)
    places = np.unique(np.linspace(0, count - 1, min(count, _POINTS)).round().astype(int))
    x, y = ordered[places], 100 * (places + 1) / count
    return [float(x[0]), *map(float, x)], [0.0, *map(float, y)]


def _interval(found: Sequence[Estimate], colour: str, scale: float) -> Mapping[str, object]:
    highs = [one.value if one.high is None else one.high for one in found]
    lows = [one.value if one.low is None else one.low for one in found]
    return {
        "type": "data",
        "symmetric": False,
        "array": [scale * (high - one.value) for high, one in zip(highs, found, strict=True)],
        "arrayminus": [scale * (one.value - low) for low, one in zip(lows, found, strict=True)],
        "color": colour,
        "thickness": 2,
        "width": 5,
    }


def _axis(made: go.Figure, share: bool) -> None:
    if share:
        made.update_xaxes(title_text="right answers, %", range=[-3, 103], zeroline=False)
    else:
        made.update_xaxes(title_text="mean rating, 1 to 10", range=[0.8, 10.2], zeroline=False)
    made.update_xaxes(linecolor=INK)


def _counted(name: str, part: Mapping[str, Estimate]) -> str:
    counts = sorted({one.count for one in part.values()})
    return f"{label(name)} ({'–'.join(map(str, dict.fromkeys((counts[0], counts[-1]))))})"
