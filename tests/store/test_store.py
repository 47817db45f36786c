from __future__ import annotations

import gc
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from workbench import codec
from workbench.bench.store import cells, stream
from workbench.errors import InvalidInput, StoreError
from workbench.records import (
    Cell,
    Channel,
    Chunk,
    EngineSpec,
    Failed,
    Finished,
    Generation,
    Mode,
    Plan,
    Score,
    Started,
)
from workbench.store import Store, archive, home, runs, writer

PLAN = Plan("compare", cells(3), {"mode": (Mode.ON, Mode.OFF), "temperature": (0.0, 0.6)})
METRICS = {"time_to_first_token": 0.25, "inter_token_latency": None}
FLAGS = {"leaked": False, "incomplete": True}


def generation(cell: Cell, seed: int = 0) -> Generation:
    return Generation(cell.request, cell.spec, stream(20, seed))


def recorded(store: Store, plan: Plan = PLAN) -> str:
    """A run of which every generation has ended, and which has not been finished."""
    run = store.begin_run(plan, {"python": "3.11"})
    for index, cell in enumerate(plan.cells):
        recorder = store.begin_generation(run, index, cell)
        whole = generation(cell, index)
        for event in whole.events:
            recorder.append(event)
        recorder.finish(whole, METRICS, FLAGS)
    store.flush()
    return run


def test_a_file_may_be_named_as_text(tmp_path: Path) -> None:
    with Store(str(tmp_path / "runs.sqlite")) as store:
        assert recorded(store) == store.runs()[0].id


def test_live_and_replay_are_the_same_events(store: Store) -> None:
    run = recorded(store)
    with Store(store.path, read_only=True) as other:
        assert [other.events(run, i) for i in range(3)] == [stream(20, i) for i in range(3)]
        assert other.generation(run, 1) == generation(PLAN.cells[1], 1)


def test_a_live_generation_can_be_read_part_by_part(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    events = stream(9)
    recorder = store.begin_generation(run, 0, PLAN.cells[0])
    for size in range(len(events) + 1):
        store.flush()
        assert store.events(run, 0) == events[:size]
        if size < len(events):
            recorder.append(events[size])
    (row,) = store.generations(run)
    assert (row.end, row.finish_reason, row.metrics, row.flags) == (None, None, {}, {})


def test_events_reach_the_disk_by_themselves(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    recorder = store.begin_generation(run, 0, PLAN.cells[0])
    recorder.append(Started(0.0, 3))
    deadline = time.monotonic() + 20
    while store.events(run, 0) != (Started(0.0, 3),):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert store.problem is None


def test_what_has_ended_does_not_wait_for_the_next_round(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_PERIOD", 3600.0)
    run = store.begin_run(PLAN, {})
    done, live = (store.begin_generation(run, i, PLAN.cells[i]) for i in range(2))
    deadline = time.monotonic() + 20
    while len(store.generations(run)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    live.append(Started(0.0, 1))
    done.finish(generation(PLAN.cells[0]), METRICS, FLAGS)
    while store.run(run).ended < 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert store.events(run, 0) == stream(20)
    assert store.events(run, 1) == ()
    store.flush()
    assert store.events(run, 1) == (Started(0.0, 1),)


def test_the_end_takes_the_place_of_what_streamed(store: Store) -> None:
    """Channels are settled and the engine's spec is resolved when a generation ends."""
    run = store.begin_run(PLAN, {})
    recorder = store.begin_generation(run, 0, PLAN.cells[0])
    recorder.append(Chunk(0.1, (1,), "so", Channel.ANSWER))
    store.flush()
    events = (Chunk(0.1, (1,), "so", Channel.THINKING), Finished(0.2, "stop"))
    resolved = EngineSpec(device="cpu", context=512)
    recorder.finish(Generation(PLAN.cells[0].request, resolved, events), {}, {})
    store.finish_run(run)
    assert store.generation(run, 0) == Generation(PLAN.cells[0].request, resolved, events)
    assert store.generations(run)[0].cell.spec == resolved


def test_the_list_shows_metrics_and_how_it_ended(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    ends = [Finished(0.5, "length"), Failed(0.1, "No \ud800 memory.", "Free some.")]
    for index, end in enumerate(ends):
        cell = PLAN.cells[index]
        recorder = store.begin_generation(run, index, cell)
        recorder.finish(Generation(cell.request, cell.spec, (end,)), METRICS, FLAGS)
    store.flush()
    rows = store.generations(run)
    assert [row.index for row in rows] == [0, 1]
    assert [row.cell for row in rows] == list(PLAN.cells[:2])
    assert [row.end for row in rows] == ends
    assert [row.finish_reason for row in rows] == ["length", "failed"]
    assert all(row.metrics == METRICS and row.flags == FLAGS for row in rows)
    assert store.run(run).begun == 2


def test_an_undefined_metric_is_none(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    values = {"nan": float("nan"), "inf": float("inf"), "none": None, "one": 1.5}
    recorder = store.begin_generation(run, 0, PLAN.cells[0])
    recorder.finish(generation(PLAN.cells[0]), values, {})
    store.flush()
    assert store.generations(run)[0].metrics == {"nan": None, "inf": None, "none": None, "one": 1.5}


def test_a_run_comes_back_with_its_plan_and_environment(store: Store) -> None:
    before = datetime.now(UTC)
    run = recorded(store)
    row = store.run(run)
    assert (row.id, row.kind, row.title, row.plan) == (run, "compare", str(PLAN), PLAN)
    assert (row.planned, row.begun, row.ended, row.status) == (3, 3, 3, "running")
    assert row.environment == {"python": "3.11"}
    assert before - timedelta(seconds=1) < row.created < datetime.now(UTC) + timedelta(seconds=1)
    store.finish_run(run, "failed", {"engines": ["exllama"]})
    row = store.run(run)
    assert (row.status, row.environment) == ("failed", {"engines": ["exllama"]})


def test_finishing_keeps_the_environment_unless_it_is_given(store: Store) -> None:
    run = recorded(store)
    store.finish_run(run)
    assert store.run(run).environment == {"python": "3.11"}
    assert store.run(run).status == "finished"


def test_lists_are_newest_first_and_ids_sort_by_time(store: Store) -> None:
    made = []
    for _ in range(4):
        made.append(store.begin_run(PLAN, {}))
        time.sleep(0.002)
    assert [row.id for row in store.runs()] == made[::-1]
    assert [row.id for row in store.runs(limit=2)] == made[:1:-1]
    assert store.runs(limit=0) == store.runs(limit=-3) == []
    assert sorted(made) == made


def test_runs_of_the_same_moment_are_told_apart(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs.time, "time", lambda: 1_700_000_000.0)
    made = [store.begin_run(PLAN, {}) for _ in range(3)]
    assert len(set(made)) == 3
    assert [row.id for row in store.runs()] == made[::-1]


def test_the_beginning_of_an_id_is_enough(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    assert store.run(run[:4]).id == run
    assert store.run(run[:-1]).id == run


def test_an_ambiguous_beginning_lists_the_candidates(store: Store) -> None:
    made = [store.begin_run(PLAN, {}) for _ in range(7)]
    with pytest.raises(InvalidInput, match="7 runs begin with '2'") as caught:
        store.run("2")
    assert sum(run in str(caught.value) for run in made) == 5
    assert "…" in str(caught.value)


def test_an_id_that_begins_another_still_names_its_run(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    with store._writing.transaction() as connection:
        connection.execute("UPDATE runs SET id = ? WHERE id = ?", (run + "0", run))
        connection.execute(
            "INSERT INTO runs (id, created, host, pid, summary, environment, plan) "
            "SELECT ?, created, host, pid, summary, environment, plan FROM runs",
            [run],
        )
    assert store.run(run).id == run


@pytest.mark.parametrize("name", ["", "nope", "2%", "_", "\ud800", "2\x00", "'; DROP TABLE runs"])
def test_an_unknown_run_is_refused(store: Store, name: str) -> None:
    store.begin_run(PLAN, {})
    with pytest.raises(InvalidInput, match="There is no run") as caught:
        store.events(name, 0)
    assert "workbench runs list" in caught.value.remedy


def test_an_unknown_generation_is_refused(store: Store) -> None:
    run = recorded(store)
    with pytest.raises(InvalidInput, match="has no generation 3"):
        store.generation(run, 3)
    assert store.events(run, 3) == ()


def test_beginning_an_index_again_replaces_it(store: Store) -> None:
    run = recorded(store)
    store.add_scores(run, [Score("p", 0, 1.0, "4", "exact"), Score("p", 1, 0.0, None, "none")])
    recorder = store.begin_generation(run, 0, PLAN.cells[2])
    recorder.append(Started(0.0, 1))
    store.flush()
    row = store.generations(run)[0]
    assert (row.cell, row.end, row.metrics) == (PLAN.cells[2], None, {})
    assert store.events(run, 0) == (Started(0.0, 1),)
    assert [score.generation for score in store.scores(run)] == [1]


def test_scores_are_kept_by_generation_and_replaced(store: Store) -> None:
    run = recorded(store)
    first = [Score("a", 2, None, None, "no answer"), Score("b", 0, 1.0, "\ud800", "exact")]
    store.add_scores(run, first)
    assert store.scores(run) == first[::-1]
    store.add_scores(run, iter([Score("a", 2, 0.5, "7", "again")]))
    assert store.scores(run) == [first[1], Score("a", 2, 0.5, "7", "again")]


def test_a_score_of_nothing_is_refused_and_none_is_kept(store: Store) -> None:
    run = recorded(store)
    with pytest.raises(StoreError, match="1 scores are of generations that run"):
        store.add_scores(run, [Score("a", 0, 1.0, "1", ""), Score("a", 9, 1.0, "1", "")])
    assert store.scores(run) == []


def test_an_export_is_lines_of_json_that_give_the_records_back(store: Store) -> None:
    run = recorded(store)
    store.add_scores(run, [Score("a", 1, 1.0, "21", "exact")])
    store.finish_run(run)
    head, *lines = [json.loads(line) for line in store.export(run[:8])]
    assert (head["type"], head["format"], head["id"]) == ("run", 1, run)
    assert (head["status"], head["environment"]) == ("finished", {"python": "3.11"})
    assert datetime.fromisoformat(head["created"]) == store.run(run).created
    assert codec.from_json(Plan, head["plan"]) == PLAN
    assert [line["type"] for line in lines] == ["generation"] * 3 + ["score"]
    for index, line in enumerate(lines[:3]):
        assert (line["run"], line["index"]) == (run, index)
        assert codec.from_json(Cell, line["cell"]) == PLAN.cells[index]
        assert (line["metrics"], line["flags"]) == (METRICS, FLAGS)
        assert tuple(map(codec.event_from_json, line["events"])) == stream(20, index)
    assert codec.from_json(Score, lines[3]) == Score("a", 1, 1.0, "21", "exact")


def test_an_export_of_no_run_fails_at_once(store: Store) -> None:
    with pytest.raises(InvalidInput):
        store.export("nope")


def test_deleting_a_run_leaves_the_others_and_frees_the_disk(path: Path) -> None:
    with Store(path) as store:
        kept = recorded(store)
        store.finish_run(kept)
        gone = recorded(store, Plan("sweep", cells(200)))
        store.finish_run(gone)
    full = path.stat().st_size
    with Store(path) as store:
        store.delete(gone)
        assert [row.id for row in store.runs()] == [kept]
        assert store.events(kept, 2) == stream(20, 2)
    assert path.stat().st_size < full / 2


def test_a_running_run_is_not_deleted(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    with pytest.raises(InvalidInput, match="is running"):
        store.delete(run)
    store.finish_run(run)
    store.delete(run)
    assert store.runs() == []


def test_a_run_deleted_meanwhile_takes_nothing_more_and_stops_nobody(store: Store) -> None:
    gone, kept = store.begin_run(PLAN, {}), store.begin_run(PLAN, {})
    recorders = [store.begin_generation(run, 0, PLAN.cells[0]) for run in (gone, kept)]
    store.flush()
    with store._writing.transaction() as connection:
        connection.execute("DELETE FROM runs WHERE id = ?", [gone])
    late = store.begin_generation(gone, 1, PLAN.cells[1])
    for recorder in (*recorders, late):
        recorder.append(Started(0.0, 1))
        recorder.finish(generation(PLAN.cells[0]), METRICS, FLAGS)
    store.flush()
    assert store.events(kept, 0) == stream(20)
    assert store._reading.read("SELECT count(*) FROM blocks", ()) == [(1,)]


def test_nothing_is_made_before_the_first_run(path: Path) -> None:
    with Store(path) as store:
        assert store.runs() == []
        with pytest.raises(InvalidInput, match="There is no run"):
            store.run("2")
    assert not path.parent.exists()


def test_reading_goes_on_when_the_first_run_has_come(path: Path) -> None:
    with Store(path, read_only=True) as reader, Store(path) as writer:
        assert reader.runs() == []
        path.parent.mkdir()
        path.touch()
        assert reader.runs() == []
        run = writer.begin_run(PLAN, {})
        assert [row.id for row in reader.runs()] == [run]


def test_home_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WORKBENCH_HOME", raising=False)
    assert home() == Path(".runs")
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "ä ?#%"))
    with Store() as store:
        run = store.begin_run(PLAN, {})
        assert store.path == tmp_path / "ä ?#%" / "runs.sqlite"
        assert store.path.exists()
        assert store.run(run).id == run


def test_a_store_for_reading_writes_nothing(path: Path) -> None:
    with Store(path) as store:
        run = recorded(store)
        store.finish_run(run)
    with Store(path, read_only=True) as store:
        for change in (
            lambda: store.begin_run(PLAN, {}),
            lambda: store.finish_run(run),
            lambda: store.delete(run),
            lambda: store.add_scores(run, []),
        ):
            with pytest.raises(StoreError, match="opened for reading only"):
                change()
        assert store.events(run, 0) == stream(20, 0)


def test_a_closed_store_takes_nothing_more(path: Path) -> None:
    store = Store(path)
    run = store.begin_run(PLAN, {})
    store.close()
    store.close()
    with pytest.raises(StoreError, match="has been closed"):
        store.begin_run(PLAN, {})
    with pytest.raises(InvalidInput, match="is not open for recording"):
        store.begin_generation(run, 0, PLAN.cells[0])


def test_only_an_open_run_is_recorded(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    store.finish_run(run)
    with pytest.raises(InvalidInput, match="is not open for recording"):
        store.begin_generation(run, 0, PLAN.cells[0])


def test_a_finished_recorder_takes_nothing_more(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    recorder = store.begin_generation(run, 0, PLAN.cells[0])
    recorder.finish(generation(PLAN.cells[0]), {}, {})
    with pytest.raises(StoreError, match=f"Generation 0 of run {run} has been finished"):
        recorder.append(Started(0.0, 1))
    store.flush()
    with pytest.raises(StoreError, match="has been finished"):
        recorder.append(Started(0.0, 1))


def test_closing_writes_what_is_left_and_marks_the_run(path: Path) -> None:
    with Store(path) as store:
        run = store.begin_run(PLAN, {})
        recorder = store.begin_generation(run, 0, PLAN.cells[0])
        for event in stream(20):
            recorder.append(event)
    with Store(path, read_only=True) as store:
        assert store.run(run).status == "interrupted"
        assert store.events(run, 0) == stream(20)


@pytest.mark.parametrize(
    ("host", "pid", "status"),
    [("another", "pid", "unknown"), ("host", "4194304", "interrupted"), ("host", "1", "running")],
)
def test_an_unfinished_run_is_judged_by_its_owner(
    store: Store, host: str, pid: str, status: str
) -> None:
    run = store.begin_run(PLAN, {})
    value = "host" if host == "host" else f"'{host}'"
    with store._writing.transaction() as connection:
        connection.execute(f"UPDATE runs SET host = {value}, pid = {pid}")
    assert store.run(run).status == status


def test_a_younger_process_of_the_same_number_is_not_the_owner(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    with store._writing.transaction() as connection:
        connection.execute("UPDATE runs SET created = created - 1e8")
    assert store.run(run).status == "interrupted"


def test_what_is_on_disk_is_not_kept_in_memory(store: Store) -> None:
    class Witness(str):
        __slots__ = ()

    class Kept(Generation):
        """Told apart from the generations that other tests hold."""

        __slots__ = ()

    run = store.begin_run(PLAN, {})
    recorders = []
    for index, cell in enumerate(PLAN.cells):
        recorder = store.begin_generation(run, index, cell)
        chunk = Chunk(0.1, (1,), Witness("a"))
        recorder.append(chunk)
        recorder.finish(Kept(cell.request, cell.spec, (chunk,)), {}, {})
        recorders.append(recorder)
    del chunk, recorder
    store.flush()
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing) is Kept]
    assert not [
        thing for thing in gc.get_objects() if type(thing) is Chunk and type(thing.text) is Witness
    ]
    assert [len(store.events(run, i)) for i in range(3)] == [1, 1, 1]


def test_a_plan_that_cannot_be_stored_is_refused_before_it_begins(store: Store) -> None:
    with pytest.raises(InvalidInput):
        store.begin_run(Plan("sweep", (), {"odd": (object(),)}), {})
    with pytest.raises(InvalidInput):
        store.begin_run(PLAN, {"value": float("nan")})
    assert store.runs() == []


# --- going on -------------------------------------------------------------------------------------


def test_a_score_that_comes_with_the_end_is_stored_with_it(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    score = Score("p", 0, 1.0, "4", "equal")
    recorder = store.begin_generation(run, 0, PLAN.cells[0])
    recorder.finish(generation(PLAN.cells[0]), METRICS, FLAGS, score)
    store.flush()
    assert store.scores(run) == [score]
    store.begin_generation(run, 0, PLAN.cells[0])
    store.flush()
    assert store.scores(run) == []


def test_indices_tell_what_has_begun_and_what_has_ended(store: Store) -> None:
    run = store.begin_run(PLAN, {})
    recorders = [store.begin_generation(run, i, PLAN.cells[i]) for i in (2, 0)]
    recorders[0].finish(generation(PLAN.cells[2]), {}, {})
    store.flush()
    assert store.indices(run) == [0, 2]
    assert store.indices(run, ended=True) == [2]


def test_rows_are_read_in_portions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_PORTION", 2)
    plan = Plan("sweep", cells(5))
    run = recorded(store, plan)
    assert [row.index for row in store.rows(run)] == [0, 1, 2, 3, 4]
    assert list(store.rows(run)) == store.generations(run)
    told = dict(store.texts(run, Channel.ANSWER))
    assert told == {i: generation(plan.cells[i], i).text_of(Channel.ANSWER) for i in range(5)}


def test_an_interrupted_run_is_reopened_and_recorded_on(path: Path) -> None:
    with Store(path) as store:
        run = store.begin_run(PLAN, {"python": "3.11"})
        store.begin_generation(run, 0, PLAN.cells[0]).finish(generation(PLAN.cells[0]), {}, {})
    with Store(path) as store:
        assert store.run(run).status == "interrupted"
        assert store.reopen_run(run[:-1], {"python": "3.12"}) == run
        row = store.run(run)
        assert (row.status, row.ended, row.environment) == ("running", 1, {"python": "3.12"})
        store.begin_generation(run, 1, PLAN.cells[1]).finish(generation(PLAN.cells[1], 1), {}, {})
        store.finish_run(run)
        assert store.run(run).status == "finished"
        assert store.run(run).environment == {"python": "3.12"}
        assert [store.events(run, i) for i in range(2)] == [stream(20, 0), stream(20, 1)]


def test_a_run_reopened_later_is_judged_by_the_process_that_did_so(store: Store) -> None:
    """It began before that process did; without the mark it would seem another's."""
    run = recorded(store)
    store.finish_run(run, "interrupted")
    with store._writing.transaction() as connection:
        connection.execute("UPDATE runs SET created = created - 1e8")
    store.reopen_run(run)
    assert store.run(run).status == "running"


def test_what_has_finished_or_is_running_is_not_reopened(store: Store) -> None:
    run = recorded(store)
    with pytest.raises(InvalidInput, match="is running in this process"):
        store.reopen_run(run)
    store.finish_run(run)
    with pytest.raises(InvalidInput, match="has finished"):
        store.reopen_run(run)
    with pytest.raises(InvalidInput, match="There is no run"):
        store.reopen_run("nope")


def test_two_stores_do_not_both_take_a_run(store: Store) -> None:
    run = recorded(store)
    store.finish_run(run, "failed")
    with Store(store.path) as other:
        other.reopen_run(run)
        with pytest.raises(InvalidInput, match="is running in this process"):
            store.reopen_run(run)


def test_a_run_that_was_left_reads_as_interrupted_by_itself(store: Store) -> None:
    run = recorded(store)
    store.leave_run(run)
    deadline = time.monotonic() + 20
    while store.run(run).status != "interrupted":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    store.reopen_run(run)
    assert store.run(run).status == "running"
    assert [store.events(run, i) for i in range(3)] == [stream(20, i) for i in range(3)]


def test_what_is_known_of_a_run_is_amended_while_it_goes_on(store: Store) -> None:
    run = store.begin_run(PLAN, {"python": "3.11"})
    store.amend_run(run, {"engines": ["demo"]})
    assert (store.run(run).environment, store.run(run).status) == ({"engines": ["demo"]}, "running")


def test_what_waits_for_the_disk_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer.Writer, "_loop", lambda self: None)
    run = store.begin_run(PLAN, {})
    done, _ = (store.begin_generation(run, i, PLAN.cells[i]) for i in range(2))
    done.finish(generation(PLAN.cells[0]), {}, {})
    assert store.held == 1
    store.flush()
    assert store.held == 0
