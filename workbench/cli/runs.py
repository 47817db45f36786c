"""``workbench runs``: what the store keeps."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from workbench.cli import rated, summary, texts
from workbench.cli.documents import run_document
from workbench.cli.output import console, print_json, table
from workbench.experiments import Run, load
from workbench.experiments.energy import in_words
from workbench.interchange import export
from workbench.printable import one_line
from workbench.store import RunRow, Store

_FEW = 12  # generations whose texts are shown without being asked for
_LINE = 50  # characters of a plan or an answer in a list


def list_runs(*, limit: int, as_json: bool) -> None:
    """The latest runs, newest first."""
    with Store(read_only=True) as store:
        rows = store.runs(limit)
    if as_json:
        print_json({"runs": [_run(row) for row in rows]})
    elif rows:
        console().print(_runs_table(rows))
    else:
        console().print(f"{store.path} holds no runs yet. `workbench compare` makes one.")


def show_run(*, run: str, wrong: bool, text: bool | None, as_json: bool) -> None:
    """One run: the plan, the texts, the generations, the arms."""
    with Store(read_only=True) as store:
        loaded = load(run, store)
    chosen = _wrong(loaded) if wrong else sorted(loaded.generations)
    if as_json:
        print_json(run_document(loaded, chosen))
        return
    out = console()
    out.print(texts.heading(f"run {loaded.id}, {loaded.status}"))
    out.print(one_line(loaded.plan.title, 10 * _LINE), "\n")
    if taken := in_words(loaded.environment):
        out.print(f"On the GPU: {taken}\n")
    if text if text is not None else len(chosen) <= _FEW:
        texts.sequential(out, loaded, chosen)
    _tables(out, loaded, chosen, wrong)


def export_run(*, run: str, form: str, task: str | None, out: Path | None) -> None:
    """A run in one of the formats: to files, whose names go to stderr, or lines to stdout."""
    with Store(read_only=True) as store:
        made = export(run, form, out, task=task, store=store)
        if not isinstance(made, tuple):
            for line in made:
                print(line)
            return
    for file in made:
        print(file, file=sys.stderr)


def _run(row: RunRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "created": row.created.isoformat(),
        "status": row.status,
        "kind": row.kind,
        "title": row.title,
        "planned": row.planned,
        "begun": row.begun,
        "ended": row.ended,
    }


def _runs_table(rows: Iterable[RunRow]) -> object:
    return table(
        ("id", "created", "status", "ended", "what"),
        (
            (
                row.id,
                f"{row.created.astimezone():%Y-%m-%d %H:%M}",
                row.status,
                f"{row.ended}/{row.planned}",
                one_line(row.title, _LINE),
            )
            for row in rows
        ),
        right=(3,),
    )


def _wrong(run: Run) -> list[int]:
    return sorted(score.generation for score in run.scores if score.value == 0)


def _tables(out: Console, run: Run, chosen: list[int], wrong: bool) -> None:
    if wrong and not chosen:
        out.print("Nothing in this run was graded wrong.")
        return
    out.print(summary.generations(run, chosen, why=wrong))
    if run.plan.kind == "latency":
        lab = import_module("workbench.experiments.latency_stages").read(run)
        out.print("")
        import_module("workbench.cli.latency").show(lab, {}, out)
    elif not wrong:
        out.print("", summary.arms(run))
        if run.plan.kind == "sweep":
            out.print("", import_module("workbench.cli.cells").cells_table(run))
        if any(cell.problem is not None and cell.problem.judged for cell in run.plan.cells):
            out.print("")
            rated.show(run, out)
