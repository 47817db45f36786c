"""What every verb prints with: a console, tables, and one JSON document for programs.

With ``--json`` stdout holds the document and nothing else; what is for people goes
to stderr where that is a terminal, so both can be had at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench import codec
from workbench.printable import printable

_PAGE = 120  # columns of what is written to a file or a pipe


def console(as_json: bool = False) -> Console:
    """Where people read: stdout, or while a program reads that, a stderr that is a terminal."""
    stream = sys.stderr if as_json else sys.stdout
    watched = stream.isatty()
    return Console(
        file=stream,
        quiet=as_json and not watched,
        width=None if watched or "COLUMNS" in os.environ else _PAGE,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )


def print_json(document: Any) -> None:
    """One line of JSON on stdout.

    Raises:
        InvalidInput: It holds NaN, or something else that JSON has no word for.
    """
    print(codec.dumps(document), flush=True)


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = ()
) -> Table:
    """A table of untrusted values; ``None`` is shown as an empty place.

    Args:
        heads: The columns' names.
        rows: Values, one a column.
        right: Columns whose values are numbers.
    """
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    numbers = set(right)
    for place, head in enumerate(heads):
        grid.add_column(Text(head), justify="right" if place in numbers else "left")
    for row in rows:
        grid.add_row(*(cell(value) for value in row))
    return grid


def cell(value: object) -> Text:
    """One value as text that no markup is read from."""
    return Text("" if value is None else printable(str(value)), overflow="fold")
