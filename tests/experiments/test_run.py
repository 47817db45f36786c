"""A run's tables and its generations, which lie in the store until they are looked at."""

from __future__ import annotations

import gc
import os
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench import codec, metrics
from workbench.bench.store import cells, stream
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import InvalidInput
from workbench.experiments import Run, compare, execute, load
from workbench.experiments.stored import StoredGenerations
from workbench.records import Chunk, Failed, Generation, Plan, Problem, Started
from workbench.session import Session
from workbench.store import Store, facts

PROBLEMS = (Problem("one", "What is 1+1?", "2", "easy"), Problem("two", "What is 2+2?", "4"))
ANSWERS = {
    "What is 1+1?": "<think>\nhm\n</think>\n\n\\boxed{2}",
    "What is 2+2?": "\\boxed{5} \ud800",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as opened:
        yield opened


@pytest.fixture
def run(store: Store) -> Run:
    plan = compare([*PROBLEMS, "What is 3+3?"], modes=["on", "off"])
    with Session(lambda: ScriptedEngine.answering(ANSWERS)) as session:
        return execute(plan, session=session, store=store)


def in_memory(run: Run) -> Run:
    """The same with its generations at hand."""
    return replace(run, generations=dict(run.generations))


# --- generations ----------------------------------------------------------------------------------


def test_generations_are_a_mapping_like_any_other(run: Run) -> None:
    found = run.generations
    assert len(found) == 6
    assert list(found) == [0, 1, 2, 3, 4, 5]
    assert [index for index, _ in found.items()] == list(found)
    assert [type(one) for one in found.values()] == [Generation] * 6
    assert (0 in found, 6 in found, -1 in found, "0" in found) == (True, False, False, False)
    assert found.get(6) is None
    with pytest.raises(KeyError):
        found[6]
    assert found == dict(found)
    assert dict(found) == found
    assert repr(found) == f"<6 generations of run {run.id}>"


def test_generations_are_equal_where_every_one_is(run: Run, store: Store) -> None:
    assert load(run.id, store).generations == run.generations
    assert run.generations != {**run.generations, 0: run.generations[1]}
    assert run.generations != {index: run.generations[index] for index in range(5)}
    assert run.generations != {index + 1: one for index, one in run.generations.items()}
    assert run.generations != 6


def test_they_are_read_when_the_store_object_is_closed_and_the_folder_was_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with (
        Session(lambda: ScriptedEngine.answering(ANSWERS)) as session,
        Store(Path("runs.sqlite")) as store,
    ):
        run = execute(compare(PROBLEMS, modes=["on"]), session=session, store=store)
    os.chdir("/")
    assert run.generations[0].answer == "\\boxed{2}"
    assert len(run.frame()) == 2


def test_only_what_was_looked_at_last_is_kept(store: Store) -> None:
    plan = Plan("sweep", cells(5))
    run = store.begin_run(plan, {})
    for index, cell in enumerate(plan.cells):
        events = stream(8000, index)
        store.begin_generation(run, index, cell).finish(
            Generation(cell.request, cell.spec, events), {}, {}
        )
        store.flush()
    del events
    found = load(run, store).generations
    assert found[3] is found[3]
    for index in found:
        assert len(found[index].ids) == 8000
    gc.collect()
    held = sum(type(thing) is Chunk for thing in gc.get_objects())
    assert held < 25_000
    assert sum(len(one.ids) for one in found.values()) == 40_000


def test_what_was_deleted_meanwhile_is_told(run: Run, store: Store) -> None:
    store.delete(run.id)
    with pytest.raises(InvalidInput, match="There is no run"):
        run.generations[0]


def test_a_run_can_be_looked_at_while_it_goes_on(store: Store) -> None:
    counts: list[tuple[int, int, str]] = []
    begun: list[str] = []

    def look(done: int, planned: int) -> None:
        store.flush()
        now = load(begun[0], store)
        whole = [row for row in now.rows() if row["finish_reason"] is not None]
        counts.append((done, len(whole), now.status))
        assert len(now.scores) == done

    with Session(lambda: ScriptedEngine.answering(ANSWERS)) as session:
        run = execute(
            compare(PROBLEMS, modes=["on"]),
            session=session,
            store=store,
            progress=look,
            begun=begun.append,
        )
    assert begun == [run.id]
    assert counts == [(1, 1, "running"), (2, 2, "running")]


# --- tables ---------------------------------------------------------------------------------------


def test_rows_from_the_store_are_those_from_the_tokens(run: Run) -> None:
    rows = list(run.rows())
    assert rows == list(in_memory(run).rows())
    assert [row["index"] for row in rows] == list(range(6))
    assert [row["finish_reason"] for row in rows] == ["stop"] * 4 + ["failed"] * 2
    assert [row["score"] for row in rows] == [1.0, 1.0, 0.0, 0.0, None, None]
    assert rows[0]["extracted"] == "2"
    assert rows[0].keys() >= {metric.name for metric in metrics.TABLE}
    assert (rows[0]["thinking_budget"], rows[0]["thinking_tokens"]) == (None, len("\nhm\n"))


def test_the_frame_is_the_rows_and_the_answers(run: Run) -> None:
    frame = run.frame()
    assert list(frame["answer"]) == ["\\boxed{2}"] * 2 + ["\\boxed{5} \ufffd"] * 2 + [""] * 2
    assert frame.equals(in_memory(run).frame())
    assert set(frame.columns) == {*next(run.rows()), "answer"}


def test_the_answer_is_found_in_many_tokens_and_in_many_parts(store: Store) -> None:
    plan = Plan("sweep", cells(3))
    run = store.begin_run(plan, {})
    recorders = [store.begin_generation(run, i, cell) for i, cell in enumerate(plan.cells)]
    for index, event in enumerate(stream(400)[:-1]):
        recorders[0].append(event)
        if index % 100 == 0:
            store.flush()
    recorders[1].finish(Generation(plan.cells[1].request, plan.cells[1].spec, stream(50)), {}, {})
    recorders[2].append(Started(0.0, 1))
    store.flush()
    live = load(run, store)
    assert list(live.frame()["answer"]) == [one.answer for one in live.generations.values()]
    assert live.frame().loc[0, "output_tokens"] == 400
    assert live.frame()["finish_reason"].isna().tolist() == [True, False, True]


def test_a_run_without_generations_has_empty_tables(store: Store) -> None:
    run = load(store.begin_run(Plan("sweep", cells(2)), {}), store)
    assert list(run.rows()) == []
    assert len(run.frame()) == 0


def without(value: Any, names: set[str]) -> Any:
    """JSON of a workbench that did not know these names yet."""
    if isinstance(value, dict):
        return {name: without(one, names) for name, one in value.items() if name not in names}
    return [without(one, names) for one in value] if isinstance(value, list) else value


def test_a_run_of_an_older_workbench_is_read(run: Run, path: Path) -> None:
    new = {"min_tokens", "thinking_budget", "concurrency", "expected", "forced_close", "forced"}
    with sqlite3.connect(path) as connection:
        ((plan,),) = connection.execute("SELECT plan FROM runs").fetchall()
        old = without(codec.loads(zlib.decompress(plan).decode()), new | {"thinking_tokens"})
        connection.execute("UPDATE runs SET plan = ?", [zlib.compress(codec.dumps(old).encode())])
        for index, packed in connection.execute("SELECT idx, facts FROM generations").fetchall():
            (row,) = facts.unpack([packed])
            row = without(row, new)
            deflate = zlib.compressobj(zdict=facts._LIKENESS)
            data = deflate.compress(codec.dumps(row).encode()) + deflate.flush()
            connection.execute("UPDATE generations SET facts = ? WHERE idx = ?", (data, index))
    connection.close()
    with Store(path, read_only=True) as store:
        again = load(run.id, store)
    assert again.plan.cells[0].concurrency is None
    assert [row["forced_close"] for row in again.rows()] == [False] * 6
    assert len(again.frame()) == 6
    assert isinstance(again.generations[5].end, Failed)
    assert isinstance(again.generations, StoredGenerations)
