"""Grid cells as figures read them: rows of a table, their axes, their quantities with units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any

import plotly.graph_objects as go

from workbench.errors import InvalidInput
from workbench.plots.style import label, note

Row = Mapping[str, Any]
Cells = Any  # ``run.cells()``, or its rows: a sequence of mappings

_BUDGET = "thinking_budget"
_DRAW_ONLY = ("top_p", "top_k", "min_p")
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "top_p": "top-p",
        "top_k": "top-k",
        "min_p": "min-p",
        _BUDGET: "thinking budget",
    }
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A column of the cells, as a reader is shown it."""

    column: str
    title: str
    unit: str  # after the number, with its space
    scale: float = 1.0
    digits: str = ".3g"

    @property
    def axis(self) -> str:
        """The title of an axis: those of tokens and seconds say their unit."""
        return f"{self.title}, %" if self.unit == "%" else self.title

    def told(self, value: float | None) -> str:
        """With its unit; a dash where it is undefined."""
        return "–" if value is None else f"{self.short(value)}{self.unit}"

    def short(self, value: float) -> str:
        """Without its unit."""
        scaled = self.scale * value
        return f"{scaled:,.0f}" if abs(scaled) >= 100 else f"{scaled:{self.digits}}"


_SHARE: Mapping[str, str] = MappingProxyType(
    {"accuracy": "right answers", "agreement": "agreement with the majority"}
)
_TOKENS: Mapping[str, str] = MappingProxyType(
    {
        "output_tokens": "tokens of an answer",
        "thinking_tokens": "thinking tokens",
        "answer_tokens": "answer tokens",
    }
)
_SECONDS: Mapping[str, str] = MappingProxyType(
    {"request_latency": "seconds of an answer", "median_latency": "median seconds of an answer"}
)
_COUNTS: Mapping[str, str] = MappingProxyType(
    {
        "failed": "failed requests",
        "truncated": "answers cut off at their length",
        "incomplete": "answers that never closed their thinking",
        "leaked": "answers that thought though it was off",
        "forced": "answers whose thinking was closed at its budget",
        "generations": "answers so far",
        "distinct_answers": "different answers to a problem",
    }
)
QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {name: Quantity(name, title, "%", 100.0, ".0f") for name, title in _SHARE.items()}
    | {name: Quantity(name, title, " tokens") for name, title in _TOKENS.items()}
    | {name: Quantity(name, title, " s") for name, title in _SECONDS.items()}
    | {name: Quantity(name, title, "") for name, title in _COUNTS.items()}
)


def quantity(column: str) -> Quantity:
    """The quantity of a column.

    Raises:
        InvalidInput: Figures know no such quantity.
    """
    if column not in QUANTITIES:
        raise InvalidInput(
            f"There is no quantity {column!r}.", remedy=f"Choose from {', '.join(QUANTITIES)}."
        )
    return QUANTITIES[column]


def named(shown: Quantity) -> str:
    """How the quantity was folded over generations, for a subtitle."""
    if shown.column in _COUNTS and shown.column != "distinct_answers":
        return "counted over all answers"
    if shown.column == "median_latency":
        return "median over answers"
    return "mean over problems"


def read(cells: Cells) -> list[dict[str, Any]]:
    """The rows of a table of grid cells; what is not a number is ``None``."""
    rows = cells.to_dict("records") if hasattr(cells, "to_dict") else cells
    return [{str(name): _defined(value) for name, value in row.items()} for row in rows]


def axes(rows: Sequence[Row]) -> list[str]:
    """The columns that say where a grid cell lies: those before ``greedy``."""
    names = list(rows[0]) if rows else []
    return names[: names.index("greedy")] if "greedy" in names else []


def check(rows: Sequence[Row], *names: str) -> None:
    """Refuse what is no axis of these rows.

    Raises:
        InvalidInput: One of the names is none.
    """
    known = axes(rows)
    for name in names:
        if rows and name not in known:
            raise InvalidInput(
                f"The cells have no axis {name!r}.",
                remedy=f"Choose from {', '.join(known) or 'nothing: they have no axes'}.",
            )


def greedy_remark(rows: Sequence[Row], drawn: Sequence[Row]) -> str:
    """What is said under a figure in which greedy settings stand more than once."""
    wide = [axis_title(axis) for axis in others(rows) if axis in _DRAW_ONLY]
    if len(drawn) == len(rows):
        return ""
    return f"greedy settings were asked once; they stand at every {' and '.join(wide)}"


def batch_remark(rows: Sequence[Row], *shown: Quantity) -> str:
    """What is said under a figure of seconds that do not belong to a request alone."""
    timed = any(one.column in _SECONDS for one in shown)
    if not timed or all(row.get("alone", True) for row in rows):
        return ""
    return "requests ran beside others: seconds are those of a batch"


def remark(made: go.Figure, *texts: str) -> None:
    """What a reader could take amiss, in one line under the figure; empty ones are left out."""
    if said := [text for text in texts if text]:
        note(made, "; ".join(said))


def spread(rows: Sequence[Row], names: Iterable[str]) -> list[dict[str, Any]]:
    """The rows with each greedy one at every value of the axes that only a draw has."""
    wide = [name for name in names if name in _DRAW_ONLY]
    values = {name: places(rows, name) for name in wide}
    found: list[dict[str, Any]] = []
    for row in rows:
        chosen = product(*values.values()) if row.get("greedy") else [tuple(row[n] for n in wide)]
        found += [{**row, **dict(zip(wide, one, strict=True))} for one in chosen]
    return found


def places(rows: Iterable[Row], axis: str) -> list[Any]:
    """The values on an axis: numbers in order, ``None`` (no limit) last; names as they come."""
    values = list(dict.fromkeys(row[axis] for row in rows))
    given = [value for value in values if value is not None]
    if all(isinstance(value, int | float) for value in given):
        given.sort()
    return [*given, *([None] if None in values else [])]


def others(rows: Sequence[Row], *used: str | None) -> list[str]:
    """The axes on which the rows differ, but for those in use."""
    return [axis for axis in axes(rows) if axis not in used and len(places(rows, axis)) > 1]


def grouped(rows: Iterable[Row], names: Sequence[str]) -> dict[str, list[Row]]:
    """The rows by their places on these axes, under those places' names, escaped."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(", ".join(place(name, row[name]) for name in names), []).append(row)
    return found


def name(row: Row, rows: Sequence[Row]) -> str:
    """A grid cell by what tells it from the others, escaped."""
    greedy = ("temperature",) if row["greedy"] else ()
    told = [
        "greedy" if axis in greedy else place(axis, row[axis])
        for axis in others(rows)
        if not (row["greedy"] and axis in _DRAW_ONLY)
    ]
    return ", ".join(told) or "the one setting"


def place(axis: str, value: Any) -> str:
    """A value with the name of its axis where it needs one, escaped."""
    if axis == "mode" or isinstance(value, str) or (axis == _BUDGET and value is None):
        return tick(axis, value)
    return f"{'budget' if axis == _BUDGET else axis_title(axis)} {tick(axis, value)}"


def tick(axis: str, value: Any) -> str:
    """A value on an axis, escaped."""
    if value is None:
        return "no budget" if axis == _BUDGET else "no limit"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,g}" if abs(value) < 1e5 else f"{value:,.0f}"
    return label(str(value), 40)


def axis_title(axis: str) -> str:
    """The name of an axis, escaped."""
    return _NAMES.get(axis, label(axis.replace("_", " "), 40))


def hover(row: Row, rows: Sequence[Row], shown: Quantity) -> str:
    """A grid cell in a few lines: its name, the quantity with its interval, what it rests on."""
    low, high = row.get(f"{shown.column}_low"), row.get(f"{shown.column}_high")
    span = "" if low is None or high is None else f" (95%: {shown.told(low)} to {shown.told(high)})"
    lines = [
        f"<b>{name(row, rows)}</b>",
        f"{shown.title}: {shown.told(row.get(shown.column))}{span}",
        f"{row['generations']:,.0f} of {row['planned']:,.0f} answers so far"
        if row["generations"] < row["planned"]
        else f"{row['generations']:,.0f} answers to {row['problems']:,.0f} problems",
    ]
    if row["failed"]:
        lines.append(f"{row['failed']:,.0f} failed")
    return "<br>".join(lines)


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
