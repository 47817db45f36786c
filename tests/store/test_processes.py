from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.bench.store import stream
from workbench.store import Store

PRELUDE = """
import sys, time
from pathlib import Path
from workbench.bench.store import cells, record, stream
from workbench.records import Generation, Plan
from workbench.store import Store
path = Path(sys.argv[1])
"""

RECORD_200 = """
with Store(path) as store:
    run = record(store, [stream(20, seed) for seed in range(200)])
print(run)
"""

STREAM_FOR_EVER = """
events = stream(100_000)
plan = Plan("compare", cells(3))
store = Store(path)
run = store.begin_run(plan, {})
done, live, idle = (store.begin_generation(run, i, cell) for i, cell in enumerate(plan.cells))
for event in events[:300]:
    done.append(event)
done.finish(Generation(plan.cells[0].request, plan.cells[0].spec, events[:300]), {"x": 1.0}, {})
print(run, flush=True)
start = time.monotonic()
for count, event in enumerate(events):
    live.append(event)
    print(count + 1, time.monotonic() - start, flush=True)
    time.sleep(0.005)
"""

LEFT_OPEN = """
plan = Plan("compare", cells(1))
store = Store(path)
run = store.begin_run(plan, {})
recorder = store.begin_generation(run, 0, plan.cells[0])
for event in stream(50):
    recorder.append(event)
print(run, flush=True)
"""

FORK = """
import os
child = os.fork()
if child:
    os.waitpid(child, 0)
    store.flush()
    print(store.run(run).status)
"""

INTERRUPTED = """
plan = Plan("compare", cells(20))
events = stream(200)
with Store(path) as store:
    run = store.begin_run(plan, {})
    print(run, flush=True)
    count = 0
    try:
        while True:
            cell = plan.cells[count % 20]
            recorder = store.begin_generation(run, count, cell)
            for event in events:
                recorder.append(event)
            recorder.finish(Generation(cell.request, cell.spec, events), {}, {})
            store.flush()
            count += 1
    except KeyboardInterrupt:
        pass
    print(count, flush=True)
"""


def started(code: str, path: Path) -> subprocess.Popen[str]:
    script = textwrap.dedent(PRELUDE) + code
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return out


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return iter(process.stdout)


def _told(line: str) -> tuple[int, float]:
    count, t = line.split()
    return int(count), float(t)


def test_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    writers = [started(RECORD_200, path) for _ in range(2)]
    runs = [said(writer).strip() for writer in writers]
    assert runs[0] != runs[1]
    with Store(path, read_only=True) as store:
        assert {row.id for row in store.runs()} == set(runs)
        for run in runs:
            row = store.run(run)
            assert (row.status, row.begun, row.ended) == ("finished", 200, 200)
            assert [store.events(run, i) for i in range(200)] == [stream(20, i) for i in range(200)]


def test_a_killed_run_keeps_what_had_finished_and_what_is_a_second_old(path: Path) -> None:
    process = started(STREAM_FOR_EVER, path)
    said_lines = lines(process)
    run = next(said_lines).strip()
    with Store(path, read_only=True) as store:
        assert store.run(run).status == "running"
        told = []
        for line in said_lines:
            told.append(_told(line))
            if told[-1][1] > 3.0:
                break
        process.send_signal(signal.SIGKILL)
        told += [
            (int(line.split()[0]), float(line.split()[1]))
            for line in said_lines
            if line.endswith("\n")
        ]
        process.wait()
        # A second is promised; another is for a machine that does too much at once.
        old = max(count for count, t in told if t <= told[-1][1] - 2.0)
        kept = store.events(run, 1)
        assert len(kept) >= old > 50
        assert kept == stream(100_000)[: len(kept)]
        assert store.events(run, 0) == stream(100_000)[:300]
        assert [row.metrics for row in store.generations(run)] == [{"x": 1.0}, {}, {}]
        row = store.run(run)
        assert (row.status, row.planned, row.begun, row.ended) == ("interrupted", 3, 3, 1)


def test_a_store_that_nobody_closed_is_complete_when_its_process_has_ended(path: Path) -> None:
    run = said(started(LEFT_OPEN, path)).strip()
    with Store(path, read_only=True) as store:
        assert store.events(run, 0) == stream(50)
        assert store.run(run).status == "interrupted"


def test_control_c_at_any_moment_keeps_what_had_finished(path: Path) -> None:
    process = started(INTERRUPTED, path)
    output = lines(process)
    run = next(output).strip()
    time.sleep(0.15)
    process.send_signal(signal.SIGINT)
    count = int(next(output))
    assert process.wait(timeout=60) == 0
    with Store(path, read_only=True) as store:
        rows = store.generations(run)
        assert [row.index for row in rows] == list(range(len(rows)))
        assert len(rows) >= count
        for row in rows[:count]:
            assert store.events(run, row.index) == stream(200)
        assert store.run(run).status == "interrupted"


def test_a_forked_child_leaves_the_store_alone(path: Path) -> None:
    code = LEFT_OPEN + FORK
    run, status = said(started(code, path)).split()
    assert status == "running"
    with Store(path, read_only=True) as store:
        assert store.events(run, 0) == stream(50)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The children import the workbench from where these tests do."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=":")
