"""Several runs as one page: what they are, side by side, their differences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workbench import pages
from workbench.evaluation.statistics import Estimate, Paired
from workbench.experiments.comparison import Gap, Side, Told, gaps, named, sides
from workbench.pages.page import render
from workbench.plots.beside import beside
from workbench.report.changes import changes
from workbench.report.page import html

_FIGURE = "application/vnd.plotly.v1+json"
_NO_PROBLEM = "The runs have no problem in common that was asked at the same settings."
_NO_CHANGE = "Engine, versions and machine are the same."
_SHORT = 12  # hexadecimal digits of a hash


def page(runs: Sequence[Told]) -> str:
    """A self-contained page of the runs, see ``report.page``."""
    every = sides(runs)
    cells = [
        *_part("# Runs side by side", _facts_table(about(runs))),
        *_part("## What came of each", _figure(every), _table(side_rows(every), "")),
        *_part("## Problem by problem", _table(gap_rows(gaps(runs)), _NO_PROBLEM)),
        *_part("## What is not the same in all", _table(change_rows(runs), _NO_CHANGE)),
    ]
    return html(new_notebook(cells=cells))


def about(runs: Iterable[Told]) -> list[dict[str, Any]]:
    """A row a run: its name here, its id, what it asked, who answered."""
    return [
        {
            "name": name,
            "run": run.id,
            "plan": str(run.plan),
            "model": _each(run, "model"),
            "weights": ", ".join(one[:_SHORT] for one in _facts(run, "weights_sha256")) or None,
            "device": _each(run, "device"),
            "versions": _versions(run),
        }
        for name, run in named(runs).items()
    ]


def side_rows(every: Iterable[Side]) -> list[dict[str, Any]]:
    """A row a side, for people."""
    return [
        {
            "side": side.label,
            "answers": side.generations,
            "failed": side.failed,
            "right": _told(side.accuracy),
            "thinking, tokens": _told(side.thinking_tokens),
            "tokens": _told(side.output_tokens),
            "seconds": _told(side.request_latency),
        }
        for side in every
    ]


def gap_rows(every: Iterable[Gap]) -> list[dict[str, Any]]:
    """A row a difference, for people."""
    return [
        {
            "difference": f"{gap.name} − {gap.first}",
            "at": _settings(gap.settings),
            "runs differ in": _differing(gap.differing),
            "right": _paired(gap.accuracy),
            "tokens": _told(gap.output_tokens.estimate if gap.output_tokens else None),
            "seconds": _told(gap.request_latency.estimate if gap.request_latency else None),
        }
        for gap in every
    ]


def change_rows(runs: Iterable[Told]) -> list[dict[str, Any]]:
    """A row a fact of the environment in which a run differs from the first."""
    (first, ours), *others = named(runs).items()
    return [
        {"fact": change.what, "of": name, first: change.then, "there": change.now}
        for name, run in others
        for change in changes(ours.environment, run.environment)
    ]


def telling(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns that say something."""
    heads = dict.fromkeys(head for row in rows for head in row)
    return [head for head in heads if any(row.get(head) not in (None, 0) for row in rows)]


def _table(rows: Sequence[Mapping[str, Any]], otherwise: str) -> pages.Page:
    return pages.table(rows, telling(rows)) if rows else pages.prose(otherwise)


def _facts_table(rows: Sequence[Mapping[str, Any]]) -> pages.Page:
    """A line a fact, a column a run: plans and versions are long."""
    facts = [name for name in telling(rows) if name != "name"]
    return render(
        "table",
        "\n".join(f"{row['name']}: {row['run']}" for row in rows),
        label="Runs",
        kind="wb-words",
        heads=["", *(row["name"] for row in rows)],
        rows=[[name, *(row[name] for row in rows)] for name in facts],
        note="",
    )


def _part(heading: str, *shown: Any) -> Iterator[NotebookNode]:
    yield new_markdown_cell(heading)
    cell = new_code_cell("")
    cell.outputs = [new_output("display_data", data=_data(one)) for one in shown]
    yield cell


def _data(shown: Any) -> dict[str, Any]:
    if isinstance(shown, Mapping):
        return dict(shown)
    return {"text/html": shown.html, "text/plain": shown.text}


def _figure(every: Iterable[Side]) -> dict[str, Any]:
    made = beside(
        {side.label: (side.accuracy, side.output_tokens, side.request_latency) for side in every}
    )
    return {_FIGURE: json.loads(made.to_json())}


def _facts(run: Told, name: str) -> list[str]:
    engines = run.environment.get("engines") or []
    return [str(one[name]) for one in engines if one.get(name) is not None]


def _each(run: Told, name: str) -> str | None:
    return ", ".join(dict.fromkeys(_facts(run, name))) or None


def _versions(run: Told) -> str | None:
    packages = run.environment.get("packages") or {}
    wanted = ("nemotron-workbench", "exllamav2", "torch", "transformers")
    return ", ".join(f"{one} {packages[one]}" for one in wanted if packages.get(one)) or None


def _told(estimate: Estimate | None) -> str | None:
    return None if estimate is None else str(estimate)


def _paired(found: Paired | None) -> str | None:
    if found is None:
        return None
    p = "" if found.p_value is None else f", p {found.p_value:.2g}"
    return f"{found.difference}{p}"


def _settings(settings: Mapping[str, Any]) -> str:
    told = [f"{name.replace('_', '-')} {value}" for name, value in settings.items()]
    return ", ".join(told) or "all"


def _differing(differing: Mapping[str, tuple[Any, Any]]) -> str:
    told = [f"{name.replace('_', '-')} {a}, not {b}" for name, (a, b) in differing.items()]
    return "; ".join(told) or "nothing that was set"
