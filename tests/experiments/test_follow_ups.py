"""Follow-ups: the second turn is asked with the first one's answer, whatever became of the run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from workbench import chat, codec
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import InvalidInput
from workbench.evaluation.problems import arithmetic_suite
from workbench.experiments import compare, evaluate, evaluations, execute, load, resume, sweep
from workbench.experiments.evidence import evidence, pack, unpack
from workbench.experiments.follow_ups import linked, part
from workbench.experiments.stages import stages
from workbench.interchange import export
from workbench.records import (
    Cell,
    EngineSpec,
    Failed,
    Message,
    Mode,
    Plan,
    Problem,
    Request,
    Sampling,
)
from workbench.report.verify import verify
from workbench.session import Session
from workbench.store import Store
from workbench.stream import Stream

SPEC = EngineSpec(kind="scripted", model="scripted")
ASKED = (
    Problem("a/1", "first of a", group="x", grader="judge"),
    Problem("a/2", "second of a", group="x", grader="judge", follows="a/1"),
    Problem("b/1", "first of b", group="y", grader="judge"),
    Problem("b/2", "second of b", group="y", grader="judge", follows="b/1"),
)


def echo(request: Request) -> str:
    """An answer that shows everything it was asked with, after some thinking in between."""
    texts = " | ".join(message.text for message in request.messages)
    thought = "<think>\nlet me see\n</think>\n\n" if request.mode is Mode.ON else ""
    return f"{thought}[{texts}]"


def session(find: object = echo, **settings: float) -> Session:
    return Session(lambda: ScriptedEngine(find, **settings))  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "runs.sqlite") as opened:
        yield opened


def plan(**options: object) -> Plan:
    told: dict[str, object] = {"mode": ["on", "off"], "engine": SPEC} | options
    return sweep(ASKED, **told)  # type: ignore[arg-type]


# --- the plan -------------------------------------------------------------------------------------


def test_every_arm_and_sample_has_its_own_conversation() -> None:
    made = plan(temperature=[0, 0.5], replicates=2, max_tokens=[50, 60])
    tied = 0
    for cell in made.cells:
        assert cell.problem is not None
        if cell.problem.follows is None:
            assert cell.follows is None
            continue
        assert cell.follows is not None
        before = made.cells[cell.follows]
        assert before.problem is not None
        assert before.problem.id == cell.problem.follows
        assert before.sample == cell.sample
        assert before.request.mode == cell.request.mode
        ours, theirs = cell.request.sampling, before.request.sampling
        assert replace(ours, seed=0) == replace(theirs, seed=0)
        assert cell.request.messages == (Message("user", cell.problem.prompt),)
        tied += 1
    assert tied == len(made) / 2 == 2 * (2 + 4) * 2
    assert codec.from_json(Plan, codec.loads(codec.dumps(codec.to_json(made)))) == made
    assert sum(cell.follows is not None for cell in compare(ASKED, engine=SPEC).cells) == 6


def test_a_plan_without_follows_reads_as_before() -> None:
    written = codec.to_json(sweep(arithmetic_suite(2), engine=SPEC))
    for cell in written["cells"]:
        del cell["follows"], cell["problem"]["follows"]
    assert codec.from_json(Plan, written).cells == sweep(arithmetic_suite(2), engine=SPEC).cells


@pytest.mark.parametrize("follows", [0, 1, -1])
def test_a_turn_stands_behind_the_one_that_it_follows(follows: int) -> None:
    cell = Cell(SPEC, Request((Message("user", "x"),)), follows=follows)
    with pytest.raises(InvalidInput, match=f"Cell 0 of the plan follows cell {follows}"):
        Plan("sweep", (cell,))


def test_half_a_conversation_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'a/2' goes on with 'a/1', which is not asked before"):
        sweep(ASKED[1:], engine=SPEC)


def test_a_part_of_a_plan_keeps_the_turns_before() -> None:
    made = plan(mode="on")
    places, cells = part(made.cells, [3])
    assert places == [2, 3]
    assert [cell.follows for cell in cells] == [None, 0]
    assert part(made.cells, range(4)) == (list(range(4)), made.cells)


def test_follow_ups_are_asked_in_a_later_stage() -> None:
    made = plan()
    cut = stages(made, left=range(len(made)))
    assert [sorted(stage.indices) for stage in cut] == [[0, 2, 4, 6], [1, 3, 5, 7]]
    third = Cell(SPEC, Request((Message("user", "x"),)), follows=7)
    longer = Plan("sweep", (*made.cells, third))
    assert [len(stage.indices) for stage in stages(longer, left=range(9))] == [4, 4, 1]
    assert [stage.indices for stage in stages(longer, left=[8, 1])] == [(1,), (8,)]


# --- what is asked --------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3, None])
def test_the_answer_before_is_said_without_its_thinking(
    store: Store, concurrency: int | None
) -> None:
    with session() as opened:
        run = execute(plan(), session=opened, store=store, concurrency=concurrency)
    asked = run.generations[1].request
    assert asked.messages == (
        Message("user", "first of a"),
        Message("assistant", "[first of a]"),
        Message("user", "second of a"),
    )
    assert chat.conversation(asked)[0][0] == Message("system", "detailed thinking on")
    for first in (0, 2, 4, 6):
        before, after = run.generations[first], run.generations[first + 1]
        said = " | ".join(message.text for message in after.request.messages)
        assert after.answer == f"[{said}]"
        assert f" | {before.answer} | " in said
    assert run.plan.cells[1].request.messages == (Message("user", "second of a"),)
    again = load(run.id, store)
    assert dict(again.generations) == dict(run.generations)
    assert [row.cell.follows for row in store.rows(run.id)] == [None, 0, None, 2, None, 4, None, 6]


def test_thinking_that_never_closed_is_an_empty_answer(store: Store) -> None:
    def endless(request: Request) -> str:
        return "<think>\nfor ever" if len(request.messages) == 1 else "[[second]]"

    with session(endless) as opened:
        run = execute(plan(mode="on"), session=opened, store=store)
    said = run.generations[1].request.messages
    assert said[1] == Message("assistant", "")
    assert chat.conversation(run.generations[1].request)[0][2] == Message("assistant", "")
    assert run.generations[1].answer == "[[second]]"


def test_a_third_turn_has_all_before_it(store: Store) -> None:
    cells = [
        Cell(SPEC, Request((Message("user", f"turn {number}"),), Mode.OFF), follows=before)
        for number, before in ((1, None), (2, 0), (3, 1))
    ]
    with session() as opened:
        run = execute(Plan("sweep", tuple(cells)), session=opened, store=store)
    texts = [message.text for message in run.generations[2].request.messages]
    assert texts[::2] == ["turn 1", "turn 2", "turn 3"]
    assert texts[1::2] == [run.generations[0].answer, run.generations[1].answer]


def test_a_turn_after_one_that_failed_has_failed_too(store: Store) -> None:
    def broken(request: Request) -> str | None:
        return None if request.messages[0].text == "first of a" else echo(request)

    with session(broken) as opened:
        run = execute(plan(mode="off"), session=opened, store=store)
    assert run.status == "finished"
    assert [run.generations[index].finish_reason for index in range(4)] == [
        "failed",
        "failed",
        "stop",
        "stop",
    ]
    end = run.generations[1].end
    assert isinstance(end, Failed)
    assert end.error.startswith("The turn before failed: The script has no answer")
    assert list(run.frame()["finish_reason"]) == ["failed", "failed", "stop", "stop"]


def test_what_follows_a_cancelled_turn_is_asked_again_with_it(store: Store) -> None:
    def stop(index: int, stream: Stream) -> None:
        if index == 0:
            stream.cancel()

    with session(pace=1.0, token_seconds=0.001, prefill_seconds=0.05) as opened:
        run = execute(plan(mode="off"), session=opened, store=store, watch=stop)
    ended = [run.generations[index].finish_reason for index in range(4)]
    assert ended == ["cancelled", "cancelled", "stop", "stop"]
    with session() as opened, store._writing.transaction() as connection:
        connection.execute("UPDATE runs SET status = 'interrupted'")
    with session() as opened:
        again = resume(run.id, session=opened, store=store)
    assert [again.generations[i].finish_reason for i in range(4)] == ["stop"] * 4
    assert again.generations[1].answer.startswith("[first of a | [first of a] | second of a")


@pytest.mark.parametrize("after", range(1, 8))
def test_a_resumed_run_has_the_conversations_of_a_whole_one(
    store: Store, tmp_path: Path, after: int
) -> None:
    def stop(done: int, planned: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with session() as opened, pytest.raises(KeyboardInterrupt):
        execute(plan(), session=opened, store=store, concurrency=2, progress=stop)
    with session() as opened:
        found = resume(store.runs()[0].id, session=opened, store=store, concurrency=3)
    with session() as opened, Store(tmp_path / "whole.sqlite") as other:
        whole = execute(plan(), session=opened, store=other)
    assert found.status == "finished"
    asked = {index: one.request for index, one in found.generations.items()}
    assert asked == {index: one.request for index, one in whole.generations.items()}
    assert all(found.generations[i].ids == whole.generations[i].ids for i in range(8))


def test_the_limit_gives_way_where_the_answer_before_is_long(store: Store) -> None:
    narrow = EngineSpec(kind="scripted", model="scripted", context=1200)
    first = Request((Message("user", "x"),), Mode.OFF, Sampling(max_tokens=600))
    cells = (Cell(SPEC, first), Cell(SPEC, first, follows=0))
    engine = ScriptedEngine.answering("y" * 590, spec=narrow)
    with Session(lambda: engine) as opened:
        run = execute(Plan("sweep", cells), session=opened, store=store)
    assert [run.generations[index].finish_reason for index in (0, 1)] == ["stop", "length"]
    assert run.generations[0].request.sampling.max_tokens == 600
    assert run.generations[1].request.sampling.max_tokens is None


# --- what reads runs ------------------------------------------------------------------------------


def test_stored_conversations_are_told_again(store: Store) -> None:
    with session() as opened:
        run = execute(plan(), session=opened, store=store)
    stored = [run.generations[index] for index in range(8)]
    with Session(lambda: ScriptedEngine.replaying(stored)) as opened:
        again = execute(plan(), session=opened, store=store)
    assert all(again.generations[i].ids == run.generations[i].ids for i in range(8))


@pytest.mark.parametrize(("limit", "asked"), [(None, 8), (3, 4)])
def test_a_report_of_conversations_is_verified(store: Store, limit: int | None, asked: int) -> None:
    with session() as opened:
        run = execute(plan(), session=opened, store=store)
        told = unpack(codec.loads(codec.dumps(pack(evidence(run)))))
        found = verify(told, told.plan, limit=limit, session=opened, store=store)
    assert (found.compared, found.same) == (asked, True)


def test_exports_have_the_whole_conversation(store: Store, tmp_path: Path) -> None:
    with session() as opened:
        run = execute(plan(mode="on"), session=opened, store=store)
    lines = list(export(run.id, "jsonl", None, store=store))
    events = [codec.loads(line) for line in map(str, lines)]
    second = next(one for one in events if one.get("index") == 1)
    whole = ["first of a", "[first of a]", "second of a"]
    assert [m["text"] for m in second["cell"]["request"]["messages"]] == whole
    (log,) = export(run.id, "inspect", tmp_path, store=store)
    samples = codec.loads(Path(log).read_text(encoding="utf-8"))["samples"]
    (told,) = [one for one in samples if one["id"] == "a/2"]
    assert [message["content"] for message in told["input"]][1:] == whole
    made = export(run.id, "lm-eval", tmp_path / "lm-eval", store=store)
    lines = [
        codec.loads(line)
        for file in map(Path, made)
        if file.suffix == ".jsonl"
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    prompts = {one["doc"]["id"]: one["arguments"]["gen_args_0"]["arg_0"] for one in lines}
    assert "[first of a]" in prompts["a/2"]
    assert "first of b" not in prompts["a/2"]


# --- a benchmark's own temperatures ---------------------------------------------------------------


def test_temperatures_by_category_are_in_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"x": 0.0, "y": 0.7, "z": 0.1}
    benchmark = replace(evaluations.BENCHMARKS["mtbench"], load=lambda _: ASKED, temperatures=known)
    monkeypatch.setattr(evaluations, "BENCHMARKS", {"mtbench": benchmark})
    monkeypatch.setattr(evaluations, "load", lambda *_: ASKED)
    made = evaluate("mtbench", samples=2, engine=SPEC, temperatures="benchmark")
    drawn = {
        (cell.problem.group, cell.request.mode): cell.request.sampling.temperature
        for cell in made.cells
        if cell.problem is not None
    }
    assert drawn == {(g, mode): known[g] for g in "xy" for mode in (Mode.ON, Mode.OFF)}
    assert len(made) == 2 * (2 + 2 * 2), "what is greedy is asked once"
    assert made.axes["temperatures"] == ("benchmark",)
    assert made.axes["problem"] == ("a/1", "a/2", "b/1", "b/2")
    assert linked(made.cells) == made.cells
    assert sum(cell.follows is not None for cell in made.cells) == len(made) / 2
    with pytest.raises(InvalidInput, match="no temperatures 'hot'"):
        evaluate("mtbench", engine=SPEC, temperatures="hot")
    with pytest.raises(InvalidInput, match="Give one of the two"):
        evaluate("mtbench", engine=SPEC, temperatures="benchmark", temperature=0.3)
    with pytest.raises(InvalidInput, match=re.escape("arithmetic has no temperatures")):
        evaluate("arithmetic", engine=SPEC, temperatures="benchmark")


def test_the_embedded_model_goes_on_with_its_own_answer(store: Store) -> None:
    asked = [
        problem
        for number, (a, b, c) in enumerate([(18, 28, 29), (41, 17, 5), (33, 12, 20)])
        for problem in (
            Problem(f"{number}/1", f"What is {a} + {b}?", str(a + b)),
            Problem(f"{number}/2", f"Now add {c} to that.", str(a + b + c), follows=f"{number}/1"),
        )
    ]
    run = execute(sweep(asked, temperature=0), store=store)
    assert [score.value for score in run.scores] == [1.0] * 6
