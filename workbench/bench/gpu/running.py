"""One call of ``bench gpu``: sections in a process of their own, watched, and written down.

A section that takes too long is killed with its process, one that ends its process has
failed; either way the next process goes on with the sections that are left.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryFile
from threading import Thread
from typing import IO

import workbench
from workbench.bench.gpu.bed import Bed, Job
from workbench.bench.gpu.models import provide
from workbench.bench.gpu.record import Record
from workbench.bench.gpu.work import Begun, Ended, Message, Value, work
from workbench.bench.gpu.worker import message, order

Tell = Callable[[Message], None]

WORKER = (sys.executable, "-m", "workbench.bench.gpu.worker")
_START = 180.0  # seconds until a process has imported torch and begins
_GRACE = 20.0  # beyond a section's seconds before its process is killed


def run(
    record: Record,
    job: Job,
    sections: Sequence[str],
    *,
    seconds: float,
    tell: Tell,
    worker: Sequence[str] = WORKER,
) -> None:
    """Do sections in a process of their own; the record is written after every value.

    Args:
        record: Written to.
        job: On what, and how much.
        sections: Their names.
        seconds: For the whole call.
        tell: Called with every message.
        worker: The command that does sections.
    """
    end = time.monotonic() + seconds
    left = list(sections)
    while left:
        for told in _process(worker, job, left, end):
            _take(record, told, tell)
            if isinstance(told, Ended):
                left.remove(told.section)


def run_here(
    record: Record, job: Job, sections: Sequence[str], *, seconds: float, tell: Tell
) -> None:
    """The same in this process: nothing is killed, and an error of the device ends all."""
    with closing(Bed(job, provide)) as bed:
        for told in work(sections, bed, seconds):
            _take(record, told, tell)


def _take(record: Record, told: Message, tell: Tell) -> None:
    match told:
        case Begun():
            record.begin(told.section)
        case Value():
            record.put(told.section, told.name, told.value)
        case Ended():
            record.end(told.section, told.status, told.reason, told.seconds)
    tell(told)


def _process(
    worker: Sequence[str], job: Job, sections: Sequence[str], end: float
) -> Iterator[Message]:
    """One process's messages; of a section that it did not end, the end is told here."""
    watch = _Watch(end)
    text = order(job, sections, end - time.monotonic())
    with _started(worker, text) as (process, lines, said):
        while (told := _next(lines, watch.limit)) is not None:
            watch.take(told)
            yield told
        hung = process.poll() is None
        _end(process)
        why = f"its process ended ({process.returncode}): {_last_words(said)}"
    if watch.running is not None:
        taken = watch.taken
        if hung:
            yield Ended(watch.running, "out of time", f"stopped after {taken:.0f} s", taken)
        else:
            yield Ended(watch.running, "failed", why, taken)
    elif not watch.ended:
        yield from (Ended(name, "failed", why, 0.0) for name in sections)


class _Watch:
    """Which section runs, since when, and until when its process may be silent."""

    def __init__(self, end: float) -> None:
        self._end = end + _GRACE
        self._began = time.monotonic()
        self.running: str | None = None
        self.ended = 0
        self.limit = min(self._began + _START, self._end)

    def take(self, told: Message) -> None:
        if isinstance(told, Begun):
            self._began, self.running = time.monotonic(), told.section
            self.limit = self._began + told.seconds + _GRACE
        elif isinstance(told, Ended):
            self.running, self.ended = None, self.ended + 1
            self.limit = min(time.monotonic() + _START, self._end)

    @property
    def taken(self) -> float:
        return time.monotonic() - self._began


@contextmanager
def _started(
    worker: Sequence[str], text: str
) -> Iterator[tuple[subprocess.Popen[str], SimpleQueue[str | None], IO[str]]]:
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(  # noqa: S603  (a module of ours)
            worker,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=_environment(),
        )
        lines: SimpleQueue[str | None] = SimpleQueue()
        Thread(target=_read, args=(process, lines), daemon=True).start()
        try:
            _order(process, text)
            yield process, lines, said
        finally:
            _end(process)


def _environment() -> dict[str, str]:
    """Where our package is found from any folder, and nothing is asked of a network."""
    root = str(Path(workbench.__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}


def _order(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    try:
        with process.stdin as stream:
            stream.write(text)
    except BrokenPipeError:  # it has ended, and says why
        return


def _read(process: subprocess.Popen[str], lines: SimpleQueue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout as stream:
        for one in stream:
            lines.put(one)
    process.wait()
    lines.put(None)


def _next(lines: SimpleQueue[str | None], limit: float) -> Message | None:
    """The next message; ``None``: there are no more, or it took too long."""
    try:
        text = lines.get(timeout=max(0.0, limit - time.monotonic()))
    except Empty:
        return None
    return None if text is None else message(text)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


def _last_words(said: IO[str]) -> str:
    said.seek(0)
    lines = [line.strip() for line in said if line.strip()]
    return lines[-1] if lines else "it said nothing"
