"""What the latency lab's figures share: the shape of what they draw, its lines and their looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import plotly.graph_objects as go

from workbench.plots.style import INK, label

# Of Okabe and Ito (2008). A line is a setting here, not a phase: it has a marker and a dash
# besides, so that colour is never alone in telling two apart.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
_MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")


class Setting(Protocol):
    """What the requests of a stage have in common."""

    @property
    def side(self) -> str: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def concurrency(self) -> int: ...
    @property
    def cached(self) -> bool: ...


class Stage(Protocol):
    """Figures of a stage; distributions as ``metrics.percentiles`` names them, seconds."""

    @property
    def setting(self) -> Setting: ...
    @property
    def output_token_throughput(self) -> float | None: ...
    def __getitem__(self, name: str) -> Mapping[str, float | None]: ...


class Band(Protocol):
    """Gaps of a stretch of positions, seconds."""

    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def p5(self) -> float: ...
    @property
    def p25(self) -> float: ...
    @property
    def p50(self) -> float: ...
    @property
    def p75(self) -> float: ...
    @property
    def p95(self) -> float: ...


class Goodput(Protocol):
    """Requests of a stage that met every objective."""

    @property
    def setting(self) -> Setting: ...
    @property
    def good(self) -> int: ...
    @property
    def requests(self) -> int: ...
    @property
    def per_second(self) -> float | None: ...


def by_line(stages: Sequence[Any], *, over: str) -> dict[str, list[Any]]:
    """Stages that differ in one thing, under the name of what they share."""
    lines: dict[str, list[Any]] = {}
    several_outputs = len({stage.setting.output_tokens for stage in stages}) > 1
    for stage in stages:
        setting = stage.setting
        parts = [setting.side] if setting.side else []
        parts += [f"{setting.prompt_tokens:,} tokens"] if over == "concurrency" else []
        parts += [f"+ {setting.output_tokens:,}"] if several_outputs else []
        parts += ["cached" if setting.cached else "uncached"]
        lines.setdefault(" · ".join(parts), []).append(stage)
    return {
        name: sorted(line, key=lambda one: getattr(one.setting, over))
        for name, line in lines.items()
    }


def looks(lines: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Name, colour, marker and dash of each line; a cached one has the uncached one's colour."""
    pairs: dict[str, int] = {}
    found = {}
    for name, line in lines.items():
        cached = line[0].setting.cached
        number = pairs.setdefault(name.removesuffix("uncached").removesuffix("cached"), len(pairs))
        symbol = _MARKERS[number % len(_MARKERS)]
        found[name] = {
            "name": label(name),
            "line": {
                "color": _COLOURS[number % len(_COLOURS)],
                "width": 2,
                "dash": "dash" if cached else "solid",
            },
            "marker": {"symbol": f"{symbol}-open" if cached else symbol, "size": 9},
            "textfont": {"color": INK, "size": 12},
        }
    return found


def middle_half(stages: Sequence[Stage], name: str, factor: float) -> dict[str, Any]:
    """Error bars from the 25th to the 75th percentile around the median."""
    values = [(stage[name]["p25"], stage[name]["p50"], stage[name]["p75"]) for stage in stages]
    return {
        "type": "data",
        "symmetric": False,
        "array": [factor * ((high or 0.0) - (middle or 0.0)) for _, middle, high in values],
        "arrayminus": [factor * ((middle or 0.0) - (low or 0.0)) for low, middle, _ in values],
        "thickness": 1.5,
        "width": 4,
    }


def concurrency_axis(made: go.Figure, settings: Sequence[Setting]) -> None:
    """The levels as ticks; on a logarithmic axis where they double."""
    levels = sorted({setting.concurrency for setting in settings})
    doubling = len(levels) > 2 and all(later >= 2 * level for level, later in pairwise(levels))
    made.update_xaxes(
        title_text="requests at once",
        type="log" if doubling else "linear",
        tickvals=levels,
        ticktext=[str(level) for level in levels],
    )


def median(stage: Stage, name: str) -> float | None:
    """Of one distribution of a stage."""
    return stage[name]["p50"]


def at_once(level: int) -> str:
    """A concurrency in words."""
    return "one request at a time" if level == 1 else f"{level} requests at once"
