"""Quantities as a reader is shown them, always with their unit."""

from __future__ import annotations

from workbench.evaluation.statistics import Estimate


def seconds(value: float | None) -> str | None:
    """``58.1 ms``, ``1.92 s``, ``4 min 05 s``; ``None`` stays undefined."""
    if value is None:
        return None
    if value < 0.9995:
        return f"{1000 * value:.3g} ms"
    if value < 100:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


def count(value: float | None, noun: str) -> str | None:
    """``1 token``, ``12 tokens``, ``1,234.5 tokens``."""
    if value is None:
        return None
    shown = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    return f"{shown} {noun}" if shown == "1" else f"{shown} {noun}s"


def joules(value: float | None) -> str | None:
    """``0.412 J``, ``35.1 J``, ``1,234 J``."""
    if value is None:
        return None
    return f"{value:,.0f} J" if value >= 1000 else f"{value:.3g} J"


def share(value: float | None) -> str | None:
    """A share as percent."""
    return None if value is None else f"{100 * value:.0f} %"


def interval(estimate: Estimate | None) -> str | None:
    """``92% (62–100%), n = 12``: the value, its 95 % interval, the problems it rests on."""
    if estimate is None:
        return None
    span = ""
    if estimate.low is not None and estimate.high is not None:
        span = f" ({100 * estimate.low:.0f}–{100 * estimate.high:.0f}%)"
    return f"{100 * estimate.value:.0f}%{span}, n = {estimate.count}"
