"""What a report says of its runs, read from the notebook or from the page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench import private
from workbench.errors import InvalidInput, StoreError
from workbench.experiments import Run, load
from workbench.experiments.evidence import Evidence, evidence, unpack
from workbench.pages.manifest import RUN_TYPE
from workbench.printable import one_line
from workbench.report.page import RUN_SCRIPT
from workbench.store import Store

_SUFFIXES = (".ipynb", ".html")
_IN_PAGE = re.compile(rf'<script type="application/json" id="{RUN_SCRIPT}\d+">(.*?)</script>', re.S)


def is_file(report: str) -> bool:
    """Whether a name is meant as a report's file, and not as a run's id."""
    return Path(report).suffix.lower() in _SUFFIXES or Path(report).is_file()


def runs_of(report: str, store: Store | None = None) -> tuple[Evidence, ...]:
    """Every run that a report shows, or the one run of an id.

    Args:
        report: Path of an executed notebook (``.ipynb``) or of a page (``.html``), or
            a run's id, or the beginning of it.
        store: Where runs are by id; default: the store of this folder.

    Raises:
        InvalidInput: No such file or run, no report, one that was changed, or one
            of a newer format.
        StoreError: The store cannot be read.
    """
    if not is_file(report):
        return (_stored(load(report, store)),)
    path = Path(report)
    found = list(_packed(path, _text(path)))
    if not found:
        raise InvalidInput(
            f"{path.name} is no report of the workbench: it names no run.",
            remedy="Give the .ipynb or .html that `workbench report` wrote, or a run's id.",
        )
    once = {str(one.get("id")): one for one in found if isinstance(one, dict)}
    return tuple(_evidence(path, one, store) for one in once.values())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidInput(
            f"There is no file {str(path)!r}.", remedy="Give the path of a report, or a run's id."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{str(path)!r} cannot be read: {one_line(str(error), 200)}.",
            remedy="Give the .ipynb or .html that `workbench report` wrote.",
        ) from None


def _packed(path: Path, text: str) -> Iterator[Any]:
    try:
        if path.suffix.lower() == ".html":
            yield from map(json.loads, _IN_PAGE.findall(text))
        else:
            yield from _in_notebook(json.loads(text))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidInput(
            f"{path.name} is no report of the workbench: it cannot be read.",
            remedy="Give the .ipynb or .html that `workbench report` wrote, or a run's id.",
        ) from None


def _in_notebook(notebook: Any) -> Iterator[Any]:
    for cell in notebook.get("cells", []):
        for output in cell.get("outputs", []):
            found = output.get("data", {}).get(RUN_TYPE)
            if found is not None:
                yield found


def _evidence(path: Path, packed: dict[str, Any], store: Store | None) -> Evidence:
    """Reports of the first version only name their run: the store must have it."""
    if packed.keys() != {"id"}:
        return _with_questions(unpack(packed), store)
    try:
        return _stored(load(str(packed["id"]), store))
    except (InvalidInput, StoreError) as error:
        raise InvalidInput(
            f"{path.name} only names its run, and {one_line(error.message, 200)}",
            remedy="Verify it where it was made, or make it again with this version.",
        ) from None


def _stored(run: Run) -> Evidence:
    """Of a run that is here, with the questions that must not be published."""
    return replace(evidence(run), plan=run.unveiled().plan)


def _with_questions(told: Evidence, store: Store | None) -> Evidence:
    """A report leaves private questions out; the store it was made with has them."""
    if not private.withheld(told.plan.cells):
        return told
    try:
        plan = load(told.id, store).unveiled().plan
    except (InvalidInput, StoreError):
        return told
    return replace(told, plan=plan) if private.plan(plan) == told.plan else told
