"""The thread that writes.

The thread that runs the engine only appends to lists. The writer commits what all live
generations have gathered every half second, in one transaction, and a generation that
has ended at once. What could not be written stays in memory and is tried again, so a
full disk that is freed costs nothing.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from workbench.errors import InvalidInput, StoreError
from workbench.records import Cell
from workbench.store.database import Database
from workbench.store.recorder import Batch, Recorder

_PERIOD = 0.5  # seconds between writes
_BACKOFF = 2.0  # seconds more between tries while the disk refuses


class Writer:
    """The thread, and the generations it writes for.

    Attributes:
        problem: Why the last write failed; ``None`` when all is well.
        open_runs: Keys of the runs that were begun here and not finished, by id.
    """

    def __init__(self, database: Database) -> None:
        self.problem: str | None = None
        self.open_runs: dict[str, int] = {}
        self._database = database
        self._process = os.getpid()
        self._left: set[str] = set()  # open runs that nobody goes on with
        self._recorders: dict[tuple[int, int], Recorder] = {}  # not yet finished on disk
        self._writing = threading.RLock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def closed(self) -> bool:
        return self._closing.is_set()

    @property
    def held(self) -> int:
        """Generations that have ended and are in memory, not on disk."""
        return sum(recorder.finished for recorder in list(self._recorders.values()))

    def begin(self, run: str, key: int) -> None:
        """Write for a run from now on."""
        self.open_runs[run] = key
        if self._thread is None:
            self._thread = _Thread(self._loop, self.open_runs)
            self._thread.start()
            atexit.register(self._close_at_exit)  # daemon threads are still alive then

    def end(self, run: str) -> None:
        """A run's end is on disk."""
        self.open_runs.pop(run, None)
        self._left.discard(run)

    def leave(self, run: str) -> None:
        """Nobody records this run any more, and its end is not on disk."""
        if run in self.open_runs:
            self._left.add(run)
            self._wake.set()

    def regain(self, run: str) -> None:
        """See to it that a run that was left reads as interrupted on disk.

        Raises:
            StoreError: It could not be written.
        """
        if run in self._left:
            self.write()

    def record(self, run: str, index: int, cell: Cell) -> Recorder:
        """A recorder of one generation; never waits for the disk.

        Raises:
            InvalidInput: The run is not open here.
        """
        key = self.open_runs.get(run)
        if key is None or self.closed:
            raise InvalidInput(
                f"Run {run} is not open for recording.", remedy="Begin one with begin_run."
            )
        recorder = Recorder(run, key, index, cell, self._wake.set)
        self._recorders[key, index] = recorder
        self._wake.set()
        return recorder

    def write(self, *, everything: bool = True) -> None:
        """Commit what has been appended.

        Args:
            everything: Also of generations that have not been finished.

        Raises:
            StoreError: It could not be; it is kept, and ``problem`` says why.
        """
        with self._writing:
            try:
                self._write(everything)
            except StoreError as error:
                self.problem = str(error)
                raise
            if everything:
                self.problem = None

    def close(self) -> None:
        """End the thread and write what is left; runs that are not finished are interrupted.

        Raises:
            StoreError: Something could not be written; the remedy names the file it is in.
        """
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.write()
            self._interrupt_runs(list(self.open_runs))
        except StoreError as error:
            raise self._rescued(error) from error
        finally:
            self._database.close()
        atexit.unregister(self._close_at_exit)

    def _close_at_exit(self) -> None:
        if os.getpid() != self._process:
            return  # a forked child has no thread, and nothing of its own to write
        try:
            self.close()
        except StoreError as error:
            print(error, file=sys.stderr)

    def _loop(self) -> None:
        due = 0.0
        while not self.closed:
            waiting = self._recorders or self._left
            self._wake.wait(max(due - time.monotonic(), 0.0) if waiting else None)
            self._wake.clear()
            everything = time.monotonic() >= due
            try:
                self.write(everything=everything)
            except Exception as error:  # the thread must outlive every mistake
                self.problem = str(error)
                self._closing.wait(_BACKOFF)
            if everything:
                due = time.monotonic() + _PERIOD

    def _write(self, everything: bool) -> None:
        batches, mistakes = self._batches(everything)
        if batches:
            with self._database.transaction() as connection:
                for _, batch in batches:
                    for statement, values in batch.statements:
                        connection.execute(statement, values)
        for recorder, batch in batches:
            recorder.advance(batch.progress)
        self._forget_finished()
        self._interrupt_runs(set(self._left))
        if mistakes:
            raise StoreError(
                f"{_generations(len(mistakes))} cannot be recorded: {mistakes[0]}.",
                remedy="Please report this: an engine emitted an event that is not valid.",
            )

    def _batches(self, everything: bool) -> tuple[list[tuple[Recorder, Batch]], list[str]]:
        """What the generations have to write; one bad event must not stop the others."""
        batches, mistakes = [], []
        for recorder in list(self._recorders.values()):
            if not (everything or recorder.finished):
                continue
            try:
                batch = recorder.batch()
            except Exception as error:
                mistakes.append(f"{type(error).__name__}: {error}")
                continue
            if batch is not None:
                batches.append((recorder, batch))
        return batches, mistakes

    def _forget_finished(self) -> None:
        for place, recorder in list(self._recorders.items()):
            if recorder.written and self._recorders.get(place) is recorder:
                del self._recorders[place]

    def _interrupt_runs(self, runs: Iterable[str]) -> None:
        keys = {run: self.open_runs[run] for run in runs if run in self.open_runs}
        if not keys:
            return
        with self._database.transaction() as connection:
            connection.executemany(
                "UPDATE runs SET status = 'interrupted' WHERE key = ? AND status IS NULL",
                [(key,) for key in keys.values()],
            )
        for run in keys:
            self.end(run)

    def _rescued(self, error: StoreError) -> StoreError:
        """The error of a store that could not be written, after saving what it held."""
        lines = []
        for recorder in self._recorders.values():
            if not recorder.pending:
                continue
            with suppress(Exception):  # an event that is not valid can be written nowhere
                lines.append(recorder.line())
        remedy, runs = error.remedy, tuple(sorted(self.open_runs))
        if lines:
            try:
                path = _saved(lines)
            except OSError as second:
                lost = f"{_generations(len(lines))} could not be saved either: {second}."
                return StoreError(f"{error.message} {lost}", remedy=remedy, runs=runs)
            remedy = f"What it did not take, {_generations(len(lines))}, is in {path}. {remedy}"
        self._recorders.clear()
        self.open_runs.clear()
        self._left.clear()
        return StoreError(error.message, remedy=remedy, runs=runs)


class _Thread(threading.Thread):
    """Writes as long as the store is open; ``rows.status_of`` finds its runs by it."""

    def __init__(self, loop: Callable[[], None], open_runs: Mapping[str, int]) -> None:
        super().__init__(target=loop, name="run store", daemon=True)
        self.open_runs = open_runs


def _generations(count: int) -> str:
    return "1 generation" if count == 1 else f"{count} generations"


def _saved(lines: list[str]) -> Path:
    with tempfile.NamedTemporaryFile(
        "w", prefix="workbench-unsaved-", suffix=".jsonl", delete=False, encoding="ascii"
    ) as file:
        file.writelines(f"{line}\n" for line in lines)
    return Path(file.name)
