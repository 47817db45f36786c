"""A run that was cut short is taken up again: whether it may be, and the mark that it was."""

from __future__ import annotations

import sqlite3
import time

from workbench import codec
from workbench.errors import InvalidInput
from workbench.store import rows


def reopen(connection: sqlite3.Connection, run: str, environment: str | None) -> int:
    """Make this process the owner of a run, in a transaction that the caller has begun.

    Args:
        connection: Of the transaction; so two processes cannot both take the run.
        run: Its id.
        environment: JSON that takes the place of what is stored.

    Returns:
        The key of the run.

    Raises:
        InvalidInput: It has finished, a living process is at it, or it is gone.
    """
    query = "SELECT key, created, host, pid, status, summary FROM runs WHERE id = ?"
    found = connection.execute(query, (run,)).fetchone()
    if found is None:
        raise InvalidInput(f"Run {run} has been deleted.", remedy="Execute its plan again.")
    key, created, host, pid, status, text = found
    summary = codec.loads(text)
    _check(run, status or rows.status_of(run, host, pid, rows.taken_up(summary, created)), pid)
    summary["reopened"] = time.time()
    connection.execute(
        "UPDATE runs SET status = NULL, host = ?, pid = ?, summary = ?, "
        "environment = ifnull(?, environment) WHERE key = ?",
        (*rows.owner(), codec.dumps(summary), environment, key),
    )
    return int(key)


def _check(run: str, status: rows.Status, pid: int) -> None:
    if status == "finished":
        raise InvalidInput(f"Run {run} has finished.", remedy="Load it; there is nothing to do.")
    if status == "running":
        own = (rows.owner()[1]) == pid
        raise InvalidInput(
            f"Run {run} is running in {'this process' if own else f'process {pid}'}.",
            remedy="Wait for its end, or stop it first.",
        )
