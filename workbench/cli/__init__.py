"""The ``workbench`` command: thin, one function a verb.

Only ``app``, ``asking`` (the options of the verbs that ask), ``options``, ``dispatch``
and ``guard`` are loaded before a verb runs, so ``--help`` answers as fast as an empty
typer program. The verbs, one module each: ``compare``, ``sweep``, ``latency``, ``report``,
``verify``, ``runs``, ``models``, ``doctor``, ``bench``; what they read: ``ranges``
(``0:1.5:0.25``); what they print with: ``printable``
(untrusted text), ``output`` (tables and JSON), ``live`` and ``follow`` (answers while they come),
``tally`` (a sweep while it runs), ``cells`` (its grid cells),
``texts`` (answers when they are there), ``summary`` (their metrics), ``documents``
(runs as JSON).
"""

from __future__ import annotations

from workbench.cli.app import main

__all__ = ["main"]
