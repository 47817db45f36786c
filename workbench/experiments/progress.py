"""How far a run is, as a bar: in a notebook, in a terminal, and as a line now and then in a log."""

from __future__ import annotations

import importlib
import sys
from typing import Any, TextIO

PROGRESS = "workbench-progress"  # in the metadata of what a bar leaves in a notebook
_QUIET = 10.0  # seconds between lines where they pile up: in files, pipes and logs


class Bar:
    """A bar to hand to ``execute(plan, progress=bar())``; it closes itself at the end.

    Args:
        label: What stands before it.
        file: Where it is written; default: beneath the cell, or stderr.
    """

    def __init__(self, label: str = "", file: TextIO | None = None) -> None:
        self._label = label
        self._file = file
        self._shown: Any = None
        self._cell: Any = None  # what the notebook shows, to be replaced at the end

    def __call__(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` generations have ended."""
        if self._shown is None:
            self._shown = self._open(max(done - 1, 0), total)
        self._shown.update(done - self._shown.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Leave it as it is; another call begins another bar."""
        shown, self._shown = self._shown, None
        if shown is None:
            return
        told = _told(shown)
        shown.close()
        if self._cell is not None:  # a saved notebook would show the begin for ever
            self._cell.update({"text/plain": told}, metadata={PROGRESS: True}, raw=True)
            self._cell = None

    def _open(self, before: int, total: int) -> Any:
        """A bar whose pace is that of what ends from now on, not of what had ended before."""
        options: dict[str, Any] = {"initial": before, "total": total, "unit": "req"}
        options["desc"] = self._label or None
        if self._file is None and _in_notebook():
            shown = importlib.import_module("tqdm.notebook").tqdm(display=False, **options)
            display = importlib.import_module("IPython.display").display
            self._cell = display(shown.container, display_id=True)
            return shown
        file = self._file or sys.stderr
        pause = 0.1 if file.isatty() else _QUIET
        plain = importlib.import_module("tqdm.std").tqdm
        return plain(file=file, mininterval=pause, maxinterval=pause, dynamic_ncols=True, **options)


def bar(label: str = "") -> Bar:
    """A progress bar with the time that is left, for notebooks, terminals and logs."""
    return Bar(label)


def _told(shown: Any) -> str:
    """``sweep: 40/40 [00:12<00:00, 3.29req/s]``"""
    names = ("n", "total", "elapsed", "prefix", "unit", "initial")
    state = {name: shown.format_dict[name] for name in names}
    return str(shown.format_meter(**state, ncols=0))


def _in_notebook() -> bool:
    """Whether a kernel shows what is displayed."""
    shell = sys.modules.get("IPython")
    return shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None
