from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench import codec
from workbench.bench.store import cells, record, stream
from workbench.errors import StoreError
from workbench.records import Cell, Chunk, Generation, Plan, Started
from workbench.store import Store, schema, writer
from workbench.store.database import explained

PLAN = Plan("compare", cells(2))
NOBODY = 65534


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """No file may grow beyond what the store's files are now."""
    files = [file for file in path.parent.glob(path.name + "*") if not file.name.endswith("-shm")]
    largest = max(file.stat().st_size for file in files)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """A folder that this process cannot write, even when the tests run as root."""
    with tempfile.TemporaryDirectory() as folder:
        user = os.geteuid()
        path = Path(folder)
        path.chmod(0o555)
        try:
            if user == 0:
                os.seteuid(NOBODY)
            yield path
        finally:
            os.seteuid(user)
            path.chmod(0o755)


@contextmanager
def owner_of(folder: Path) -> Iterator[None]:
    """For a moment, write as the one who made the folder."""
    user, owner = os.geteuid(), folder.stat().st_uid
    os.seteuid(owner)
    folder.chmod(0o755)
    try:
        yield
    finally:
        folder.chmod(0o555)
        os.seteuid(user)


def many_events(cell: Cell, count: int = 3000) -> Generation:
    return Generation(cell.request, cell.spec, stream(count))


# --- the file -------------------------------------------------------------------------------------


def test_a_newer_format_is_refused_and_not_touched(path: Path) -> None:
    with Store(path) as store:
        record(store, [stream(5)])
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    for read_only in (True, False):
        with Store(path, read_only=read_only) as store:
            with pytest.raises(StoreError, match=r"has format 2; this workbench reads up to 1"):
                store.runs()
            with pytest.raises(StoreError) as caught:
                store.begin_run(PLAN, {})
            assert read_only or "Update the workbench" in caught.value.remedy
    assert path.read_bytes() == before


def test_another_programs_file_is_refused_and_not_touched(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (id TEXT)")
    connection.close()
    before = path.read_bytes()
    with Store(path) as store:
        with pytest.raises(StoreError, match="is not a run store"):
            store.runs()
        with pytest.raises(StoreError, match="is not a run store"):
            store.begin_run(PLAN, {})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"not a database, " * 100, b"SQLite format 3\x00" + b"\xff" * 500]
)
def test_what_is_no_database_is_refused_and_not_touched(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with Store(path) as store:
        with pytest.raises(StoreError, match="is damaged") as caught:
            store.runs()
        with pytest.raises(StoreError, match="is damaged"):
            store.begin_run(PLAN, {})
    assert "Move it away" in caught.value.remedy
    assert path.read_bytes() == content


def test_damaged_pages_are_told_as_such(path: Path) -> None:
    with Store(path) as store:
        run = record(store, [stream(200, seed) for seed in range(20)])
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)
    with Store(path, read_only=True) as store, pytest.raises(StoreError, match="is damaged"):
        [store.events(run, index) for index in range(20)]


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ("UPDATE generations SET facts = x'00'", lambda store, run: store.generations(run)),
        ("UPDATE specs SET spec = '{'", lambda store, run: store.generations(run)),
        ("UPDATE blocks SET data = x'0100'", lambda store, run: store.generation(run, 0)),
        ("UPDATE runs SET summary = '[]'", lambda store, run: store.runs()),
        ("UPDATE runs SET environment = '{'", lambda store, run: store.run(run)),
        ("UPDATE runs SET plan = x'00'", lambda store, run: list(store.export(run))),
        ("UPDATE scores SET score = 'null'", lambda store, run: store.scores(run)),
    ],
)
def test_a_row_that_cannot_be_read_is_told_as_such(store: Store, change: str, read: Any) -> None:
    run = record(store, [stream(5)])
    with store._writing.transaction() as connection:
        connection.execute("INSERT INTO scores SELECT run, idx, '{}' FROM generations")
        connection.execute(change)
    with pytest.raises(StoreError, match="cannot be read") as caught:
        read(store, run)
    assert "backup" in caught.value.remedy


# --- the disk -------------------------------------------------------------------------------------


def test_a_path_below_a_file_is_refused_at_the_begin(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Store(tmp_path / "file" / "runs.sqlite") as store:
        assert store.runs() == []
        with pytest.raises(StoreError, match="cannot be used") as caught:
            store.begin_run(PLAN, {})
    assert "WORKBENCH_HOME" in caught.value.remedy


def test_a_folder_in_the_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with Store(path) as store:
        for use in (store.runs, lambda: store.begin_run(PLAN, {})):
            with pytest.raises(StoreError, match=r"cannot be (opened|read) or written"):
                use()


def test_a_read_only_folder_is_refused_at_the_begin(locked_folder: Path) -> None:
    for place in (locked_folder / "runs.sqlite", locked_folder / "home" / "runs.sqlite"):
        with Store(place) as store:
            assert store.runs() == []
            with pytest.raises(StoreError, match="cannot be") as caught:
                store.begin_run(PLAN, {})
        assert "WORKBENCH_HOME" in caught.value.remedy


def test_a_store_in_a_read_only_folder_can_be_read(locked_folder: Path) -> None:
    path = locked_folder / "runs.sqlite"
    with owner_of(locked_folder), Store(path) as store:
        run = record(store, [stream(5)])
    with Store(path) as store:
        assert store.events(run, 0) == stream(5)
        with pytest.raises(StoreError, match="cannot be opened or written"):
            store.begin_run(PLAN, {})


def test_a_full_disk_is_told_at_the_begin(path: Path) -> None:
    with Store(path) as store:
        record(store, [stream(5)])
        with full_disk(path):
            big = Plan(
                "compare", cells(2000), {"seed": tuple(os.urandom(8).hex() for _ in range(5000))}
            )
            with pytest.raises(StoreError, match="disk") as caught:
                store.begin_run(big, {})
        assert "WORKBENCH_HOME" in caught.value.remedy
        assert len(store.runs()) == 1


def test_a_disk_that_fills_up_and_is_freed_costs_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_BACKOFF", 0.05)
    whole = many_events(PLAN.cells[0])
    with Store(path) as store:
        run = store.begin_run(PLAN, {})
        recorders = [store.begin_generation(run, i, cell) for i, cell in enumerate(PLAN.cells)]
        store.flush()
        with full_disk(path):
            for event in whole.events:
                recorders[0].append(event)
                recorders[1].append(event)
            recorders[0].finish(whole, {"x": 1.0}, {})
            wait_until(lambda: store.problem is not None)
            assert "disk" in str(store.problem)
            with pytest.raises(StoreError, match="disk"):
                store.finish_run(run)
            assert store.events(run, 0) == ()
        wait_until(lambda: store.problem is None)
        assert store.events(run, 0) == store.events(run, 1) == whole.events
        store.finish_run(run)
        assert [row.metrics for row in store.generations(run)] == [{"x": 1.0}, {}]


def test_what_no_disk_took_is_saved_elsewhere_and_named(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    whole = many_events(PLAN.cells[0])
    store = Store(path)
    run = store.begin_run(PLAN, {})
    done = store.begin_generation(run, 0, PLAN.cells[0])
    live = store.begin_generation(run, 1, PLAN.cells[1])
    store.flush()
    store._writing.transaction = refused(store, "database or disk is full")  # type: ignore[method-assign]
    for event in whole.events:
        done.append(event)
    done.finish(whole, {"x": 1.0}, {"leaked": True})
    live.append(Started(0.0, 1))
    with pytest.raises(StoreError, match="disk is full") as caught:
        store.close()
    (file,) = tmp_path.glob("workbench-unsaved-*.jsonl")
    assert f"What it did not take, 2 generations, is in {file}." in caught.value.remedy
    first, second = map(json.loads, file.read_text().splitlines())
    assert (first["run"], first["index"], first["metrics"]) == (run, 0, {"x": 1.0})
    assert tuple(map(codec.event_from_json, first["events"])) == whole.events
    assert codec.from_json(Cell, second["cell"]) == PLAN.cells[1]
    assert tuple(map(codec.event_from_json, second["events"])) == (Started(0.0, 1),)


def test_a_run_that_was_left_on_a_full_disk_is_named_once_and_the_process_ends_quietly(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = Store(path)
    run = store.begin_run(PLAN, {})
    store._writing.transaction = refused(store, "database or disk is full")  # type: ignore[method-assign]
    store.begin_generation(run, 0, PLAN.cells[0]).append(Started(0.0, 1))
    store.leave_run(run)
    with pytest.raises(StoreError) as caught:
        store.close()
    assert caught.value.runs == (run,)
    assert str(caught.value).count(run) == 1
    monkeypatch.undo()
    store._writer._close_at_exit()
    assert Store(path, read_only=True).run(run).ended == 0


def test_when_nothing_takes_it_that_is_told_and_tried_once_more(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: object, **__: object) -> None:
        raise OSError("no space anywhere")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", nowhere)
    store = Store(path)
    run = store.begin_run(PLAN, {})
    store.begin_generation(run, 1, PLAN.cells[1]).append(Started(0.0, 2))
    store.flush()  # what is on disk is not lost, and not saved again
    store._writing.transaction = refused(store, "disk I/O error")  # type: ignore[method-assign]
    store.begin_generation(run, 0, PLAN.cells[0]).append(Started(0.0, 1))
    with pytest.raises(StoreError, match="1 generation could not be saved either: no space"):
        store.close()
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(StoreError, match="unsaved"):
        store.close()  # as it is once more when the process ends
    store.close()
    (line,) = [json.loads(line) for line in next(tmp_path.glob("*.jsonl")).open()]
    assert line["events"] == [codec.to_json(Started(0.0, 1))]


def test_an_event_that_is_not_valid_stops_no_other(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    bad, good = (store.begin_generation(run, i, cell) for i, cell in enumerate(PLAN.cells))
    bad.append(Chunk(0.1, (-1,), "minus one is no token"))
    good.append(Started(0.0, 1))
    with pytest.raises(StoreError, match="1 generation cannot be recorded: OverflowError"):
        store.flush()
    assert store.events(run, 1) == (Started(0.0, 1),)
    assert store.problem is not None
    bad._events.clear()
    store.flush()
    assert store.problem is None


def test_a_held_store_is_waited_for_and_then_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(path) as store:
        run = record(store, [stream(5)])
    monkeypatch.setattr(schema, "_PATIENCE", 0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Store(path) as store:
        start = time.monotonic()
        with pytest.raises(StoreError, match="is held by another process"):
            store.begin_run(PLAN, {})
        assert time.monotonic() - start >= 0.1
        assert store.events(run, 0) == stream(5)
        other.execute("ROLLBACK")
        assert store.begin_run(PLAN, {}) != run
    other.close()


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def refused(store: Store, why: str) -> Any:
    """A transaction of a disk that takes nothing any more."""
    error = sqlite3.OperationalError(why)
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    real = store._writing

    @contextmanager
    def transaction() -> Iterator[SimpleNamespace]:
        with explained(real.path):
            raise error
        yield SimpleNamespace()

    return transaction
