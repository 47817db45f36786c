"""The thread that writes.

The thread that runs the engine only appends to lists; the writer commits what all live
generations have gathered, in one transaction every half second, and at once when a
generation ends. What could not be written stays in memory and is tried again, so a full
disk that is freed costs nothing.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import threading
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
        self._recorders: dict[tuple[int, int], Recorder] = {}  # not yet finished on disk
        self._writing = threading.RLock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def closed(self) -> bool:
        return self._closing.is_set()

    def begin(self, run: str, key: int) -> None:
        """Write for a run from now on."""
        self.open_runs[run] = key
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="run store", daemon=True)
            self._thread.start()
            atexit.register(self._close_at_exit)  # daemon threads are still alive then

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

    def write(self) -> None:
        """Commit everything that has been appended.

        Raises:
            StoreError: It could not be; it is kept, and ``problem`` says why.
        """
        with self._writing:
            try:
                self._write()
            except StoreError as error:
                self.problem = str(error)
                raise
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
            self._interrupt_runs()
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
        while not self.closed:
            self._wake.wait(_PERIOD if self._recorders else None)
            self._wake.clear()
            try:
                self.write()
            except Exception as error:  # the thread must outlive every mistake
                self.problem = str(error)
                self._closing.wait(_BACKOFF)

    def _write(self) -> None:
        batches, mistakes = self._batches()
        if batches:
            with self._database.transaction() as connection:
                for _, batch in batches:
                    for statement, values in batch.statements:
                        connection.execute(statement, values)
        for recorder, batch in batches:
            recorder.advance(batch.progress)
        self._forget_finished()
        if mistakes:
            raise StoreError(
                f"{len(mistakes)} generations cannot be recorded: {mistakes[0]}.",
                remedy="Please report this: an engine emitted an event that is not valid.",
            )

    def _batches(self) -> tuple[list[tuple[Recorder, Batch]], list[str]]:
        """What every generation has to write; one bad event must not stop the others."""
        batches, mistakes = [], []
        for recorder in list(self._recorders.values()):
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

    def _interrupt_runs(self) -> None:
        if not self.open_runs:
            return
        keys = [(key,) for key in self.open_runs.values()]
        with self._database.transaction() as connection:
            connection.executemany(
                "UPDATE runs SET status = 'interrupted' WHERE key = ? AND status IS NULL", keys
            )
        self.open_runs.clear()

    def _rescued(self, error: StoreError) -> StoreError:
        """The error of a store that could not be written, after saving what it held."""
        lines = []
        for recorder in self._recorders.values():
            if recorder.written:
                continue
            with suppress(Exception):  # an event that is not valid can be written nowhere
                lines.append(recorder.line())
        if not lines:
            return error
        try:
            path = _saved(lines)
        except OSError as second:
            return StoreError(
                f"{error.message} {len(lines)} generations are lost: {second}.",
                remedy=error.remedy,
            )
        self._recorders.clear()
        return StoreError(
            error.message,
            remedy=f"The {len(lines)} generations it did not take are in {path}. {error.remedy}",
        )


def _saved(lines: list[str]) -> Path:
    with tempfile.NamedTemporaryFile(
        "w", prefix="workbench-unsaved-", suffix=".jsonl", delete=False, encoding="ascii"
    ) as file:
        file.writelines(f"{line}\n" for line in lines)
    return Path(file.name)
