"""The file: its tables, its version, and how it is opened.

::

    runs.sqlite (WAL)                 application_id "NWB1", user_version 1
    ├── runs         key, id, created (Unix time), host, pid, status, summary, environment, plan
    │                   status NULL: begun and not finished; plan: deflated JSON;
    │                   summary: its "reopened" is when host and pid took the run up again
    ├── specs        key, spec                          an engine spec many generations share
    ├── generations  run, idx, spec, ended, facts      all but the tokens, as in ``facts``
    ├── blocks       run, idx, part, data               events, as in ``blocks``
    │                   part -1: all of a generation that has ended; 0, 1 …: of a live one
    └── scores       run, idx, score

Every text is ASCII JSON of ``workbench.codec`` (ids, hosts and states aside). Version 1
is the first; a reader refuses what is newer. Writers of several processes take turns:
each transaction is short, begins IMMEDIATE and waits for its turn. A process may be
killed at any moment; what it had committed stays (a power cut may cost the last
seconds, never the file).
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from workbench.errors import StoreError

VERSION = 1
_APPLICATION = int.from_bytes(b"NWB1", "big")
_PATIENCE = 10.0  # seconds to wait for another process's transaction

_SCHEMA = """
CREATE TABLE runs (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created REAL NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    status TEXT,
    summary TEXT NOT NULL,
    environment TEXT NOT NULL,
    plan BLOB NOT NULL
);
CREATE TABLE specs (key INTEGER PRIMARY KEY, spec TEXT NOT NULL UNIQUE);
CREATE TABLE generations (
    run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    idx INTEGER NOT NULL,
    spec INTEGER NOT NULL REFERENCES specs,
    ended INTEGER NOT NULL,
    facts BLOB NOT NULL,
    PRIMARY KEY (run, idx)
);
CREATE INDEX generations_by_spec ON generations (spec);
CREATE TABLE blocks (
    run INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    part INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run, idx, part),
    FOREIGN KEY (run, idx) REFERENCES generations ON DELETE CASCADE
);
CREATE TABLE scores (
    run INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    score TEXT NOT NULL,
    PRIMARY KEY (run, idx),
    FOREIGN KEY (run, idx) REFERENCES generations ON DELETE CASCADE
);
"""


def readable(path: Path) -> sqlite3.Connection | None:
    """A connection that changes nothing; ``None`` when the file is still empty."""
    try:
        return _checked(_connect(path, "mode=ro"), path)
    except sqlite3.OperationalError:
        # A WAL needs a file beside the store, which a folder without write access refuses.
        # Where no writer left a WAL, the store is complete and can be read as it lies.
        if path.with_name(path.name + "-wal").exists():
            raise
        return _checked(_connect(path, "mode=ro&immutable=1"), path)


def _checked(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection | None:
    try:
        fresh = _is_fresh(connection, path)
    except BaseException:
        connection.close()
        raise
    if fresh:
        connection.close()
        return None
    return connection


def writable(path: Path) -> sqlite3.Connection:
    """A connection for transactions; the folder, the file and its tables are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(path, "mode=rwc")
    try:
        if _is_fresh(connection, path):
            _create(connection, path)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection, path: Path) -> None:
    # Both are only possible before the first table. Small pages waste little on short answers.
    connection.execute("PRAGMA page_size = 1024")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _switch_to_wal(connection)
    connection.execute("BEGIN IMMEDIATE")
    if _is_fresh(connection, path):  # else another process was faster
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """WAL is a property of the file; SQLite does not wait for its turn to set it, so we do."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _is_fresh(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is empty, so that the tables are still to be made.

    Raises:
        StoreError: It is another program's, or of a newer version.
    """
    tables, application, version = _marks(connection)
    if not (application or version or tables):
        return True
    if application != _APPLICATION:
        raise StoreError(
            f"{path} is not a run store: another program wrote it.",
            remedy="Move it away, or set WORKBENCH_HOME to another folder.",
        )
    if version > VERSION:
        raise StoreError(
            f"The run store {path} has format {version}; this workbench reads up to {VERSION}.",
            remedy="Update the workbench (pip install --upgrade nemotron-workbench), "
            "or set WORKBENCH_HOME to another folder.",
        )
    return False


def _marks(connection: sqlite3.Connection) -> list[int]:
    """Number of tables, application and version at one moment, while others may be writing."""
    inside = connection.in_transaction
    if not inside:
        connection.execute("BEGIN")
    try:
        return [
            connection.execute(question).fetchone()[0]
            for question in (
                "SELECT count(*) FROM sqlite_master",
                "PRAGMA application_id",
                "PRAGMA user_version",
            )
        ]
    finally:
        if not inside:
            connection.execute("COMMIT")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=_PATIENCE,
        isolation_level=None,  # transactions are begun by hand
        check_same_thread=False,  # the lock of ``Database`` sees to it
    )
