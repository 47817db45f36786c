"""How far a report is: the cell it is at, and the generations of its kernel's run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

from workbench.errors import WorkbenchError
from workbench.store import RunRow, Store

_PERIOD = 0.5  # seconds between two looks at the store
_LATEST = 20  # runs looked through for the kernel's


@dataclass(frozen=True, slots=True)
class Step:
    """Where a report is."""

    cell: int  # code cells begun
    cells: int  # code cells in all
    run: str | None = None  # id of the run under way, or the last one
    done: int = 0  # its generations that have ended
    planned: int = 0  # its generations in all; 0: no run has begun
    left: float | None = None  # seconds until it ends, by its pace so far; None: unknown

    def __str__(self) -> str:
        told = f"cell {self.cell} of {self.cells}"
        if self.planned:
            told += f", {self.done} of {self.planned} generations"
        if self.left is not None:
            told += f", about {_duration(self.left)} left"
        return told


Watch = Callable[[Step], None]


class Following:
    """Tells where a notebook is, whenever that changes, until it is left.

    What the kernel generates is read from the store: whatever a notebook shows
    while it runs, its runs are rows there.

    Args:
        cells: Code cells that the notebook has.
        watch: Called with every change, from one thread at a time.
    """

    def __init__(self, cells: int, watch: Watch | None) -> None:
        self.pid: Callable[[], int | None] = lambda: None  # of the kernel, once it has started
        self._kernel: int | None = None
        self._began = datetime.now(UTC)
        self._step = Step(0, cells)
        self._first: tuple[str, int, float] | None = None  # run, ended, when: at first sight
        self._watch = watch
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="workbench-report", daemon=True)

    def cell(self) -> None:
        """Say that another code cell has begun."""
        self._tell(replace(self._step, cell=self._step.cell + 1))

    def runs(self) -> list[RunRow]:
        """The runs that the kernel has begun, the oldest first; none when they cannot be read."""
        with suppress(WorkbenchError), Store(read_only=True) as store:
            return self._of_kernel(store)
        return []

    def __enter__(self) -> Self:
        if self._watch is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _look(self) -> None:
        """The thread: it never fails a report, for all it does is tell."""
        with Store(read_only=True) as store:
            while not self._ended.wait(_PERIOD):
                with suppress(WorkbenchError):
                    self._look_once(store)

    def _look_once(self, store: Store) -> None:
        rows = self._of_kernel(store)
        if rows:
            row = rows[-1]
            left = self._left(row) if row.status == "running" else None
            told = replace(self._step, run=row.id, done=row.ended, planned=row.planned, left=left)
            self._tell(told)

    def _left(self, row: RunRow) -> float | None:
        """Seconds until the run ends, by the pace since it was first seen: it may be resumed."""
        now = time.monotonic()
        if self._first is None or self._first[0] != row.id:
            self._first = (row.id, row.ended, now)
        _, before, since = self._first
        fresh = row.ended - before
        return (now - since) / fresh * (row.planned - row.ended) if fresh else None

    def _of_kernel(self, store: Store) -> list[RunRow]:
        """The oldest first. A process that has ended may have had the kernel's number."""
        self._kernel = self.pid() or self._kernel  # it is asked for once more when it has ended
        return [
            row
            for row in store.runs(_LATEST)[::-1]
            if row.pid == self._kernel and (row.created >= self._began or row.status == "running")
        ]

    def _tell(self, step: Step) -> None:
        with self._lock:
            changed = step != self._step
            self._step = step
            if changed and self._watch is not None:
                self._watch(step)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
