"""``workbench runs compare``: several runs or reports in one table and one figure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from workbench.cli.output import console, print_json, table
from workbench.errors import InvalidInput
from workbench.experiments import load
from workbench.experiments.comparison import Told, gaps, sides
from workbench.printable import one_line
from workbench.report.reading import is_file, runs_of
from workbench.report.together import about, change_rows, gap_rows, page, side_rows, telling
from workbench.store import Store

_LONGEST = 120  # characters of a value


def compare_runs(*, chosen: Sequence[str], out: Path | None, as_json: bool) -> None:
    """Tell of runs by id, or of reports by file."""
    if out is not None and out.suffix.lower() != ".html":
        raise InvalidInput(f"The figure cannot be kept in {out.name!r}.", remedy="Name an .html.")
    with Store(read_only=True) as store:
        runs = [run for name in chosen for run in _runs(name, store)]
        if as_json:
            print_json(_document(runs))
        _show(console(as_json), runs)
        if out is not None:
            _write(out, page(runs))


def _runs(name: str, store: Store) -> Iterable[Told]:
    return runs_of(name, store) if is_file(name) else [load(name, store)]


def _show(shown: Console, runs: Sequence[Told]) -> None:
    for rows, title in (
        (about(runs), ""),
        (side_rows(sides(runs)), ""),
        (gap_rows(gaps(runs)), "On the problems that both were asked"),
        (change_rows(runs), "Not the same in both"),
    ):
        if rows:
            shown.print(*([title] if title else []), _table(rows))


def _table(rows: Sequence[dict[str, Any]]) -> object:
    heads = telling(rows)
    return table(heads, ([_cell(row.get(head)) for head in heads] for row in rows))


def _cell(value: Any) -> str | None:
    return None if value is None else one_line(str(value), _LONGEST)


def _document(runs: Sequence[Told]) -> dict[str, Any]:
    return {
        "runs": about(runs),
        "cells": [asdict(side) | {"label": side.label} for side in sides(runs)],
        "differences": [asdict(gap) for gap in gaps(runs)],
        "changes": change_rows(runs),
    }


def _write(file: Path, text: str) -> None:
    partial = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, file)
    except OSError as error:
        raise InvalidInput(
            f"{file} cannot be written: {error.strerror or error}.",
            remedy="Choose another file with --out.",
        ) from error
