"""Execute a report's notebook, make its page and its tables."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import nbformat

from workbench.errors import StoreError, WorkbenchError
from workbench.pages.manifest import RUN_TYPE
from workbench.report import page, tables
from workbench.report.following import Watch
from workbench.report.notebooks import find, parsed
from workbench.report.running import Execution, execute
from workbench.store import RunRow


@dataclass(frozen=True, slots=True)
class Report:
    """What a report leaves."""

    notebook: Path  # executed, figures as JSON
    html: Path  # self-contained: opens offline, loads nothing
    run: str | None = None  # id of the stored run it shows
    csv: Path | None = None  # one row a generation
    cells_csv: Path | None = None  # one row a grid cell, of runs that have a grid
    error: WorkbenchError | None = None  # what stopped it
    interrupted: bool = False  # Ctrl-C stopped it
    model_seconds: float = 0.0  # spent in the cells that began a run
    own_seconds: float = 0.0  # spent on everything else: interpreter, figures, page, tables

    def raise_for_failure(self) -> Report:
        """Itself, for chaining.

        Raises:
            WorkbenchError: A cell failed; the remedy names the page.
            KeyboardInterrupt: Ctrl-C stopped it.
        """
        if self.interrupted:
            raise KeyboardInterrupt
        if self.error is not None:
            raise type(self.error)(self.error.message, remedy=f"{self.error.remedy} {self}".strip())
        return self

    def __str__(self) -> str:
        whole = self.error is None and not self.interrupted
        return f"The report {'' if whole else 'as far as it came '}is {self.html}."


def report(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    out: Path = Path("reports"),
    watch: Watch | None = None,
) -> Report:
    """Run a report's notebook in this interpreter and write it down, twice.

    Args:
        name: One of ``names()``, or the path of a notebook of your own.
        parameters: By name; strings are read as the type the notebook gives them.
        out: The folder, made if need be, for ``NAME-TIME.ipynb``, ``.html`` and ``.csv``.
        watch: Called with every ``Step``: at which cell it is, how many generations are done.

    Raises:
        InvalidInput: No such report or parameter, or a value of another type.
        StoreError: The folder cannot be written.
        WorkbenchError: A cell failed, as the kind of error that it raised. All files
            are there all the same, and the remedy names the page.
        KeyboardInterrupt: Ctrl-C. All files are there as well.
    """
    return attempt(name, parameters, out, watch).raise_for_failure()


def attempt(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    out: Path = Path("reports"),
    watch: Watch | None = None,
) -> Report:
    """The same as ``report``, but a report that was stopped is returned, with its error."""
    source = find(name)
    values = parsed(name, parameters or {})
    try:
        return _attempt(source, out, values, watch)
    except OSError as error:
        raise StoreError(
            f"The report cannot be written to {str(out)!r}: {error.strerror or error}.",
            remedy="Choose another folder, or free some space.",
        ) from error


def _attempt(source: Path, out: Path, values: Mapping[str, Any], watch: Watch | None) -> Report:
    began = time.monotonic()
    path = _free(out, source.stem)
    done = execute(source, path, values, watch)
    notebook = _read(path, source)
    html = path.with_suffix(".html")
    html.write_text(page.html(notebook, path.name, _stopped(done)), encoding="utf-8")
    run = _run_of(notebook) or (done.runs[-1].id if done.runs else None)
    csv, cells_csv = tables.save(run, path) if run is not None else (None, None)
    model = _model_seconds(notebook, done.runs)
    own = time.monotonic() - began - model
    return Report(path, html, run, csv, cells_csv, done.error, done.interrupted, model, own)


def _stopped(done: Execution) -> str | None:
    """Why it stopped before its end, for the top of the page."""
    if not done.interrupted:
        return None if done.error is None else str(done.error)
    kept = f" What was generated is kept as run {done.runs[-1].id}." if done.runs else ""
    return f"It was interrupted.{kept}"


def _read(path: Path, source: Path) -> nbformat.NotebookNode:
    """The executed notebook; the one that was to be executed if nothing was written."""
    written = path.stat().st_size > 0
    notebook = nbformat.read(path if written else source, as_version=4)
    if not written:
        nbformat.write(notebook, path)
    return notebook


def _free(out: Path, stem: str) -> Path:
    """A path in the folder that nobody has; the file is made, so that it stays ours."""
    stamp = f"{stem}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    out.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        path = out / f"{stamp}{f'-{number}' if number > 1 else ''}.ipynb"
        with suppress(FileExistsError):
            path.open("x").close()
            return path
    raise AssertionError("count() does not end")


def _run_of(notebook: nbformat.NotebookNode) -> str | None:
    """The id of the run that the notebook's manifest names."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            told = output.get("data", {}).get(RUN_TYPE)
            if told is not None:
                return str(told["id"])
    return None


def _model_seconds(notebook: nbformat.NotebookNode, runs: Sequence[RunRow]) -> float:
    """How long the cells took in which a run began."""
    return sum(
        (ended - began).total_seconds()
        for began, ended in map(_times, notebook.cells)
        if any(began <= run.created <= ended for run in runs)
    )


def _times(cell: Any) -> tuple[datetime, datetime]:
    """When papermill began and ended a cell; of one that did not run, no time at all."""
    told = cell.metadata.get("papermill") or {}
    if not told.get("start_time") or not told.get("end_time"):
        return datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    return datetime.fromisoformat(told["start_time"]), datetime.fromisoformat(told["end_time"])
