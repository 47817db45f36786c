"""The latency lab's figures: by position, by prompt length, by concurrency; goodput.

They take what ``experiments.latency_figures`` and ``latency_tokens`` compute, by its shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from workbench.plots.latency_lines import (
    Band,
    Goodput,
    Stage,
    at_once,
    by_line,
    concurrency_axis,
    looks,
    median,
    middle_half,
)
from workbench.plots.style import figure, label, labels, note, nothing

_BAND = "#0072B2"  # of the middle half; paler for nine tenths
_MOST_PANELS = 6
_PANEL = 170  # pixels
_WIDE = 20  # ratio of the values from which an axis is logarithmic
_TICKS = tuple(step * 10.0**power for power in range(-3, 7) for step in (1, 3))
_NO_MOMENTS = "When the requests were submitted was not kept, so there is no throughput."


def latency_by_position(stages: Mapping[Any, Sequence[Band]]) -> go.Figure:
    """Inter-token latency over the position: median, middle half, nine tenths; a panel a stage.

    Args:
        stages: Setting -> its bands, as ``latency_tokens.positions`` gives them; of more
            than six the first six are drawn, and a note says so.
    """
    title = "Inter-token latency by position"
    found = {setting: bands for setting, bands in stages.items() if bands}
    if not found:
        return nothing(title, "No request has two tokens yet.")
    drawn = dict(list(found.items())[:_MOST_PANELS])
    made = figure(
        title,
        subtitle="percentiles over the requests of a stage",
        plot=_PANEL * len(drawn),
        panels=True,
    )
    made.set_subplots(
        rows=len(drawn),
        cols=1,
        shared_xaxes=True,
        shared_yaxes="all",
        subplot_titles=labels([str(setting) for setting in drawn]),
        vertical_spacing=0.3 / max(len(drawn), 2),
    )
    for row, bands in enumerate(drawn.values(), start=1):
        _add_bands(made, row, bands)
    made.update_yaxes(rangemode="tozero")
    made.update_yaxes(title_text="milliseconds", row=(len(drawn) + 1) // 2)
    made.update_xaxes(title_text="position of the token", row=len(drawn))
    made.update_annotations(x=0, xanchor="left", font={"size": 13})
    if len(found) > len(drawn):
        note(made, f"the first {len(drawn)} of {len(found)} stages")
    return made


def prefill_rate(stages: Sequence[Stage]) -> go.Figure:
    """Prompt tokens computed a second over the prompt's length, cached and uncached apart.

    Of the lowest concurrency measured: beside others, a prompt waits for theirs. What was
    found in the cache is not counted as computed. Dots are medians, bars the middle half.
    """
    title = "Prefill rate, by the prompt's length"
    least = min((stage.setting.concurrency for stage in stages), default=1)
    alone = [stage for stage in stages if stage.setting.concurrency == least]
    return _lines(
        title,
        f"{at_once(least)}; median and middle half of the requests",
        by_line(alone, over="prompt_tokens"),
        ("prefill_throughput", 1.0, "tokens/s"),
        "prompt, tokens",
    )


def first_token(stages: Sequence[Stage], *, over: str = "concurrency") -> go.Figure:
    """Time to the first token, medians and middle half: what waiting and reading cost.

    Args:
        stages: All of a run.
        over: ``concurrency``, a line a prompt length; or ``prompt_tokens``, at the lowest
            concurrency: what the cache saves.
    """
    least = min((stage.setting.concurrency for stage in stages), default=1)
    if over == "prompt_tokens":
        stages = [stage for stage in stages if stage.setting.concurrency == least]
        return _lines(
            "Time to first token, by the prompt's length",
            f"{at_once(least)}; median and middle half",
            by_line(stages, over=over),
            ("time_to_first_token", 1000.0, "milliseconds"),
            "prompt, tokens",
        )
    return _lines(
        "Time to first token, by concurrency",
        "median and middle half of the requests",
        by_line(stages, over=over),
        ("time_to_first_token", 1000.0, "milliseconds"),
        "requests at once",
    )


def throughput(stages: Sequence[Stage]) -> go.Figure:
    """All tokens a second against one user's tokens a second: a point a concurrency.

    Right is fast for each, up is much for all; more at once moves up and to the left.
    """
    title = "Throughput against pace"
    lines = {
        name: [stage for stage in line if stage.output_token_throughput is not None]
        for name, line in by_line(stages, over="concurrency").items()
    }
    lines = {name: line for name, line in lines.items() if line}
    if not lines:
        return nothing(title, _NO_MOMENTS)
    made = figure(title, subtitle="requests at once stand beside the points", plot=340)
    look = looks(lines)
    for name, line in lines.items():
        each = [median(stage, "output_token_throughput_per_user") for stage in line]
        made.add_scatter(
            **look[name],
            x=each,
            y=[stage.output_token_throughput for stage in line],
            mode="lines+markers+text",
            text=_ends([f" {stage.setting.concurrency}" for stage in line], len(lines)),
            customdata=[stage.setting.concurrency for stage in line],
            textposition="middle right",
            hovertemplate=f"<b>{label(name)}</b> · %{{customdata}} at once"
            "<br>each: %{x:,.1f} tokens/s<br>all: %{y:,.1f} tokens/s<extra></extra>",
        )
    made.update_xaxes(title_text="each: tokens/s while it decodes, median", rangemode="tozero")
    made.update_yaxes(title_text="all together: tokens/s", rangemode="tozero")
    return made


def goodput(found: Sequence[Goodput], objectives: str) -> go.Figure:
    """Requests a second that met every objective, over concurrency.

    Args:
        found: As ``latency_figures.goodput`` gives them.
        objectives: What they had to meet, in words: ``latency_words.bounds``.
    """
    title = "Goodput, by concurrency"
    known = [one for one in found if one.per_second is not None]
    if not known:
        return nothing(title, _NO_MOMENTS)
    made = figure(title, subtitle=label(objectives, 120), plot=280)
    lines = by_line(known, over="concurrency")
    look = looks(lines)
    for name, line in lines.items():
        made.add_scatter(
            **look[name],
            x=[one.setting.concurrency for one in line],
            y=[one.per_second for one in line],
            mode="lines+markers",
            customdata=[[one.good, one.requests] for one in line],
            hovertemplate=f"<b>{label(name)}</b> · %{{x}} at once<br>%{{y:.3g}} requests/s"
            "<br>%{customdata[0]} of %{customdata[1]} requests<extra></extra>",
        )
    concurrency_axis(made, [one.setting for one in known])
    made.update_yaxes(title_text="requests/s", rangemode="tozero")
    return made


def _ends(told: Sequence[str], lines: int) -> list[str]:
    """The first and the last alone where several lines would write over one another."""
    last = len(told) - 1
    return [one if lines < 2 or place in (0, last) else "" for place, one in enumerate(told)]


def _add_bands(made: go.Figure, row: int, bands: Sequence[Band]) -> None:
    x = [(band.first + band.last) / 2 for band in bands]
    for name, low, high, opacity in (
        ("5th to 95th percentile", "p5", "p95", 0.18),
        ("25th to 75th", "p25", "p75", 0.4),
    ):
        lows = [1000 * getattr(band, low) for band in bands]
        highs = [1000 * getattr(band, high) for band in bands]
        made.add_scatter(
            row=row,
            col=1,
            name=name,
            legendgroup=name,
            showlegend=row == 1,
            mode="lines",
            x=[*x, *reversed(x)],
            y=[*highs, *reversed(lows)],
            fill="toself",
            fillcolor=_rgba(_BAND, opacity),
            line={"width": 0},
            hoverinfo="skip",
        )
    made.add_scatter(
        row=row,
        col=1,
        name="median",
        legendgroup="median",
        showlegend=row == 1,
        mode="lines+markers" if len(bands) < 3 else "lines",
        line={"color": _BAND, "width": 2},
        x=x,
        y=[1000 * band.p50 for band in bands],
        customdata=[[band.first, band.last, band.count, 1000 * band.p95] for band in bands],
        hovertemplate="tokens %{customdata[0]} to %{customdata[1]}<br>median %{y:.3g} ms, 95th "
        "percentile %{customdata[3]:.3g} ms<br>%{customdata[2]} gaps<extra></extra>",
    )


def _lines(
    title: str,
    subtitle: str,
    lines: Mapping[str, Sequence[Any]],
    value: tuple[str, float, str],
    axis: str,
) -> go.Figure:
    """Medians with the middle half, a line a setting."""
    name, factor, unit = value
    over = "concurrency" if axis.startswith("requests") else "prompt_tokens"
    kept = {
        line: [stage for stage in stages if median(stage, name) is not None]
        for line, stages in lines.items()
    }
    kept = {line: stages for line, stages in kept.items() if stages}
    if not kept:
        return nothing(title, "No request has ended yet.")
    made = figure(title, subtitle=subtitle, plot=280)
    look = looks(kept)
    for line, stages in kept.items():
        made.add_scatter(
            **look[line],
            x=[getattr(stage.setting, over) for stage in stages],
            y=[factor * (median(stage, name) or 0.0) for stage in stages],
            error_y=middle_half(stages, name, factor),
            mode="lines+markers",
            hovertemplate=f"<b>{label(line)}</b><br>{axis} %{{x:,}}<br>%{{y:,.4g}} {unit}"
            "<extra></extra>",
        )
    values = [median(stage, name) or 0.0 for line in kept.values() for stage in line]
    wide = min(values) > 0 and max(values) > _WIDE * min(values)
    if over == "concurrency":
        concurrency_axis(made, [stage.setting for line in kept.values() for stage in line])
    else:
        made.update_xaxes(title_text=axis, rangemode="tozero")
    made.update_yaxes(title_text=unit, rangemode="tozero")
    if wide:
        made.update_yaxes(type="log", tickvals=_TICKS, tickformat=",~g")
    return made


def _rgba(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
