"""``workbench bench``: ratios measured side by side, their goals, and one JSON line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from workbench.bench import suite
from workbench.bench.figures import Figure
from workbench.bench.machine import machine
from workbench.cli.output import console, print_json, table

_HEADS = ("figure", "ratio", "range", "goal", "", "each side", "what")


def bench(
    *, names: Sequence[str], model: str, device: str | None, quick: bool, as_json: bool
) -> None:
    """Measure; print every figure as it comes, then all of it as one line of JSON."""
    out = console(as_json)
    facts = machine()
    _head(out, facts)
    figures: list[Figure] = []
    rows: dict[str, suite.Rows] = {}
    for name, result in suite.run(names, suite.options(model, device, quick=quick)):
        if isinstance(result, Figure):
            figures.append(result)
            out.print(f"{result.name}: {result.ratio:.3g}", style="dim")
        else:
            rows[name] = result
    _tables(out, figures, rows)
    told = {"machine": facts, "model": model, "quick": quick}
    print_json(told | {"figures": [one.as_json() for one in figures], **rows})


def _head(out: Console, facts: dict[str, Any]) -> None:
    versions = facts["packages"]
    out.print(
        f"{facts['processor']}, {facts['cores']} cores, load {facts['load']}; "
        f"{(facts['gpu'] or {}).get('name', 'no GPU')}; Python {facts['python']}, "
        f"torch {versions['torch']}, ExLlamaV2 {versions['exllamav2']}",
        soft_wrap=True,
    )


def _tables(out: Console, figures: Sequence[Figure], rows: dict[str, suite.Rows]) -> None:
    if figures:
        out.print(table(_HEADS, map(_row, figures), right=(1, 2)))
    for name, lines in rows.items():
        out.print(f"\n{name}", style="bold")
        out.print(table(_names(lines[0]), ([_value(v) for v in line.values()] for line in lines)))


def _names(line: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in line)


def _value(value: object) -> object:
    if not isinstance(value, float):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _row(figure: Figure) -> tuple[object, ...]:
    return (
        figure.name,
        f"{figure.ratio:.3g}",
        f"{figure.low:.3g}–{figure.high:.3g}",
        figure.goal,
        None if figure.met is None else "met" if figure.met else "missed",
        f"{figure.first:.4g} / {figure.second:.4g} {figure.unit}",
        figure.what,
    )
