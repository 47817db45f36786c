"""The README's tables of GPU figures: ``python -m workbench.bench.gpu.readme README.md``.

They are made from the record that is committed in ``workbench/bench/records``, and say
that there is none where there is none; a test holds the README to it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.bench.gpu.record import read
from workbench.bench.gpu.rows import Table
from workbench.bench.gpu.tables import head, tables
from workbench.errors import InvalidInput, WorkbenchError

COMMITTED = Path(__file__).parents[1] / "records" / "gpu.json"
BEGIN, END = "<!-- gpu record -->", "<!-- end of gpu record -->"
NOTHING = "No GPU has been measured yet: there is no record to make a table from."


def committed() -> dict[str, Any] | None:
    """The project's own record; ``None``: there is none.

    Raises:
        InvalidInput: What stands there is none, or a rehearsal, which is never one.
    """
    return accepted(COMMITTED) if COMMITTED.exists() else None


def accepted(path: Path) -> dict[str, Any]:
    """A record that may stand for the project.

    Raises:
        InvalidInput: It is none, or a rehearsal.
    """
    document = read(path)
    if document["rehearsal"] or not document["facts"].get("gpu"):
        raise InvalidInput(
            f"{path} is a rehearsal on a CPU.", remedy="Measure on a GPU: workbench bench gpu."
        )
    return document


def block(document: Mapping[str, Any] | None) -> str:
    """What stands between the README's two markers, markers included."""
    if document is None:
        return f"{BEGIN}\n{NOTHING}\n{END}"
    lines = [f"- {line}" for line in head(document)]
    parts = ["\n".join(lines), *map(markdown, tables(document))]
    return "\n\n".join([BEGIN, *parts, END])


def markdown(table: Table) -> str:
    """A table under its title in bold."""
    rule = ["---", *["---" if table.words else "--:"] * (len(table.heads) - 1)]
    rows = [table.heads, rule, *table.rows]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([f"**{table.title}**", "", *lines])


def rewritten(text: str, document: Mapping[str, Any] | None) -> str:
    """A README's text with the block made anew.

    Raises:
        InvalidInput: It lacks the markers.
    """
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise InvalidInput(
            "The text has no place for the GPU record.", remedy=f"Write {BEGIN} and {END} there."
        )
    return before + block(document) + after


def main(arguments: Sequence[str]) -> int:
    """Rewrite the files named; the exit code."""
    try:
        document = committed()
        for name in arguments:
            path = Path(name)
            path.write_text(rewritten(path.read_text(encoding="utf-8"), document), encoding="utf-8")
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
