"""The brake: paused, nothing begins; stopped, what came is kept and resume goes on with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.engines.scripted import ScriptedEngine
from workbench.experiments import Brake, Run, compare, execute, resume
from workbench.records import Plan, Request
from workbench.session import Session
from workbench.store import Store
from workbench.stream import Stream

COUNT = 12


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "runs.sqlite") as own:
        yield own


@pytest.fixture
def session() -> Iterator[Session]:
    """Every answer takes 50 ms."""

    def text(request: Request) -> str:
        return "word " * 10

    with Session(lambda: ScriptedEngine.answering(text, pace=1, token_seconds=0.001)) as own:
        yield own


def plan() -> Plan:
    return compare([f"What is {i} + 1?" for i in range(COUNT)], modes=["off"])


class UnderWay:
    """A run on a thread."""

    def __init__(self, session: Session, store: Store) -> None:
        self.brake = Brake()
        self.begun: list[int] = []
        self.result: list[Run] = []

        def watch(index: int, _: Stream) -> None:
            self.begun.append(index)

        def work() -> None:
            own = execute(plan(), session=session, store=store, brake=self.brake, watch=watch)
            self.result.append(own)

        self.thread = threading.Thread(target=work)
        self.thread.start()

    def reach(self, count: int) -> None:
        until = time.monotonic() + 20
        while len(self.begun) < count:
            assert time.monotonic() < until
            time.sleep(0.002)


def test_paused_nothing_begins_and_what_runs_ends(session: Session, store: Store) -> None:
    run = UnderWay(session, store)
    run.reach(3)
    run.brake.pause()
    time.sleep(0.3)  # several answers' time
    held = len(run.begun)
    assert held < COUNT
    time.sleep(0.3)
    assert len(run.begun) == held
    run.brake.go()
    run.thread.join(20)
    assert run.result[0].status == "finished"
    assert len(run.result[0].generations) == COUNT


@pytest.mark.parametrize("paused", [False, True])
def test_stopped_it_is_kept_and_resume_goes_on(
    session: Session, store: Store, paused: bool
) -> None:
    run = UnderWay(session, store)
    run.reach(3)
    if paused:
        run.brake.pause()
        time.sleep(0.2)
    run.brake.stop()
    run.thread.join(20)
    (kept,) = run.result
    assert kept.status == "interrupted"
    assert 0 < len(kept.generations) < COUNT
    ends = [generation.finish_reason for generation in kept.generations.values()]
    assert set(ends) <= {"stop", "cancelled"}
    assert ends.count("cancelled") <= 1
    whole = resume(kept.id, session=session, store=store)
    assert whole.status == "finished"
    assert len(whole.generations) == COUNT


def test_a_brake_that_was_pulled_before_lets_nothing_begin(session: Session, store: Store) -> None:
    brake = Brake()
    brake.stop()
    run = execute(plan(), session=session, store=store, brake=brake)
    assert (run.status, len(run.generations)) == ("interrupted", 0)
