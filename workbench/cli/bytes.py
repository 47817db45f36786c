"""How many bytes have come, while they come: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_EVERY = 10.0  # seconds between two lines of a log

Report = Callable[[int, int], None]


@contextmanager
def watched(out: Console, what: str) -> Iterator[Report]:
    """A function that is told (bytes done, bytes in all), from any thread."""
    if not out.is_terminal:
        yield _lines(out, what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(out: Console, what: str) -> Report:
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            out.print(f"{what}: {done / 2**30:.2f} of {total / 2**30:.2f} GiB", soft_wrap=True)

    return report
