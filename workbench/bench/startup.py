"""What a user waits for before anything happens: the import, and ``--help``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.bench.figures import Figure, Goal, Side, compared

_EMPTY = """
import typer

app = typer.Typer()


@app.command()
def nothing() -> None:
    "Do nothing."


app()
"""


def startup(rounds: int) -> Iterator[Figure]:
    """Processes from start to end, beside an empty typer program that prints its help."""
    with TemporaryDirectory() as folder:
        program = Path(folder) / "empty.py"
        program.write_text(_EMPTY, encoding="utf-8")
        empty = _process([str(program), "--help"])
        sides = {
            "help": (_process(["-m", "workbench.cli", "--help"]), "`workbench --help`"),
            "import": (_process(["-c", "import workbench"]), "`import workbench`"),
        }
        for name, (ours, what) in sides.items():
            yield compared(
                f"startup_{name}",
                f"{what}, by an empty typer program's --help",
                "ms",
                (ours, empty),
                rounds=2 * rounds,
                goal=Goal("at most", 1.1),
            )


def _process(arguments: Sequence[str]) -> Side:
    def run() -> float:
        began = time.perf_counter()
        subprocess.run(  # noqa: S603  (our own interpreter and programs)
            [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL
        )
        return 1e3 * (time.perf_counter() - began)

    return run
