"""Resume: whatever ended a run, it is finished without losing or repeating a generation."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from workbench import codec
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import EngineError, InvalidInput, StoreError
from workbench.evaluation.problems import arithmetic_suite
from workbench.experiments import Run, execute, load, parts, resume
from workbench.experiments.findings import findings
from workbench.records import (
    Cell,
    EngineSpec,
    Event,
    Failed,
    Message,
    Mode,
    Plan,
    Problem,
    Request,
    Sampling,
)
from workbench.session import Session
from workbench.store import Store
from workbench.store.schema import VERSION
from workbench.stream import Stream

SPEC = EngineSpec(kind="scripted")


def cells(count: int) -> tuple[Cell, ...]:
    return tuple(
        Cell(
            SPEC,
            Request(
                (Message("user", f"What is {i} + 1?"),),
                Mode.ON,
                Sampling(temperature=0.6, seed=1000 + i),
            ),
            Problem(f"p{i}", f"What is {i} + 1?", str(i + 1), "easy"),
        )
        for i in range(count)
    )


def told(request: Request) -> str | None:
    """An answer that its seed decides; none for the fifth."""
    number = request.sampling.seed - 1000
    if number == 5:
        return None
    return f"<think>\n{'so ' * (5 + 7 * number % 20)}</think>\n\nSo \\boxed{{{number + 1}}}"


def session(pace: float = 0.0) -> Session:
    return Session(lambda: ScriptedEngine(told, pace=pace, token_seconds=0.001))


def whole(count: int, path: Path) -> Run:
    """The run as it is when nothing interrupts it."""
    with session() as opened, Store(path) as store:
        return execute(Plan("sweep", cells(count)), session=opened, store=store)


def interrupted(plan: Plan, store: Store, opened: Session, after: int) -> str:
    """The id of a run that Ctrl-C ends when so many generations have ended."""

    def stop(done: int, planned: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(plan, session=opened, store=store, concurrency=2, progress=stop)
    row = store.runs(1)[0]
    assert row.status == "interrupted"
    return row.id


def ids(run: Run) -> dict[int, tuple[int, ...]]:
    return {index: generation.ids for index, generation in run.generations.items()}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "runs.sqlite") as opened:
        yield opened


# --- going on -------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3, None])
def test_a_resumed_run_is_the_run_that_was_planned(
    store: Store, tmp_path: Path, concurrency: int | None
) -> None:
    with session() as opened:
        run = interrupted(Plan("sweep", cells(20)), store, opened, after=7)
        kept = {i: g for i, g in load(run, store).generations.items() if g.ok or g.end is None}
        kept = {i: g for i, g in kept.items() if g.finish_reason in ("stop", "failed")}
        seen: list[tuple[int, int]] = []
        again = resume(
            run[:-1],
            session=opened,
            store=store,
            concurrency=concurrency,
            progress=lambda *at: seen.append(at),
        )
    assert again.id == run
    assert again.status == load(run, store).status == "finished"
    assert kept
    assert {i: again.generations[i] for i in kept} == kept
    assert seen[-1] == (20, 20)
    assert seen[0][0] > 1
    straight = whole(20, tmp_path / "whole.sqlite")
    assert ids(again) == ids(straight)
    assert again.scores == straight.scores
    assert isinstance(again.generations[5].end, Failed)


def test_a_run_that_is_interrupted_time_and_again_ends(store: Store, tmp_path: Path) -> None:
    with session() as opened:
        run = interrupted(Plan("sweep", cells(12)), store, opened, after=2)
        for _ in range(20):
            before = {i: g for i, g in load(run, store).generations.items() if g.ok}

            def stop(done: int, planned: int) -> None:
                raise KeyboardInterrupt

            try:
                resume(run, session=opened, store=store, concurrency=1, progress=stop)
            except KeyboardInterrupt:
                now = load(run, store)
                assert {i: now.generations[i] for i in before} == before
            else:
                break
    again = load(run, store)
    assert again.status == "finished"
    assert len(again.environment["resumed"]) > 2
    assert ids(again) == ids(whole(12, tmp_path / "whole.sqlite"))


def test_a_finished_run_is_returned_as_it_is(store: Store) -> None:
    with session() as opened:
        run = execute(Plan("sweep", cells(3)), session=opened, store=store)
        again = resume(run.id, session=opened, store=store, watch=lambda *_: pytest.fail("asked"))
    assert again.generations == run.generations
    assert "resumed" not in again.environment


def test_failed_generations_stay_as_they_are(store: Store) -> None:
    with session() as opened:
        run = interrupted(Plan("sweep", cells(8)), store, opened, after=7)
        failed = load(run, store).generations[5]
        asked: list[int] = []
        again = resume(run, session=opened, store=store, watch=lambda i, _: asked.append(i))
    assert isinstance(failed.end, Failed)
    assert again.generations[5] == failed
    assert 5 not in asked


def test_a_run_whose_engine_could_not_be_opened_goes_on_when_it_can(store: Store) -> None:
    closed = EngineSpec(model="demo", sampler="none such")
    with pytest.raises(EngineError):
        execute(Plan("sweep", (Cell(closed, cells(1)[0].request),)), store=store)
    run = store.runs()[0].id
    assert store.run(run).status == "failed"
    with session() as opened:
        assert resume(run, session=opened, store=store).status == "finished"


def test_grades_that_an_older_workbench_did_not_store_are_added(store: Store) -> None:
    with session() as opened:
        run = interrupted(Plan("sweep", cells(6)), store, opened, after=4)
        with sqlite3.connect(store.path) as connection:
            connection.execute("DELETE FROM scores")
        connection.close()
        again = resume(run, session=opened, store=store)
    assert [score.generation for score in again.scores] == list(range(6))
    assert [score.value for score in again.scores] == [1.0] * 5 + [None]


# --- what changed ---------------------------------------------------------------------------------


def test_the_environment_says_when_it_was_resumed_and_what_had_changed(store: Store) -> None:
    with session() as opened:
        run = interrupted(Plan("sweep", cells(6)), store, opened, after=2)
    first = dict(store.run(run).environment)
    first["packages"] = {**first["packages"], "torch": "1.0"}
    first["engines"] = [first["engines"][0] | {"weights_sha256": "a" * 64}]
    store.amend_run(run, first)
    with session() as opened:
        environment = resume(run, session=opened, store=store).environment
    assert len(environment["resumed"]) == 1
    assert environment["packages"] == first["packages"]
    before, now = environment["changed"]["packages: torch"]
    assert before == "1.0"
    assert now != "1.0"
    (engine,) = [value for name, value in environment["changed"].items() if "weights" in name]
    assert engine == ["a" * 64, None]
    assert len(environment["engines"]) == 2
    told = findings(load(run, store))
    assert "These are answers of more than one model: the weights of" in told
    assert "Not all was the same when the run was resumed: packages: torch." in told


def test_nothing_changed_is_said_too(store: Store) -> None:
    with session() as opened:
        run = interrupted(Plan("sweep", cells(6)), store, opened, after=2)
        environment = resume(run, session=opened, store=store).environment
    assert environment["changed"] == {}
    assert len(environment["engines"]) == 1
    assert "resumed" not in findings(load(run, store))


def test_an_engine_that_had_not_been_reached_is_no_change() -> None:
    one = EngineSpec(kind="scripted", model="one", weights_sha256="a")
    facts = parts.with_engine({"resumed": ["…"], "changed": {}}, one)
    facts = parts.with_engine(facts, replace(one, model="two", weights_sha256="b"))
    assert facts["changed"] == {}
    facts = parts.with_engine(facts, replace(one, weights_sha256="c"))
    assert facts["changed"] == {"one on scripted: weights_sha256": ["a", "c"]}
    assert len(facts["engines"]) == 3


# --- refusals -------------------------------------------------------------------------------------


def test_a_run_that_does_not_exist_is_refused(store: Store) -> None:
    with pytest.raises(InvalidInput, match="There is no run 'nope'"):
        resume("nope", store=store)


def test_a_run_that_a_living_process_is_at_is_refused(store: Store) -> None:
    run = store.begin_run(Plan("sweep", cells(1)), {})
    with pytest.raises(InvalidInput, match="is running in this process"):
        resume(run, store=store)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE runs SET pid = 1")
    connection.close()
    with pytest.raises(InvalidInput, match="is running in process 1") as caught:
        resume(run, store=store)
    assert caught.value.remedy
    assert store.run(run).environment == {}


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    run = whole(1, path).id
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with Store(path) as store, pytest.raises(StoreError, match=f"has format {VERSION + 1}"):
        resume(run, store=store)


def test_no_concurrency_is_refused_before_anything(store: Store) -> None:
    with pytest.raises(InvalidInput, match="Concurrency is 0"):
        resume("whatever", store=store, concurrency=0)


# --- killed ---------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_resuming import cells, session
from workbench.experiments import execute, resume
from workbench.records import Plan
from workbench.store import Store

store = Store(Path(sys.argv[2]))
opened = session(pace=1.0)
asked = {"session": opened, "store": store, "concurrency": 4}
if len(sys.argv) > 3:
    print(sys.argv[3], flush=True)
    run = resume(sys.argv[3], **asked)
else:
    run = execute(Plan("sweep", cells(60)), **asked, begun=lambda run: print(run, flush=True))
print(run.status, flush=True)
"""


def child(path: Path, *run: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(Path(__file__).parent), str(path)]
    return subprocess.Popen([*command, *run], stdout=subprocess.PIPE, text=True)


def ended(path: Path, run: str) -> dict[int, tuple[Event, ...]]:
    with Store(path, read_only=True) as store:
        return {i: store.events(run, i) for i in store.indices(run, ended=True)}


def test_killed_at_any_moment_and_resumed_nothing_is_lost_or_repeated(tmp_path: Path) -> None:
    path, source = tmp_path / "runs.sqlite", random.Random()
    run, kept, kills = "", {}, 0
    for _ in range(30):
        process = child(path, *([run] if run else []))
        assert process.stdout is not None
        run = process.stdout.readline().strip()
        if kills < 3:
            time.sleep(source.uniform(0.0, 0.25))
            process.send_signal(signal.SIGKILL)
            kills += 1
        rest = process.stdout.read()
        process.wait()
        process.stdout.close()
        now = ended(path, run)
        assert {i: now[i] for i in kept} == kept
        kept = now
        if "finished" in rest:
            break
    with Store(path, read_only=True) as store:
        again = load(run, store)
        assert len(store.runs()) == 1
    assert again.status == "finished"
    assert 1 <= len(again.environment["resumed"]) <= kills  # one may come before it is noted
    straight = whole(60, tmp_path / "whole.sqlite")
    assert ids(again) == ids(straight)
    assert again.scores == straight.scores


def test_a_model_that_draws_gives_the_ids_it_would_have_given(tmp_path: Path) -> None:
    problems = arithmetic_suite(4)
    drawn = [Sampling(temperature=0.8, seed=seed, max_tokens=40) for seed in range(len(problems))]
    asked = tuple(
        Cell(EngineSpec(), Request((Message("user", p.prompt),), Mode.ON, s), p)
        for p, s in zip(problems, drawn, strict=True)
    )
    plan = Plan("sweep", asked)
    with Session(EngineSpec()) as demo, Store(tmp_path / "runs.sqlite") as store:
        straight = execute(plan, session=demo, store=store)
        begun: list[Stream] = []

        def stop(index: int, stream: Stream) -> None:
            begun.append(stream)
            if len(begun) == 3:
                while len(begun[0].events) < 10:
                    time.sleep(0.005)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            execute(plan, session=demo, store=store, watch=stop)
        run = store.runs(1)[0].id
        assert run != straight.id
        again = resume(run, session=demo, store=store, concurrency=2)
    assert ids(again) == ids(straight)
    assert codec.to_json(again.plan) == codec.to_json(plan)
