from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.bench import generation, suite
from workbench.bench.figures import Figure, Goal, compared
from workbench.bench.generation import Options
from workbench.bench.grading import grading
from workbench.bench.sides import BareLoop, EngineLoop, SessionLoop, TransformersLoop, rate
from workbench.bench.startup import startup
from workbench.bench.workload import Prompts, endless
from workbench.cli.app import run
from workbench.errors import EngineError, ModelError
from workbench.records import EngineSpec, Request
from workbench.session import Session
from workbench.store import Store

TINY = Options(EngineSpec(), rounds=1, tokens=6)


# --- figures -------------------------------------------------------------------------------------


def test_sides_take_turns_and_the_ratio_is_taken_round_by_round() -> None:
    order: list[str] = []
    first, second = iter([1.0, 10.0, 60.0, 12.0]), iter([1.0, 5.0, 20.0, 4.0])

    def side(name: str, values: Iterator[float]) -> float:
        order.append(name)
        return next(values)

    sides = (lambda: side("A", first), lambda: side("B", second))
    found = compared("x", "what", "tokens/s", sides, rounds=3, goal=Goal("at least", 3))
    assert "".join(order) == "AB AB BA AB".replace(" ", ""), "the first pair warms up"
    assert (found.first, found.second) == (12.0, 5.0)
    assert (found.ratio, found.low, found.high, found.rounds) == (3.0, 2.0, 3.0, 3)
    assert found.met
    told = found.as_json()
    assert (told["met"], told["goal"]) == (True, {"bound": "at least", "value": 3})
    json.dumps(told)


@pytest.mark.parametrize(
    ("goal", "met", "missed"),
    [
        (Goal("at least", 0.97), (0.97, 2), (0.969,)),
        (Goal("at most", 1.03), (1.03, 0.5), (1.031,)),
        (Goal("above", 1), (1.001,), (1.0, 0.9)),
    ],
)
def test_goals_have_a_side(goal: Goal, met: tuple[float, ...], missed: tuple[float, ...]) -> None:
    assert all(goal.met(ratio) for ratio in met)
    assert not any(goal.met(ratio) for ratio in missed)


def test_a_figure_without_a_goal_is_neither_met_nor_missed() -> None:
    assert Figure("x", "", "", 1, 1, 1, 1, 1, 1).met is None


# --- the same work for every side ----------------------------------------------------------------


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with endless("demo") as made:
        yield made


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[EngineLoop]:
    with closing(EngineLoop(EngineSpec(model=str(folder)))) as loop:
        yield loop


def test_an_endless_model_answers_as_long_as_it_is_asked_to(engine: EngineLoop) -> None:
    requests = Prompts(250).take(2)
    assert [len(ids) for ids in engine.answer(requests)] == [250, 250]
    with closing(EngineLoop(EngineSpec(model="demo"))) as usual:
        assert all(len(ids) < 250 for ids in usual.answer(requests))


def test_an_endless_model_is_linked_and_not_copied(folder: Path) -> None:
    assert (folder / "model.safetensors").is_symlink()
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [511]


def test_a_model_without_a_token_to_spare_is_refused(
    monkeypatch: pytest.MonkeyPatch, model_folder: Path
) -> None:
    monkeypatch.setattr("workbench.bench.workload._UNUSED", ("<|nothing|>",))
    with pytest.raises(ModelError, match="no control token to spare"), endless(str(model_folder)):
        pass


def test_prompts_differ_and_ask_for_the_same_length() -> None:
    prompts = Prompts(9)
    taken = [*prompts.take(3), *prompts.take(2, logprobs=True)]
    assert len({request.messages for request in taken}) == 5
    assert {request.sampling.max_tokens for request in taken} == {9}
    assert [request.logprobs for request in taken] == [False] * 3 + [True] * 2
    assert Prompts(9).take(3) == taken[:3]


def test_every_side_generates_the_same_tokens(engine: EngineLoop, folder: Path) -> None:
    spec = EngineSpec(model=str(folder))
    requests = Prompts(300).take(3)  # across the end of a page of the cache
    ours = engine.answer(requests)
    assert [len(ids) for ids in ours] == [300] * 3
    with closing(BareLoop(spec)) as bare:
        assert bare.answer(requests) == ours
    with closing(TransformersLoop(spec)) as theirs:
        assert theirs.answer(requests) == ours


def test_a_recorded_session_stores_what_it_generates(
    engine: EngineLoop, folder: Path, tmp_path: Path
) -> None:
    requests = Prompts(12).take(3, logprobs=True)
    path = tmp_path / "runs.sqlite"
    with Store(path) as store, Session(EngineSpec(model=str(folder))) as session:
        loop = SessionLoop(session, store)
        answers = [*loop.answer(requests[:2]), *loop.answer(requests[2:])]
    with Store(path, read_only=True) as store:
        (row,) = store.runs()
        kept = [store.generation(row.id, index) for index in range(3)]
    assert [one.ids for one in kept] == answers == engine.answer(requests)
    assert all(chunk.logprobs for one in kept for chunk in one.chunks() if chunk.ids)


def test_a_rate_of_unequal_work_is_refused() -> None:
    class Short:
        def answer(self, requests: list[Request]) -> list[tuple[int, ...]]:
            return [(1, 2)]

    with pytest.raises(EngineError, match="asked for 3 tokens and got 2"):
        rate(Short(), Prompts(3).take(1))  # type: ignore[arg-type]


# --- every benchmark runs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("engine", ["engine_1", "engine_16"]),
        ("transformers", ["transformers"]),
        ("batch", ["batch_16", "batch_64"]),
        ("recording", ["recording_1", "recording_16"]),
    ],
)
def test_benchmarks_of_generating(name: str, figures: list[str]) -> None:
    found = list(suite.BENCHES[name](TINY))
    assert [one.name for one in found if isinstance(one, Figure)] == figures
    assert all(one.ratio > 0 for one in found if isinstance(one, Figure))


def test_batches_have_a_goal_on_a_cpu() -> None:
    sixteen, sixty_four = generation.batch(replace(TINY, tokens=2))
    assert (str(sixteen.goal), str(sixty_four.goal)) == ("at least 5", "at least 10")


def test_context_is_measured_within_one_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.bench.generation._FAR", 300)
    (found,) = generation.context(TINY)
    assert (found.name, found.rounds, found.goal) == ("context", 1, None)
    assert found.second > 0


def test_starting_is_measured_in_processes() -> None:
    helped, imported = startup(1)
    assert (helped.name, imported.name) == ("startup_help", "startup_import")
    assert min(helped.first, imported.first, helped.second) > 1  # ms


def test_the_last_line_is_json_for_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = Figure("batch_16", "sixteen", "tokens/s", 50, 10, 5, 4, 6, 3, Goal("at least", 5.5))
    rows = [{"rows": 1, "microseconds_call": 12.3456}]
    monkeypatch.setattr(
        "workbench.bench.suite.run", lambda *_: iter([("batch", figure), ("sampling", rows)])
    )
    assert run(["bench", "--quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = json.loads(lines[-1])
    assert (told["model"], told["quick"]) == ("demo", True)
    assert told["machine"]["cores"] >= 1
    assert (told["figures"][0]["name"], told["figures"][0]["met"]) == ("batch_16", False)
    assert told["sampling"] == rows
    (row,) = [line for line in lines if line.startswith("batch_16 ")]
    assert "missed" in row
    assert run(["bench", "--quick", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_grading_decides_each_answer_as_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.bench.grading._EACH", 1)
    rows, ratio = grading(40, rounds=1)
    assert isinstance(rows, list)
    of_a_run, hard = rows
    assert of_a_run["gradings"] == of_a_run["by_text"] + of_a_run["by_math_verify"] == 40
    assert 25 <= of_a_run["right"] <= 39  # ten of twelve are made right
    assert (hard["gradings"], hard["by_math_verify"], hard["right"]) == (2, 2, 1)
    assert isinstance(ratio, Figure)
    assert min(ratio.first, ratio.second) > 0
