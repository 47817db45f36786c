"""Grading again: all scores or none, judged ones left alone, no model asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from workbench import experiments
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import InvalidInput
from workbench.evaluation import grading
from workbench.evaluation.graders.verdict import wrong
from workbench.evaluation.problems import arithmetic_suite
from workbench.experiments import compare
from workbench.experiments.regrading import regrade
from workbench.records import Plan, Score
from workbench.session import Session
from workbench.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "runs.sqlite") as opened:
        yield opened


def asked(store: Store, plan: Plan | None = None) -> str:
    """A run of four problems, each answered with its own key."""
    wanted = plan or compare(arithmetic_suite(4), modes=["off"])
    keys = {cell.problem.prompt: cell.problem.answer for cell in wanted.cells if cell.problem}
    with Session(
        lambda: ScriptedEngine(lambda request: f"\\boxed{{{keys[request.messages[-1].text]}}}")
    ) as session:
        return experiments.execute(wanted, session=session, store=store).id


def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = dict(grading.GRADERS) | {"boxed": lambda *_: wrong("x", "strict", "of today")}
    monkeypatch.setattr(grading, "GRADERS", nothing)


def test_new_scores_stand_in_the_place_of_old_ones(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = asked(store)
    strict(monkeypatch)
    seen: list[tuple[int, int]] = []
    done = regrade(run[:-1], store=store, progress=lambda *counts: seen.append(counts))
    assert (done.run, done.graded, done.judged) == (run, 4, 0)
    assert done.before == {"off": {"right": 4}}
    assert done.after == {"off": {"wrong": 4}}
    assert [change.value for change in done.changes] == [True] * 4
    assert str(done) == "4 generations graded again: 4 right -> wrong."
    assert seen == [(n, 4) for n in range(1, 5)]
    assert {score.by for score in store.scores(run)} == {"of today"}


def test_an_interrupt_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = asked(store)
    before = store.scores(run)
    strict(monkeypatch)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        regrade(run, store=store, progress=stop)
    assert store.scores(run) == before


def test_what_a_judge_rated_is_left_alone(store: Store) -> None:
    plan = compare(arithmetic_suite(2), modes=["off"])
    first, *rest = plan.cells
    assert first.problem is not None
    judged = replace(first, problem=replace(first.problem, grader=grading.JUDGE))
    run = asked(store, replace(plan, cells=(judged, *rest)))
    rating = Score(first.problem.id, 0, 8.0, "[[8]]", "rated", "somebody")
    store.add_scores(run, [rating])
    done = regrade(run, store=store)
    assert (done.graded, done.judged) == (1, 1)
    assert str(done).endswith("1 score of a judge was left as it is.")
    assert rating in store.scores(run)


def test_what_cannot_be_graded_again(store: Store) -> None:
    with pytest.raises(InvalidInput):
        regrade("2099", store=store)
    running = store.begin_run(compare(arithmetic_suite(1), modes=["off"]), {})
    with pytest.raises(InvalidInput, match="still running"):
        regrade(running, store=store)
