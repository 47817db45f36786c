"""Run a report's notebook in an interpreter of its own, followed, and stopped by Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from workbench import errors
from workbench.errors import EngineError, WorkbenchError
from workbench.printable import one_line
from workbench.report.following import Following, Watch
from workbench.report.kernel import OwnKernel
from workbench.report.notebooks import literal
from workbench.store import RunRow


@dataclass(frozen=True, slots=True)
class Execution:
    """How a notebook's execution went."""

    error: WorkbenchError | None  # what went wrong in it
    interrupted: bool  # Ctrl-C ended it
    runs: tuple[RunRow, ...]  # that it has begun, the oldest first


def execute(
    source: Path, path: Path, values: Mapping[str, Any], watch: Watch | None = None
) -> Execution:
    """Run a notebook; whatever happens, it is written as far as it came.

    The first Ctrl-C interrupts the cell that runs, so that a run in it is ended and
    kept as any interrupted run is; the second one kills the interpreter.

    Args:
        source: The notebook.
        path: Where to write it, executed.
        values: Its parameters.
        watch: Called with every step.
    """
    with Following(_code_cells(source), watch) as following, _Interrupts(following) as interrupts:
        error = _run(source, path, values, following, interrupts)
    return Execution(error, interrupts.asked, tuple(following.runs()))


class _Interrupts:
    """Ctrl-C for as long as a notebook runs. Only the main thread can hear it."""

    def __init__(self, following: Following) -> None:
        self.asked = False
        self._following = following

    def __enter__(self) -> _Interrupts:
        self._heard = threading.current_thread() is threading.main_thread()
        if self._heard:
            self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self._heard:
            signal.signal(signal.SIGINT, self._before)

    def go_on(self) -> None:
        """Between two cells there is nothing to interrupt: the next one must not begin.

        Raises:
            KeyboardInterrupt: Ctrl-C was heard.
        """
        if self.asked:
            raise KeyboardInterrupt

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        kernel = self._following.pid()
        again, self.asked = self.asked, True
        if again or not kernel:
            raise KeyboardInterrupt
        with suppress(OSError):
            os.kill(kernel, signal.SIGINT)


def _run(
    source: Path,
    path: Path,
    values: Mapping[str, Any],
    following: Following,
    interrupts: _Interrupts,
) -> WorkbenchError | None:
    """Run it; what went wrong in it, nothing if it was interrupted."""

    def cell_starts(cell: Any, cell_index: int) -> None:
        interrupts.go_on()
        if _runs(cell):
            following.cell()

    try:
        papermill.execute_notebook(
            literal(source),
            literal(path),
            dict(values),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            kernel_manager_class=_told_of(following),
            on_cell_start=cell_starts,
        )
    except KeyboardInterrupt:
        return None
    except PapermillExecutionError as error:
        return None if interrupts.asked else _told(error)
    except RuntimeError as error:  # nbclient's, of a kernel that died or did not start
        if interrupts.asked:
            return None
        return EngineError(
            f"The notebook's interpreter ended: {error}.",
            remedy="Memory that ran out is the usual reason.",
        )
    return None


def _told_of(following: Following) -> type[OwnKernel]:
    """A kernel that says which process it is."""

    class Kernel(OwnKernel):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            following.pid = lambda: getattr(self.provisioner, "pid", None)

    return Kernel


def _told(error: PapermillExecutionError) -> WorkbenchError:
    """The notebook's error as one of ours, of the same kind where it was one."""
    kind = getattr(errors, error.ename, None)
    if isinstance(kind, type) and issubclass(kind, WorkbenchError):
        return kind(one_line(error.evalue, 2000), remedy="")
    said = one_line(f"{error.ename}: {error.evalue}", 2000)
    return EngineError(f"A cell failed with {said}.", remedy="")


def _code_cells(source: Path) -> int:
    """Cells that will run; the one that papermill adds for given parameters is not counted."""
    return sum(map(_runs, nbformat.read(source, as_version=4).cells))


def _runs(cell: Any) -> bool:
    given = "injected-parameters" in cell.metadata.get("tags", [])
    return cell.cell_type == "code" and bool(cell.source.strip()) and not given
