"""A connection to the file, and what its errors mean to a user."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.errors import InvalidInput, StoreError
from workbench.store.schema import readable, writable

_ELSEWHERE = "set WORKBENCH_HOME to a folder that can be written"


class Database:
    """One connection, opened when first used, shared by threads under a lock.

    What is first done with it, ``read`` or ``transaction``, decides what it can do.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def read(self, query: str, values: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
        """All rows; none when there is no file yet, or an empty one.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._lock, explained(self.path):
            if self._connection is None:
                self._connection = readable(self.path) if self.path.exists() else None
            if self._connection is None:
                return []
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing of what is executed on the connection; makes the file if need be.

        Raises:
            StoreError: It could not be written; nothing of it was.
        """
        with self._lock, explained(self.path):
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def shrink(self) -> None:
        """Give the pages of what was deleted back to the file system."""
        with self._lock, explained(self.path):
            self._opened().executescript("PRAGMA incremental_vacuum")  # execute() frees one page

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = writable(self.path)
        return self._connection


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the file system as ``StoreError`` with a remedy."""
    try:
        yield
    except sqlite3.Error as error:
        message, remedy = _meaning(error)
        raise StoreError(f"The run store {path} {message} ({error}).", remedy=remedy) from error
    except OSError as error:
        raise StoreError(
            f"The run store {path} cannot be used: {error.strerror or error}.",
            remedy=f"Check the folder, or {_ELSEWHERE}.",
        ) from error


@contextmanager
def intact(what: str) -> Iterator[None]:
    """Rows that cannot be decoded as ``StoreError``."""
    try:
        yield
    except (InvalidInput, KeyError, TypeError, ValueError, zlib.error) as error:
        why = error.message if isinstance(error, InvalidInput) else f"{error!r}."
        raise StoreError(
            f"{what} cannot be read: {why}",
            remedy="Restore the store from a backup, or delete that run.",
        ) from error


def _meaning(error: sqlite3.Error) -> tuple[str, str]:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the high bits only say where
    if code == sqlite3.SQLITE_FULL:
        return "cannot grow: the disk is full", f"Free some space, or {_ELSEWHERE}."
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return "is damaged", "Move it away and a new one is begun, or restore it from a backup."
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "is held by another process", "Try again; if it stays, end that process."
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return "cannot be opened or written", f"Check its permissions, or {_ELSEWHERE}."
    if code == sqlite3.SQLITE_IOERR:
        return "cannot be read or written", f"Check the disk and its free space, or {_ELSEWHERE}."
    return "refused a statement", "Please report this: it is a mistake in the workbench."
