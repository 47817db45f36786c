"""Execute a report's notebook and make its page."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from workbench import errors
from workbench.errors import EngineError, StoreError, WorkbenchError
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
        InvalidInput: No such report or parameter, or a value of another type.
        StoreError: The folder cannot be written.
        WorkbenchError: A cell failed, as the kind of error that it raised. Both files
            are there all the same, and the remedy names them.
    """
    source = find(name)
    values = parsed(name, parameters or {})
    try:
        return _report(source, out, values)
    except OSError as error:
        raise StoreError(
            f"The report cannot be written to {str(out)!r}: {error.strerror or error}.",
            remedy="Choose another folder, or free some space.",
        ) from error


def _report(source: Path, out: Path, values: Mapping[str, Any]) -> Report:
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
    except RuntimeError as error:  # nbclient's, of a kernel that died or did not start
        return EngineError(
            f"The notebook's interpreter ended: {error}.",
            remedy=f"Memory that ran out is the usual reason. {_so_far(path)}",
        )
    return None


def _told(error: PapermillExecutionError, path: Path) -> WorkbenchError:
    """The notebook's error as one of ours, of the same kind where it was one."""
    kind = getattr(errors, error.ename, None)
    if isinstance(kind, type) and issubclass(kind, WorkbenchError):
        return kind(one_line(error.evalue, 2000), remedy=_so_far(path))
    said = one_line(f"{error.ename}: {error.evalue}", 2000)
    return EngineError(f"A cell failed with {said}.", remedy=_so_far(path))


def _so_far(path: Path) -> str:
    return f"The report as far as it came is {path.with_suffix('.html')}."


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
