"""The run store: every event of every run, in one SQLite file.

The files, lowest first: ``blocks`` (events as bytes), ``database`` (tables, versions,
errors), ``recorder`` and ``writer`` (events on their way to the disk), ``rows`` (lists
without tokens), ``runs`` (``Store``).
"""

from __future__ import annotations

from workbench.store.recorder import Recorder
from workbench.store.rows import GenerationRow, RunRow
from workbench.store.runs import Outcome, Store, home

__all__ = ["GenerationRow", "Outcome", "Recorder", "RunRow", "Store", "home"]
