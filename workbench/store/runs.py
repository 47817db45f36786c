"""``Store``: runs begun, recorded, finished; ``Archive`` reads them again."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from workbench import codec
from workbench.errors import InvalidInput, StoreError
from workbench.records import Cell, Plan, Score
from workbench.store import reopening, rows
from workbench.store.archive import Archive
from workbench.store.database import Database
from workbench.store.recorder import Recorder
from workbench.store.writer import Writer

Outcome = Literal["finished", "interrupted", "failed"]


def home() -> Path:
    """The folder of the run data: ``$WORKBENCH_HOME``, else ``.runs`` where one stands."""
    return Path(os.environ.get("WORKBENCH_HOME") or ".runs")


class Store(Archive):
    """The runs of one folder; every event of them is kept.

    Nothing is created before the first ``begin_run``. Several processes and threads may
    use one folder at once. A run is named by its id or by the beginning of it.

    Args:
        path: The file; ``None``: ``runs.sqlite`` in ``home()``.
        read_only: Refuse to write.
    """

    def __init__(self, path: str | Path | None = None, *, read_only: bool = False) -> None:
        super().__init__(home() / "runs.sqlite" if path is None else Path(path))
        self._read_only = read_only
        self._writing = Database(self.path)
        self._writer = Writer(self._writing)

    @property
    def problem(self) -> str | None:
        """Why events are held in memory and not on disk; ``None`` when all is well."""
        return self._writer.problem

    @property
    def held(self) -> int:
        """Generations that have ended and are not on disk yet; many, when it takes nothing."""
        return self._writer.held

    def begin_run(self, plan: Plan, environment: Mapping[str, Any]) -> str:
        """Store a plan before it costs anything.

        Args:
            plan: What will be done.
            environment: What a reader must know to do it again; anything JSON holds.

        Returns:
            The id of the run: its time in UTC and four random digits, so ids sort by time.

        Raises:
            StoreError: The store cannot be written.
            InvalidInput: The plan or the environment holds what JSON cannot.
        """
        summary = {"kind": plan.kind, "title": plan.title, "cells": len(plan)}
        packed = rows.pack_plan(plan)
        texts = (codec.dumps(summary), codec.dumps(dict(environment)))
        created = time.time()
        run = _new_id(created)
        with self._writable().transaction() as connection:
            key = connection.execute(
                "INSERT INTO runs (id, created, host, pid, summary, environment, plan) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING key",
                (run, created, *rows.owner(), *texts, packed),
            ).fetchone()[0]
        self._writer.begin(run, key)
        return run

    def reopen_run(self, run: str, environment: Mapping[str, Any] | None = None) -> str:
        """Go on with a run that was cut short; what was recorded of it stays.

        Args:
            run: Its id, or the beginning of it.
            environment: Takes the place of what is stored.

        Returns:
            The id of the run.

        Raises:
            InvalidInput: It has finished, or a living process is at it, this one included.
            StoreError: The store cannot be written.
        """
        known, facts = self.run(run), None
        if environment is not None:
            facts = codec.dumps(dict(environment))
        self._writer.regain(known.id)
        with self._writable().transaction() as connection:
            key = reopening.reopen(connection, known.id, facts)
        self._writer.begin(known.id, key)
        return known.id

    def amend_run(self, run: str, environment: Mapping[str, Any]) -> None:
        """Replace what is known of a run's environment while it goes on.

        Raises:
            StoreError: It could not be written.
            InvalidInput: It holds what JSON cannot, or there is no such run.
        """
        key, facts = self.key(run), codec.dumps(dict(environment))
        with self._writable().transaction() as connection:
            connection.execute("UPDATE runs SET environment = ? WHERE key = ?", (facts, key))

    def leave_run(self, run: str) -> None:
        """Stop recording a run whose end could not be written.

        It reads as interrupted as soon as the disk takes that, at the latest when the
        store is closed; ``reopen_run`` may take it up again.
        """
        self._writer.leave(run)

    def begin_generation(self, run: str, index: int, cell: Cell) -> Recorder:
        """A recorder for the events of one generation; never waits for the disk.

        Beginning an index again replaces what was recorded of it.

        Args:
            run: A run that this store has begun and not finished.
            index: The index of the cell in the plan.
            cell: What is asked, with the spec that the engine resolved.

        Raises:
            InvalidInput: The run is not open here.
        """
        return self._writer.record(run, index, cell)

    def flush(self) -> None:
        """Return when everything that was appended is on disk.

        Raises:
            StoreError: It cannot be written; it is kept and tried again.
        """
        self._writer.write()

    def add_scores(self, run: str, scores: Iterable[Score]) -> None:
        """Store what a grader says; a generation's earlier score is replaced.

        Raises:
            StoreError: A score of a generation that is not in the run, or no room on disk.
        """
        self.flush()
        key = self.key(run)
        lines = [(codec.dumps(codec.to_json(score)), key, score.generation) for score in scores]
        with self._writable().transaction() as connection:
            written = connection.executemany(
                "INSERT OR REPLACE INTO scores (score, run, idx) "
                "SELECT ?, run, idx FROM generations WHERE run = ? AND idx = ?",
                lines,
            ).rowcount
            if written != len(lines):
                raise StoreError(
                    f"{len(lines) - written} scores are of generations that run {run} has not.",
                    remedy="Score the generations that store.generations(run) lists.",
                )

    def finish_run(
        self,
        run: str,
        status: Outcome = "finished",
        environment: Mapping[str, Any] | None = None,
    ) -> None:
        """Write everything that is left, and how the run ended.

        Args:
            run: The run.
            status: How it ended.
            environment: Takes the place of what ``begin_run`` stored; what only the
                run itself could show, such as the engine that was loaded.

        Raises:
            StoreError: It could not be written; the run stays open, its events in memory.
        """
        self.flush()
        key = self.key(run)
        facts = None if environment is None else codec.dumps(dict(environment))
        with self._writable().transaction() as connection:
            connection.execute(
                "UPDATE runs SET status = ?, environment = ifnull(?, environment) WHERE key = ?",
                (status, facts, key),
            )
        self._writer.end(run)

    def delete(self, run: str) -> None:
        """Remove a run and all of its generations.

        Raises:
            InvalidInput: It is running.
        """
        row = self.run(run)
        if row.status == "running":
            raise InvalidInput(
                f"Run {row.id} is running.", remedy="Wait for its end, or stop it first."
            )
        with self._writable().transaction() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (row.id,))
            connection.execute("DELETE FROM specs WHERE key NOT IN (SELECT spec FROM generations)")
        self._writing.shrink()

    def close(self) -> None:
        """Write everything that is left; runs that were not finished read as interrupted.

        Raises:
            StoreError: Something could not be written; the remedy names the file it is in.
        """
        self._reading.close()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _writable(self) -> Database:
        if self._read_only:
            raise StoreError(
                f"The run store {self.path} was opened for reading only.",
                remedy="Open it without read_only.",
            )
        if self._writer.closed:
            raise StoreError("The run store has been closed.", remedy="Open a new Store.")
        return self._writing


def _new_id(created: float) -> str:
    moment = datetime.fromtimestamp(created, UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03d}-{secrets.token_hex(2)}"
