"""Branch here: the same way on by the same token, another by another, and nothing else changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import workbench as wb
from workbench import codec
from workbench.errors import InvalidInput
from workbench.experiments import branch, execute
from workbench.metrics import measure, token_times
from workbench.records import Cell, Generation, Plan, Problem, Usage
from workbench.session import Session
from workbench.store import Store
from workbench.thinking import flags

QUESTION = Problem("sum", "What is 47 + 38 - 12?", "73")


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session() as own:
        yield own


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(Path(tmp_path_factory.mktemp("branch")) / "runs.sqlite") as own:
        yield own


@pytest.fixture(scope="module")
def origin(session: Session, store: Store) -> tuple[Cell, Generation]:
    plan = wb.compare(QUESTION, modes=["on"], alternatives=5, seed=1)
    return plan.cells[0], execute(plan, session=session, store=store).generations[0]


def test_nothing_changed_is_the_answer_itself_and_its_begin_is_in_the_cache(
    session: Session, store: Store, origin: tuple[Cell, Generation]
) -> None:
    cell, whole = origin
    at = len(whole.ids) // 2
    run = execute(branch(cell, whole, at), session=session, store=store)
    again = run.generations[0]
    assert (again.ids, again.answer) == (whole.ids, whole.answer)
    assert again.thinking == whole.thinking
    assert run.scores[0].value == 1.0
    told, before = measure(again), measure(whole)
    assert told["output_tokens"] == before["output_tokens"]
    assert told["prompt_tokens"] == (before["prompt_tokens"] or 0) + at
    times = token_times(again)
    assert [time.gap for time in times[: at + 1]] == [None] * (at + 1)
    assert all(time.gap is not None and time.gap > 0 for time in times[at + 2 :])
    drawn = [time.t for time in times[at:]]
    assert told["time_to_first_token"] == drawn[0]
    assert told["decode_duration"] == pytest.approx(drawn[-1] - drawn[0])
    assert told["inter_token_latency"] == pytest.approx((drawn[-1] - drawn[0]) / (len(drawn) - 1))


def test_an_alternative_leads_elsewhere(
    session: Session, store: Store, origin: tuple[Cell, Generation]
) -> None:
    cell, whole = origin
    times = token_times(whole)
    at = next(i for i, time in enumerate(times) if i > 8 and (time.alternatives or ())[1][1] > -9)
    others = [own for own, _ in times[at].alternatives or () if own != whole.ids[at]]
    other = execute(branch(cell, whole, at, token=others[0]), session=session, store=store)
    ids = other.generations[0].ids
    assert ids[:at] == whole.ids[:at]
    assert ids[at] == others[0]
    assert not flags(other.generations[0]).forced_close


def test_the_thinking_is_closed_and_an_answer_follows(
    session: Session, store: Store, origin: tuple[Cell, Generation]
) -> None:
    cell, whole = origin
    closed = execute(branch(cell, whole, 15, close=True), session=session, store=store)
    own = closed.generations[0]
    assert own.ids[:15] == whole.ids[:15]
    assert whole.thinking.startswith(own.thinking.rstrip())
    assert 0 < len(own.thinking) < len(whole.thinking)
    assert own.answer.strip()


def test_another_seed_draws_anew_from_there(
    session: Session, store: Store, origin: tuple[Cell, Generation]
) -> None:
    cell, whole = origin
    hot = replace(cell.request.sampling, temperature=2.0)
    cell = replace(cell, request=replace(cell.request, sampling=hot))
    plans = [branch(cell, whole, 10, seed=seed) for seed in (5, 6)]
    ids = [execute(p, session=session, store=store).generations[0].ids for p in plans]
    assert ids[0] != ids[1]


def test_the_plan_survives_the_store(store: Store, origin: tuple[Cell, Generation]) -> None:
    plan = branch(*origin, 3)
    assert codec.from_json(Plan, codec.to_json(plan)) == plan
    assert plan.cells[0].request.opening == origin[1].ids[:3]


def test_what_cannot_be_branched_says_why(origin: tuple[Cell, Generation]) -> None:
    cell, whole = origin
    with pytest.raises(InvalidInput, match="There is no token 5000"):
        branch(cell, whole, 5000)
    with pytest.raises(InvalidInput, match="it is not thinking"):
        branch(cell, whole, len(whole.ids), close=True)
    hidden = replace(cell, problem=replace(QUESTION, private=True))
    with pytest.raises(InvalidInput, match="private"):
        branch(hidden, whole, 3)
    unseen = tuple(
        replace(event, ids=(), logprobs=None, alternatives=None) for event in whole.chunks()
    )
    remote = Generation(whole.request, whole.spec, (*unseen, Usage(1.0, 1, 1)))
    with pytest.raises(InvalidInput, match="shows no token ids"):
        branch(cell, remote, 0)
