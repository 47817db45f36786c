"""The ``workbench`` command: thin, one function a verb.

Only ``app`` and ``guard`` are loaded before a verb runs, so ``--help`` answers as
fast as an empty typer program. The verbs, one module each: ``compare``, ``report``,
``runs``, ``models``, ``doctor``, ``bench``; what they print with: ``printable``
(untrusted text), ``output`` (tables and JSON), ``live`` and ``follow`` (answers while they come),
``texts`` (answers when they are there), ``summary`` (their metrics), ``documents``
(runs as JSON).
"""

from __future__ import annotations

from workbench.cli.app import main

__all__ = ["main"]
