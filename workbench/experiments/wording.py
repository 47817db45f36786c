"""How findings are put into words: grid cells by name, numbers with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from workbench.evaluation.statistics import Difference, Estimate
from workbench.experiments.grid import GridCell

DRAW_ONLY = ("top_p", "top_k", "min_p")  # axes of no meaning where nothing is drawn
_AXES: Mapping[str, str] = MappingProxyType({"top_p": "top-p", "top_k": "top-k", "min_p": "min-p"})


def title(cell: GridCell, among: Sequence[GridCell]) -> str:
    """The grid cell by what tells it from the others: ``on (temperature 0.6, top-p 0.95)``."""
    parts = {
        axis: _part(axis, value)
        for axis, value in cell.coordinates.items()
        if len({str(other.coordinates[axis]) for other in among}) > 1
        and not (cell.greedy and axis in DRAW_ONLY)
    }
    mode, rest = parts.pop("mode", ""), ", ".join(parts.values())
    if mode and rest:
        return f"{mode} ({rest})"
    return mode or rest or "the one setting"


def axis_name(axis: str) -> str:
    """An axis as it stands in a sentence: ``temperature``, ``top-p``, ``max tokens``."""
    return _AXES.get(axis, axis.replace("_", " "))


def _part(axis: str, value: Any) -> str:
    if axis == "mode" or isinstance(value, str):
        return str(value)
    if axis == "thinking_tokens":
        return "no thinking budget" if value is None else f"thinking budget {value:,}"
    if axis == "temperature" and value == 0:
        return "greedy"
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{axis_name(axis)} {'unlimited' if value is None else shown}"


def share(found: Estimate) -> str:
    """``82% of 30 problems (95% interval 66–93%)``."""
    return f"{found.value:.0%} of {counted(found.count, 'problem')}{_bracketed(share_span(found))}"


def share_span(found: Estimate) -> str:
    """``95% interval 66–93%``; empty where there is none."""
    if found.low is None or found.high is None:
        return ""
    return f"95% interval {100 * found.low:.0f}–{100 * found.high:.0f}%"


def points(found: Difference) -> str:
    """``12 points (95% interval +3 to +21)``, without the sign of the first number."""
    return f"{_points(found, '')}{_bracketed(_change_span(found))}"


def change(found: Difference) -> str:
    """``12 points more, 95% interval +3 to +21``."""
    value = found.estimate.value
    if abs(value) < 1e-9:
        told = "no difference"
    else:
        told = _points(found, " more" if value > 0 else " fewer")
    return ", ".join(part for part in (told, _change_span(found)) if part)


def _points(found: Difference, word: str) -> str:
    size = abs(100 * found.estimate.value)
    shown = round(size) if size >= 1 else round(size, 1)
    return f"{shown:g} point{'' if shown == 1 else 's'}{word}"


def _change_span(found: Difference) -> str:
    """The interval; the test's p where it allows for no difference and the interval does not."""
    gap = found.estimate
    if gap.low is None or gap.high is None:
        return ""
    if found.p_value is not None and not found.sure and (gap.low > 0 or gap.high < 0):
        return f"p = {found.p_value:.2g}"  # of few problems the bootstrap's interval is too narrow
    return f"95% interval {signed(100 * gap.low)} to {signed(100 * gap.high)}"


def amount(found: Estimate, unit: str) -> str:
    """``512 tokens (95% interval 300 to 900)``, ``1.24 s (…)``."""
    span = ""
    if found.low is not None and found.high is not None:
        span = f"95% interval {number(found.low)} to {number(found.high)}"
    return f"{number(found.value)} {unit}{_bracketed(span)}"


def number(value: float) -> str:
    """Three digits that say something: ``1,234``, ``57.1``, ``0.0312``."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def signed(value: float) -> str:
    """``+5``, ``−3``, ``0``."""
    whole = round(value)
    return "0" if whole == 0 else f"{'+' if whole > 0 else '−'}{abs(whole)}"


def counted(count: int, noun: str) -> str:
    """``1 problem``, ``2,000 problems``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def capital(text: str) -> str:
    """The text with a capital letter at its beginning, the rest as it is."""
    return text[:1].upper() + text[1:]


def _bracketed(text: str) -> str:
    return f" ({text})" if text else ""
