"""Where the time goes, generation by generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import plotly.graph_objects as go

from workbench.plots.phases import Segment, segments
from workbench.plots.style import PHASES, figure, label, nothing, rows_named
from workbench.records import Generation

_MOST_BARS = 40  # rows that can be told apart
_ROW = 34  # pixels


def timeline(arms: Mapping[str, Sequence[Generation]], *, subtitle: str = "") -> go.Figure:
    """One bar a generation, from its submission to its last token, cut into phases.

    Args:
        arms: The generations of each arm; of more than 40 the first 40 are drawn.
        subtitle: What was asked, untrusted.
    """
    title = "Seconds of an answer, by phase"
    rows = [(name, parts) for name, one in _named(arms) if (parts := segments(one))]
    if not rows:
        return nothing(title, "No generation has begun yet.")
    drawn = rows[:_MOST_BARS]
    more = f" · the first {len(drawn)} of {len(rows)}" if len(rows) > len(drawn) else ""
    made = figure(title, subtitle=label(subtitle, 90) + more, plot=_ROW * len(drawn))
    for phase, colour in PHASES.items():
        _add_phase(made, phase, colour, drawn)
    made.update_xaxes(title_text="seconds since the request was submitted", rangemode="tozero")
    rows_named(made, [name for name, _ in drawn])
    return made


def _named(arms: Mapping[str, Sequence[Generation]]) -> Iterator[tuple[str, Generation]]:
    """Each generation with a row's name of its own."""
    for arm, generations in arms.items():
        for number, generation in enumerate(generations, start=1):
            yield label(arm if len(generations) == 1 else f"{arm} {number}"), generation


def _add_phase(
    made: go.Figure, phase: str, colour: str, rows: Sequence[tuple[str, Sequence[Segment]]]
) -> None:
    bars = [
        (row, name, part)
        for row, (name, parts) in enumerate(rows)
        for part in parts
        if part.phase == phase
    ]
    if not bars:
        return
    made.add_bar(
        name=phase,
        orientation="h",
        marker={"color": colour, "line": {"width": 0}},
        y=[row for row, _, _ in bars],
        base=[part.begin for _, _, part in bars],
        x=[part.seconds for _, _, part in bars],
        customdata=[[name, part.begin, part.end, part.tokens] for _, name, part in bars],
        hovertemplate=(
            f"<b>%{{customdata[0]}}</b> · {phase}<br>%{{x:.4f}} s, from %{{customdata[1]:.4f}} "
            "to %{customdata[2]:.4f} s<br>tokens: %{customdata[3]}<extra></extra>"
        ),
    )
