"""Execute: everything kept, graded, read back equal; nothing lost when it is cut short."""

from __future__ import annotations

import resource
import signal
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench.engines.scripted import ScriptedEngine
from workbench.errors import EngineError, InvalidInput, ModelError, StoreError
from workbench.experiments import compare, environment, execute, load, resume, sweep
from workbench.experiments.stages import stages
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
from workbench.store import Store, writer
from workbench.stream import Stream

ON = "<think>\n1 and 1\n</think>\n\nSo \\boxed{2}"
PROBLEMS = (
    Problem("one", "What is 1+1?", "2", "easy"),
    Problem("two", "What is 2+2?", "4", "easy"),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "runs.sqlite") as opened:
        yield opened


def session() -> Session:
    answers = {
        ("What is 1+1?", Mode.ON): ON,
        ("What is 1+1?", Mode.OFF): "\\boxed{3}",
        ("What is 1+1?", Mode.OFF_PREFILLED): "\\boxed{3}",
        ("What is 2+2?", Mode.ON): "<think>\nhm, never ends",
        ("What is 2+2?", Mode.OFF): "<think>leak</think>\\boxed{4}",
    }
    return Session(lambda: ScriptedEngine.answering(answers))


def test_a_run_is_graded_and_read_back_equal(store: Store) -> None:
    seen: list[tuple[int, int]] = []
    with session() as opened:
        run = execute(
            compare(PROBLEMS), session=opened, store=store, progress=lambda *at: seen.append(at)
        )
    assert run.status == "finished"
    assert seen == [(i, 6) for i in range(1, 7)]
    assert [score.value for score in run.scores] == [1.0, 0.0, 0.0, 0.0, 1.0, None]
    again = load(run.id, store)
    assert dict(again.generations) == dict(run.generations)
    assert tuple(again.scores) == run.scores
    assert again.plan == run.plan
    assert again.status == "finished"
    assert again.environment["engines"][0]["kind"] == "scripted"


def test_a_failing_request_is_a_row_and_not_the_end(store: Store) -> None:
    with session() as opened:
        run = execute(compare(PROBLEMS), session=opened, store=store)
    failed = run.generations[5]
    assert isinstance(failed.end, Failed)
    frame = run.frame()
    assert list(frame["finish_reason"]) == ["stop"] * 5 + ["failed"]
    assert list(frame["mode"]) == ["on", "off", "off_prefilled"] * 2
    assert list(frame["incomplete"]) == [False, False, False, True, False, False]
    assert list(frame["leaked"]) == [False, False, False, False, True, False]
    assert frame["score"].tolist()[:2] == [1.0, 0.0]
    assert frame["thinking_tokens"][0] == len("\n1 and 1\n")
    assert frame["time_to_first_token"].notna().sum() == 5


@pytest.mark.parametrize("concurrency", [1, 2, 16])
def test_concurrency_changes_nothing_but_time(store: Store, concurrency: int) -> None:
    with session() as opened:
        run = execute(compare(PROBLEMS), session=opened, store=store, concurrency=concurrency)
    assert [g.answer for _, g in sorted(run.generations.items())][:2] == [
        "So \\boxed{2}",
        "\\boxed{3}",
    ]
    assert run.environment["concurrency"] == min(concurrency, 6)


def test_no_concurrency_is_refused(store: Store) -> None:
    with pytest.raises(InvalidInput, match="Concurrency is 0"):
        execute(compare("x"), store=store, concurrency=0)


def test_watch_gets_every_stream(store: Store) -> None:
    watched: dict[int, object] = {}
    with session() as opened:
        execute(compare(PROBLEMS[:1]), session=opened, store=store, watch=watched.__setitem__)
    assert sorted(watched) == [0, 1, 2]


def test_an_interrupt_keeps_what_was_generated(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second generation never ends by itself; the wait for it is interrupted."""
    answers = {"What is 1+1?": ON, "What is 2+2?": "<think>\n" + "on and on " * 500}
    slow = Session(lambda: ScriptedEngine.answering(answers, pace=1.0, token_seconds=0.002))
    begun = threading.Event()

    def interrupt(index: int, stream: object) -> None:
        if index == 1:
            begun.wait(0.1)
            raise KeyboardInterrupt

    with slow, pytest.raises(KeyboardInterrupt):
        execute(compare(PROBLEMS, modes=["on"]), session=slow, store=store, watch=interrupt)
    row = store.runs()[0]
    kept = load(row.id, store)
    assert kept.status == "interrupted"
    assert kept.generations[0].finish_reason == "stop"
    assert kept.generations[1].finish_reason == "cancelled"
    assert len(kept.generations[1].ids) > 5
    assert [score.value for score in kept.scores] == [1.0, None]


def test_a_store_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    asked: list[object] = []
    with (
        session() as opened,
        Store(tmp_path / "file" / "runs.sqlite") as blocked,
        pytest.raises(StoreError) as caught,
    ):
        execute(
            compare("What is 1+1?"), session=opened, store=blocked, watch=lambda *a: asked.append(a)
        )
    assert caught.value.remedy
    assert not asked


def test_a_model_that_is_not_here_is_said_before_a_run_begins(store: Store) -> None:
    with pytest.raises(ModelError) as caught:
        execute(compare("What is 1+1?", model="no-such-model"), store=store)
    assert caught.value.remedy
    assert not store.runs()


def test_an_engine_that_cannot_open_is_said_at_once(store: Store) -> None:
    closed = EngineSpec(model="demo", sampler="none such")
    with pytest.raises(EngineError) as caught:
        execute(compare("What is 1+1?", engine=closed), store=store)
    assert caught.value.remedy
    assert store.runs()[0].status == "failed"


# --- stages ---------------------------------------------------------------------------------------

ONE, TWO = EngineSpec(kind="scripted", model="one"), EngineSpec(kind="scripted", model="two")


def cell(
    prompt: str = "x",
    *,
    spec: EngineSpec = ONE,
    concurrency: int | None = None,
    mode: Mode = Mode.ON,
    **sampling: Any,
) -> Cell:
    request = Request((Message("user", prompt),), mode, Sampling(**sampling))
    return Cell(spec, request, concurrency=concurrency)


def plan_of(*cells: Cell) -> Plan:
    return Plan("sweep", cells)


def test_consecutive_cells_of_equal_engine_and_concurrency_are_a_stage() -> None:
    plan = plan_of(
        cell(concurrency=1),
        cell(concurrency=1),
        cell(concurrency=4),
        cell(concurrency=4, spec=TWO),
        cell(concurrency=1),
    )
    everything = range(len(plan))
    cut = stages(plan, left=everything)
    assert [(s.spec, s.concurrency, s.indices) for s in cut] == [
        (ONE, 1, (0, 1)),
        (ONE, 4, (2,)),
        (TWO, 4, (3,)),
        (ONE, 1, (4,)),
    ]
    together = stages(plan, left=everything, one_engine=True)
    assert [s.indices for s in together] == [(0, 1), (2, 3), (4,)]
    overridden = stages(plan, left=everything, concurrency=2)
    assert [(s.concurrency, s.indices) for s in overridden] == [
        (2, (0, 1, 2)),
        (2, (3,)),
        (2, (4,)),
    ]
    assert [s.indices for s in stages(plan, left=[1, 4])] == [(1,), (4,)]


def test_what_may_take_longest_starts_first_where_all_that_fit_run_together() -> None:
    plan = plan_of(
        cell("short", mode=Mode.OFF),
        cell("short", thinking_tokens=10),
        cell("short"),
        cell("a longer prompt"),
        cell("short", thinking_tokens=100),
        cell("short", mode=Mode.OFF, max_tokens=5),
        cell("short"),
    )
    (stage,) = stages(plan, left=range(7))
    assert stage.indices == (3, 2, 6, 4, 1, 0, 5)
    (ordered,) = stages(plan, left=range(7), concurrency=8)
    assert ordered.indices == tuple(range(7))


def test_what_was_measured_decides_what_starts_first() -> None:
    plan = plan_of(*(cell(str(number)) for number in range(4)))
    tokens = {"0": 10.0, "1": 30.0, "2": None, "3": 20.0}
    (stage,) = stages(
        plan, left=range(4), expected=lambda cell: tokens[cell.request.messages[-1].text]
    )
    assert stage.indices == (2, 1, 3, 0)


def test_a_run_starts_first_what_took_longest_before(store: Store) -> None:
    """Equal requests but for their group; earlier runs know which group talks."""
    long, short = "so " * 60, "so"

    def told(request: Request) -> str:
        return long if request.messages[-1].text.startswith("long") else short

    def asked(*prompts: str) -> Plan:
        groups = [prompt.split()[0] for prompt in prompts]
        found = zip(prompts, groups, strict=True)
        scripted = EngineSpec(kind="scripted", model="scripted")
        return sweep([Problem(p, p, "1", g) for p, g in found], engine=scripted, temperature=1)

    order: list[int] = []
    with Session(lambda: ScriptedEngine(told)) as opened:
        execute(asked("short a", "long a"), session=opened, store=store)
        plan = asked("short b ……", "long b", "short c ……", "long c")
        execute(plan, session=opened, store=store, watch=lambda index, _: order.append(index))
    assert order == [1, 3, 0, 2], "without what was measured, the longer prompts would be first"


class Counting(ScriptedEngine):
    """Knows how many requests were live at once, and who was when each began."""

    def __init__(self, most: int = 64, **settings: Any) -> None:
        super().__init__(lambda request: request.messages[-1].text, **settings)
        self.spec = replace(self.spec, max_batch=most)
        self.live: set[int] = set()
        self.at_begin: list[int] = []

    def submit(self, request: Request, *, submitted: float | None = None) -> int:
        ticket = super().submit(request, submitted=submitted)
        self.live.add(ticket)
        self.at_begin.append(len(self.live))
        return ticket

    def step(self) -> list[tuple[int, Event]]:
        events = super().step()
        self.live &= set(self._playing)
        return events


def counted(store: Store, engine: Counting, plan: Plan, **settings: Any) -> list[int]:
    with Session(lambda: engine) as opened:
        execute(plan, session=opened, store=store, **settings)
    return engine.at_begin


def test_a_stage_ends_before_the_next_begins(store: Store) -> None:
    plan = plan_of(
        *[cell("so " * 20, concurrency=1)] * 2,
        *[cell("so " * 20, concurrency=3)] * 4,
        *[cell("so " * 20, concurrency=2)] * 2,
    )
    engine = Counting(pace=1.0, token_seconds=0.0005)
    at_begin = counted(store, engine, plan)
    assert at_begin[:3] == [1, 1, 1]
    assert max(at_begin[2:6]) == 3
    assert at_begin[6:] == [1, 2]
    run = load(store.runs(1)[0].id, store)
    assert run.environment["concurrency"] == 3


def test_as_many_as_the_engine_takes_are_under_way(store: Store) -> None:
    engine = Counting(most=5, pace=1.0, token_seconds=0.0005)
    at_begin = counted(store, engine, plan_of(*[cell("so " * 20)] * 12))
    assert max(at_begin) == 5
    engine = Counting(most=5, pace=1.0, token_seconds=0.0005)
    assert max(counted(store, engine, plan_of(*[cell("so " * 20)] * 6), concurrency=2)) == 2


def test_a_long_answer_keeps_nobody_waiting(store: Store) -> None:
    """Whoever ends makes room, not only the one that began first."""
    plan = plan_of(cell("and on " * 200), *[cell("x")] * 8)
    order: list[str] = []
    streams: dict[int, Stream] = {}

    def ended(done: int, planned: int) -> None:
        order.append("long" if streams[0].done else "short")

    counted(
        store,
        Counting(pace=1.0, token_seconds=0.002),
        plan,
        concurrency=2,
        watch=streams.__setitem__,
        progress=ended,
    )
    assert order == ["short"] * 8 + ["long"]


# --- a full disk ----------------------------------------------------------------------------------


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """The store's files do not grow beyond what they are now."""
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


@pytest.mark.parametrize("count", [20, 400])
def test_a_disk_that_fills_up_ends_the_run_and_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """A short run goes on to its end in memory, a long one stops; both are resumed."""
    monkeypatch.setattr(writer, "_BACKOFF", 0.05)
    plan = plan_of(*(cell(f"{number} " * 30, seed=number) for number in range(count)))
    full = full_disk(store.path)
    asked: list[int] = []

    def begins(index: int, stream: Stream) -> None:
        asked.append(index)
        if index == 5:
            full.__enter__()

    with Session(lambda: ScriptedEngine(lambda request: request.messages[-1].text)) as opened:
        try:
            with pytest.raises(StoreError, match="disk") as caught:
                execute(
                    plan,
                    session=opened,
                    store=store,
                    concurrency=4,
                    watch=begins,
                )
        finally:
            full.__exit__(None, None, None)
        run = store.runs(1)[0].id
        assert str(caught.value).count(f"resume({run!r})") == 1
        assert (len(asked) < count) is (count > 200)
        store.flush()
        assert store.run(run).status == "interrupted"
        kept = {i: store.events(run, i) for i in store.indices(run, ended=True)}
        missing: list[int] = []
        again = resume(run, session=opened, store=store, watch=lambda i, _: missing.append(i))
    assert again.status == "finished"
    assert len(again.generations) == count
    assert all(one.ok for one in again.generations.values())
    assert len(kept) >= min(count, 60)
    untouched = kept.keys() - set(missing)
    assert all(again.generations[index].events == kept[index] for index in untouched)
    assert len(untouched) + len(missing) == count
    assert len(kept) - len(untouched) <= 4  # those under way when it ended were cancelled


def test_facts_are_told_while_another_thread_is_importing_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    assert environment.facts()["gpu"] is None
