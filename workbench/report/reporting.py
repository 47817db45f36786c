"""Execute a report's notebook and make its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from workbench import errors
from workbench.errors import EngineError, InvalidInput, WorkbenchError
from workbench.pages.manifest import RUN_TYPE
from workbench.printable import one_line
from workbench.report import page
from workbench.report.kernel import OwnKernel
from workbench.report.notebooks import find, literal, parsed


@dataclass(frozen=True, slots=True)
class Report:
    """What a report leaves."""

    notebook: Path  # executed, figures as JSON
    html: Path  # self-contained: opens offline, loads nothing
    run: str | None  # id of the stored run it shows


def report(
    name: str, parameters: Mapping[str, Any] | None = None, out: Path = Path("reports")
) -> Report:
    """Run a report's notebook in this interpreter and write it down, twice.

    Args:
        name: One of ``names()``, or the path of a notebook of your own.
        parameters: By name; strings are read as the type the notebook gives them.
        out: The folder, made if need be, for ``NAME-TIME.ipynb`` and ``NAME-TIME.html``.

    Raises:
        InvalidInput: No such report or parameter, or the folder cannot be written.
        WorkbenchError: A cell failed, as the kind of error that it raised. Both files
            are there all the same, and the remedy names them.
    """
    source = find(name)
    values = parsed(name, parameters or {})
    path = _free(out, source.stem)
    error = _execute(source, path, values)
    notebook = nbformat.read(path, as_version=4)
    html = path.with_suffix(".html")
    html.write_text(page.html(notebook, path.name, error), encoding="utf-8")
    if error is not None:
        raise error
    return Report(path, html, _run_of(notebook))


def _execute(source: Path, path: Path, values: Mapping[str, Any]) -> WorkbenchError | None:
    """Run the notebook; what went wrong in it."""
    try:
        papermill.execute_notebook(
            literal(source),
            literal(path),
            dict(values),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            kernel_manager_class=OwnKernel,
        )
    except PapermillExecutionError as error:
        return _told(error, path)
    return None


def _told(error: PapermillExecutionError, path: Path) -> WorkbenchError:
    """The notebook's error as one of ours, of the same kind where it was one."""
    kind = getattr(errors, error.ename, EngineError)
    ours = isinstance(kind, type) and issubclass(kind, WorkbenchError)
    said = error.evalue if ours and kind is not EngineError else f"{error.ename}: {error.evalue}"
    return (kind if ours else EngineError)(
        one_line(said, 2000), remedy=f"The report as far as it came is {path.with_suffix('.html')}."
    )


def _free(out: Path, stem: str) -> Path:
    """A path in the folder that nobody has; the file is made, so that it stays ours."""
    stamp = f"{stem}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            path = out / f"{stamp}{f'-{number}' if number > 1 else ''}.ipynb"
            try:
                path.open("x").close()
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise InvalidInput(
            f"The folder {str(out)!r} cannot be written: {error.strerror}.",
            remedy="Choose another one.",
        ) from error
    raise AssertionError("count() does not end")


def _run_of(notebook: nbformat.NotebookNode) -> str | None:
    """The id of the run that the notebook's manifest names."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            told = output.get("data", {}).get(RUN_TYPE)
            if told is not None:
                return str(told["id"])
    return None
