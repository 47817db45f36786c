"""What a run costs as it grows: memory kept and time taken, by the number of generations.

A scripted engine answers, so that all of it is the workbench's own. Each size runs in
a process of its own, for memory that another run left behind would hide what is kept.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from workbench.engines.scripted import ScriptedEngine
from workbench.errors import EngineError
from workbench.experiments import execute, sweep
from workbench.records import Problem
from workbench.session import Session
from workbench.store import Store

SIZES = (100, 1_000, 10_000)
_SAMPLES = 10  # generations a problem
_ANSWER = "<think>\n2 and 2 are 4.\n</think>\n\n\\boxed{4}"


def growth(sizes: Sequence[int] = SIZES) -> list[dict[str, Any]]:
    """One row a size: time taken, memory gained in all, and a generation's share of it.

    ``bytes_per_generation`` is the resident memory gained over the last four fifths of
    the run, shared out over their generations: by then SQLite's pages and the
    tokenizer's own cache of words are about as large as they get.
    """
    return [_in_a_process(size) for size in sizes]


def measure(generations: int) -> dict[str, Any]:
    """Run so many generations in this process; what it took and what it holds."""
    problems = [
        Problem(f"p{n}", f"What is 2 + 2? ({n})", "4") for n in range(generations // _SAMPLES)
    ]
    marks: list[int] = []

    def mark(done: int, planned: int) -> None:
        if done in (planned // 5, planned):
            marks.append(_resident())

    with (
        TemporaryDirectory() as kept,
        Store(Path(kept) / "runs.sqlite") as store,
        Session(lambda: ScriptedEngine.answering(_ANSWER)) as session,
    ):
        plan = sweep(problems, temperature=0.6, replicates=_SAMPLES, store=store)
        before = _resident()
        began = time.perf_counter()
        run = execute(plan, session=session, store=store, progress=mark)
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        rows = len(run.frame())
        frame = time.perf_counter() - began
    early, late = marks
    return {
        "generations": rows,
        "seconds": seconds,
        "ms_per_generation": 1e3 * seconds / rows,
        "megabytes_gained": (late - before) / 1e6,
        "bytes_per_generation": (late - early) / (rows - rows // 5),
        "frame_seconds": frame,
    }


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def _in_a_process(generations: int) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603  (this interpreter and a number of ours)
        [sys.executable, "-m", "workbench.bench.growth", str(generations)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EngineError(
            f"A run of {generations:,} generations could not be measured: {done.stderr[-300:]}",
            remedy="Run `python -m workbench.bench.growth 100` to see all of it.",
        )
    row: dict[str, Any] = json.loads(done.stdout)
    return row


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
