"""``workbench report``: run a report's notebook, and say where it lies.

::

    0     done
    1     a cell failed: notebook, page and tables are there, the error on top of the page
    2     nothing was run: an unknown report or parameter, a folder that cannot be written
    130   stopped by Ctrl-C: everything so far is there as well
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from workbench.cli.guard import MISTAKE, complain, kept, stopped
from workbench.cli.output import console, print_json
from workbench.errors import InvalidInput
from workbench.report import Report, Step, attempt

_FOLDER = Path("reports")
_PERIOD = 5.0  # seconds between two lines where nobody watches


def report(*, name: str, parameters: Sequence[str], out: Path | None, as_json: bool) -> int | None:
    """Run it; values are read as the types that the notebook gives its parameters."""
    given = dict(_pair(parameter) for parameter in parameters)
    shown = console(as_json)
    watching, watch = _progress(shown, name)
    with watching:
        made = attempt(name, given, out or _FOLDER, watch)
    _tell(made, shown)
    if as_json:
        print_json(_document(made))
    return _ended(made)


def _pair(parameter: str) -> tuple[str, str]:
    key, equals, value = parameter.partition("=")
    if not equals or not key.strip():
        raise InvalidInput(
            f"{parameter!r} is not a parameter.", remedy="Write -p key=value, e.g. -p problems=3."
        )
    return key.strip(), value


def _progress(
    shown: Console, name: str
) -> tuple[AbstractContextManager[Any], Callable[[Step], None]]:
    """A line that is written over on a terminal; elsewhere a line on stderr now and then."""
    if not shown.is_terminal:
        return nullcontext(), _Lines(name)
    status = shown.status(Text(f"{name}: starting …"))
    return status, lambda step: status.update(Text(f"{name}: {step}"))


class _Lines:
    """Where a report is, at most every few seconds."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._last = clock()

    def __call__(self, step: Step) -> None:
        now = self._clock()
        if now - self._last >= _PERIOD:
            self._last = now
            print(f"{self._name}: {step}", file=sys.stderr, flush=True)


def _tell(made: Report, shown: Console) -> None:
    places = {
        "notebook": made.notebook,
        "page": made.html,
        "table": made.csv,
        "cells": made.cells_csv,
        "run": made.run,
    }
    for what, where in places.items():
        if where is not None:
            shown.print(Text(f"{what:<9} {where}"), soft_wrap=True)


def _document(made: Report) -> dict[str, Any]:
    return {
        "run": made.run,
        "notebook": str(made.notebook),
        "html": str(made.html),
        "csv": _path(made.csv),
        "cells_csv": _path(made.cells_csv),
        "error": None if made.error is None else str(made.error),
        "interrupted": made.interrupted,
        "model_seconds": round(made.model_seconds, 3),
        "own_seconds": round(made.own_seconds, 3),
    }


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _ended(made: Report) -> int | None:
    if made.interrupted:
        return stopped(f"{kept(made.run)} {made}")
    if made.error is not None:
        complain(f"{made.error} {made}")
        return MISTAKE
    return None
