"""What each arm costs and how often it is right."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean

import plotly.graph_objects as go

from workbench.evaluation.statistics import Estimate
from workbench.plots.phases import segments, tokens
from workbench.plots.style import PHASES, figure, label, labels, nothing, rows_named
from workbench.records import Generation

_ROW = 34  # pixels
_Parts = Mapping[str, float]  # phase -> mean over an arm's generations


def cost(arms: Mapping[str, Sequence[Generation]]) -> go.Figure:
    """Mean tokens and mean seconds of one answer, by phase: two panels, one bar an arm.

    Args:
        arms: The generations of each arm. Those that failed or were cancelled are left out.
    """
    title = "Tokens and seconds, by phase"
    good = {arm: [one for one in every if one.ok] for arm, every in arms.items()}
    good = {arm: every for arm, every in good.items() if every}
    if not good:
        return nothing(title, "No generation has ended yet.")
    counts = sorted({len(every) for every in good.values()})
    noun = "answer" if counts[-1] == 1 else "answers"
    over = f"means over {'–'.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} {noun} an arm"
    made = figure(title, subtitle=over, plot=70 + 2 * _ROW * len(good))
    made.set_subplots(rows=2, cols=1, vertical_spacing=0.28)
    _add_panel(made, 1, {arm: _mean_tokens(every) for arm, every in good.items()}, ".1f")
    _add_panel(made, 2, {arm: _mean_seconds(every) for arm, every in good.items()}, ".4f")
    made.update_xaxes(title_text="tokens", row=1)
    made.update_xaxes(title_text="seconds", row=2)
    rows_named(made, labels(list(good)))
    return made


def accuracy(groups: Mapping[str, Mapping[str, Estimate]]) -> go.Figure:
    """Accuracy with its 95 % interval: a dot a group and arm, the group's name above its arms.

    Args:
        groups: Group -> arm -> estimate, in the order they are drawn.
    """
    title = "Share of right answers"
    if not any(groups.values()):
        return nothing(title, "Nothing was graded: the prompts have no answer key.")
    lines = _lines(groups)
    dots = [(place, arm, found) for place, (arm, found) in enumerate(lines) if found is not None]
    made = figure(
        title,
        subtitle="mean over problems, with its 95% interval",
        plot=24 * len(lines),
        legend=False,
    )
    made.add_scatter(
        mode="markers",
        marker={"color": PHASES["answer"], "size": 10},
        x=[100 * found.value for _, _, found in dots],
        y=[place for place, _, _ in dots],
        error_x=_interval([found for _, _, found in dots]),
        customdata=[[arm, _told(found)] for _, arm, found in dots],
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        showlegend=False,
    )
    made.update_xaxes(title_text="right answers, %", range=[-3, 103], zeroline=False)
    rows_named(made, [text if found is not None else f"<b>{text}</b>" for text, found in lines])
    return made


def _lines(groups: Mapping[str, Mapping[str, Estimate]]) -> list[tuple[str, Estimate | None]]:
    """The lines of the figure: where there are several groups, each under its own heading."""
    lines: list[tuple[str, Estimate | None]] = []
    for group, estimates in groups.items():
        counts = {found.count for found in estimates.values()}
        if len(groups) > 1:
            problems = f" (n = {max(counts)})" if counts else ""
            lines.append((label(group) + problems, None))
        lines += [(label(arm), found) for arm, found in estimates.items()]
    return lines


def _interval(estimates: Sequence[Estimate]) -> Mapping[str, object]:
    highs = [e.value if e.high is None else e.high for e in estimates]
    lows = [e.value if e.low is None else e.low for e in estimates]
    return {
        "type": "data",
        "symmetric": False,
        "array": [100 * (high - e.value) for high, e in zip(highs, estimates, strict=True)],
        "arrayminus": [100 * (e.value - low) for low, e in zip(lows, estimates, strict=True)],
        "color": PHASES["answer"],
        "thickness": 2,
        "width": 5,
    }


def _told(found: Estimate) -> str:
    low, high = found.low, found.high
    interval = "no interval" if low is None or high is None else f"{low:.1%} to {high:.1%}"
    return f"{found.value:.1%} ({interval}) of {found.count} problems"


def _add_panel(made: go.Figure, row: int, arms: Mapping[str, _Parts], digits: str) -> None:
    named = {bar.name for bar in made.data}
    unit = "tokens" if row == 1 else "s"
    for phase, colour in PHASES.items():
        values = [parts.get(phase, 0.0) for parts in arms.values()]
        if not any(values):
            continue
        made.add_bar(
            row=row,
            col=1,
            name=phase,
            legendgroup=phase,
            showlegend=phase not in named,
            orientation="h",
            marker={"color": colour, "line": {"width": 0}},
            y=list(range(len(arms))),
            x=values,
            customdata=[[name] for name in labels(list(arms))],
            hovertemplate=(
                f"<b>%{{customdata[0]}}</b> · {phase}<br>%{{x:{digits}}} {unit}<extra></extra>"
            ),
        )


def _mean_tokens(generations: Sequence[Generation]) -> _Parts:
    return _mean([Counter(token.phase for token in tokens(one)) for one in generations])


def _mean_seconds(generations: Sequence[Generation]) -> _Parts:
    totals: list[Mapping[str, float]] = []
    for generation in generations:
        sums: dict[str, float] = defaultdict(float)
        for segment in segments(generation):
            sums[segment.phase] += segment.seconds
        totals.append(sums)
    return _mean(totals)


def _mean(parts: Sequence[Mapping[str, float]]) -> _Parts:
    return {phase: mean(part.get(phase, 0.0) for part in parts) for phase in PHASES}
