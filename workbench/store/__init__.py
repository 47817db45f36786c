"""The run store: every event of every run, in one SQLite file.

Lowest first: ``schema`` (the tables, drawn; versions), ``database`` (a connection and
what its errors mean), ``blocks`` (events as bytes), ``facts`` (the rest of a generation
as bytes), ``recorder`` and ``writer`` (on the way to the disk), ``rows`` and ``archive``
(read again), ``reopening`` (a run taken up again), ``runs`` (``Store``).
"""

from __future__ import annotations

from workbench.store.archive import Archive
from workbench.store.recorder import Recorder
from workbench.store.rows import GenerationRow, RunRow
from workbench.store.runs import Outcome, Store, home

__all__ = ["Archive", "GenerationRow", "Outcome", "Recorder", "RunRow", "Store", "home"]
