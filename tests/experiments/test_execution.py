"""Execute: everything kept, graded, read back equal; nothing lost when it is cut short."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.engines.scripted import ScriptedEngine
from workbench.errors import InvalidInput, ModelError, StoreError
from workbench.experiments import compare, execute, load
from workbench.records import Failed, Mode, Problem
from workbench.session import Session
from workbench.store import Store

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
    assert run.environment["concurrency"] == concurrency


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


def test_an_engine_that_cannot_open_is_said_at_once(store: Store) -> None:
    with pytest.raises(ModelError) as caught:
        execute(compare("What is 1+1?", model="no-such-model"), store=store)
    assert caught.value.remedy
    assert store.runs()[0].status == "failed"
