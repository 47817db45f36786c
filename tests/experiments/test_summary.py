"""The numbers of each arm, and the paragraph that is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.engines.scripted import ScriptedEngine
from workbench.evaluation.statistics import accuracy
from workbench.experiments import Run, compare, execute
from workbench.experiments.arms import accuracies, arm_names, by_arm, scores_by_arm
from workbench.experiments.conclusion import conclusion
from workbench.experiments.stored import StoredGenerations
from workbench.experiments.summary import summarise
from workbench.records import (
    Cell,
    Channel,
    Chunk,
    Event,
    Failed,
    Finished,
    Generation,
    Mode,
    Plan,
    Problem,
    Score,
    Started,
)
from workbench.session import Session
from workbench.store import Store


def answered(cell: Cell, thinking: int, reason: str = "stop") -> Generation:
    """So many tokens of thinking, two of the answer, a tenth of a second each."""
    channels = [Channel.THINKING] * thinking + [Channel.ANSWER] * 2
    chunks = [Chunk(0.1 * i, (i,), "x", channel) for i, channel in enumerate(channels, start=1)]
    end = Finished(0.1 * len(chunks), "length" if reason == "length" else "stop")
    return Generation(cell.request, cell.spec, (Started(0.0, 5), *chunks, end))


def a_run(
    right: dict[str, Sequence[float | None]], *, groups: Sequence[str] = (), samples: int = 1
) -> Run:
    """A run with these scores of each arm's problems; ``on`` thinks for 18 tokens."""
    count = max(map(len, right.values())) // samples
    names = [groups[i] if groups else "" for i in range(count)]
    problems = [Problem(f"p{i}", "?", "1", names[i]) for i in range(count)]
    plan = compare(problems, modes=list(right), samples=samples, temperature=0.6)
    rest = {mode: iter(values) for mode, values in right.items()}
    generations = {}
    scores = []
    for index, cell in enumerate(plan.cells):
        mode = str(cell.request.mode)
        generations[index] = answered(cell, 18 if mode == "on" else 0)
        value = next(rest[mode])
        scores.append(Score(cell.problem.id if cell.problem else "", index, value, "1", ""))
    return Run("id", plan, {"concurrency": 1}, generations, tuple(scores), "finished")


def test_arms_are_named_by_what_differs() -> None:
    plan = compare("?", modes=["on", "off"])
    assert arm_names(plan.cells) == ["on", "off"]
    other = [replace(cell, spec=replace(cell.spec, model="big")) for cell in plan.cells]
    assert arm_names((*plan.cells, *other)) == ["on · demo", "off · demo", "on · big", "off · big"]
    engine = [replace(cell, spec=replace(cell.spec, kind="reference")) for cell in plan.cells]
    assert arm_names((plan.cells[0], engine[0])) == ["on · exllama", "on · reference"]


def test_generations_are_found_by_arm_and_problem() -> None:
    run = a_run({"on": [1, 0], "off": [0, 0]})
    assert {arm: len(found) for arm, found in by_arm(run).items()} == {"on": 2, "off": 2}
    assert by_arm(run, "p1") == {"on": [run.generations[2]], "off": [run.generations[3]]}
    assert by_arm(replace(run, generations={})) == {"on": [], "off": []}


def test_scores_are_those_that_have_a_value() -> None:
    run = a_run({"on": [1, None, 0], "off": [None, None, 1]}, groups=["a", "b", "b"])
    assert scores_by_arm(run) == {"on": {"p0": [1], "p2": [0]}, "off": {"p2": [1]}}
    assert scores_by_arm(run, "b") == {"on": {"p2": [0]}, "off": {"p2": [1]}}
    assert {group: set(arms) for group, arms in accuracies(run).items()} == {
        "all": {"on", "off"},
        "a": {"on"},
        "b": {"on", "off"},
    }


def test_one_group_is_not_repeated_and_nothing_graded_is_empty() -> None:
    assert set(accuracies(a_run({"on": [1, 1]}, groups=["a", "a"]))) == {"all"}
    assert accuracies(a_run({"on": [None]})) == {}


def test_a_group_called_all_does_not_hide_the_whole() -> None:
    found = accuracies(a_run({"on": [1, 0]}, groups=["all", "b"]))
    assert found["all"]["on"].count == 2


def test_the_summary_of_an_arm() -> None:
    run = a_run({"on": [1, 0, 1, 1], "off": [0, 0, 0, 1]})
    on, off = summarise(run)
    assert (on.arm, on.generations, on.failed, on.cut_off) == ("on", 4, 0, 0)
    assert on.accuracy == accuracy({"a": [1], "b": [0], "c": [1], "d": [1]})
    assert (on.thinking_tokens, on.answer_tokens, on.output_tokens) == (18, 2, 20)
    assert on.request_latency == pytest.approx(2.0)
    assert on.time_to_first_token == pytest.approx(0.1)
    assert on.time_to_first_output_token == pytest.approx(1.9)
    assert on.inter_token_latency == pytest.approx(0.1)
    assert off.output_tokens == 2


def test_a_stored_run_is_summed_up_without_its_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {Mode.ON: "<think>so it is</think>\\boxed{2}", Mode.OFF: "<think>leaks"}
    answers = {("What is 1+1?", mode): text for mode, text in told.items()}
    plan = compare(Problem("p", "What is 1+1?", "2"), modes=["on", "off", "off_prefilled"])
    with Session(lambda: ScriptedEngine.answering(answers)) as session:
        run = execute(plan, session=session, store=Store(tmp_path / "runs.sqlite"))
    held = replace(run, generations=dict(run.generations))
    expected = summarise(held)
    assert [(arm.failed, arm.incomplete, arm.leaked) for arm in expected] == [
        (0, 0, 0),
        (0, 1, 1),
        (1, 0, 0),
    ]
    words = conclusion(held)

    def refuse(*_: object) -> None:
        raise AssertionError("a generation was read")

    monkeypatch.setattr(StoredGenerations, "__getitem__", refuse)
    assert summarise(run) == expected
    assert conclusion(run) == words


def test_failed_generations_are_counted_and_left_out_of_means() -> None:
    run = a_run({"on": [1, None], "off": [0, 0]})
    slow: tuple[Event, ...] = (Started(0.0, 5), Failed(99.0, "broken", "Mend it."))
    cells = run.plan.cells
    broken = Generation(cells[2].request, cells[2].spec, slow)
    cut = answered(cells[3], 0, "length")
    run = replace(run, generations={**run.generations, 2: broken, 3: cut})
    on, off = summarise(run)
    assert (on.failed, on.request_latency) == (1, pytest.approx(2.0))
    assert off.cut_off == 1
    told = conclusion(run)
    assert "1 of 4 answers failed. 1 of 4 answers ended at the length limit." in told


def test_the_conclusion_of_a_clear_case() -> None:
    told = conclusion(a_run({"on": [1] * 11 + [0], "off": [0] * 11 + [1]}))
    assert told.startswith(
        "On was right on 11 of 12 problems (92%, 95% interval 62–100%) and "
        "off on 1 of 12 problems (8%, 95% interval 0–38%)."
    )
    assert "Problem by problem, on is ahead of off by 83 points (95% interval +50 to +100; " in told
    assert (
        "11 right in on alone, 1 in off alone: more than chance explains, "
        "McNemar's exact p = 0.0063)." in told
    )
    assert (
        "An answer of on took 20 tokens and 2 s on average, one of off 2 tokens and 0.2 s" in told
    )
    assert "10 times the tokens and 10 times the time. 90% of those tokens were thinking." in told
    assert told.endswith("12 problems are few: others may turn out otherwise.")


def test_what_chance_can_explain_is_not_called_a_difference() -> None:
    told = conclusion(a_run({"on": [1, 1, 0, 0], "off": [0, 1, 0, 0]}))
    assert "1 right in on alone, 0 in off alone: chance can explain it" in told
    assert "exact p = 1)." in told


def test_equal_arms_are_level_and_worse_ones_behind() -> None:
    level = conclusion(a_run({"on": [1, 0], "off": [1, 0]}))
    assert "on is level with off (0 right in on alone, 0 in off alone: nothing tells" in level
    behind = conclusion(a_run({"on": [0, 0, 1], "off": [1, 0, 1]}))
    assert "on is behind off by 33 points" in behind


def test_repeats_are_a_share_of_problems() -> None:
    told = conclusion(a_run({"on": [1, 0, 1, 1], "off": [0, 0, 0, 1]}, samples=2))
    assert "On was right on 75% of 2 problems (95% interval" in told


def test_many_problems_carry_no_warning() -> None:
    assert "few" not in conclusion(a_run({"on": [1] * 30, "off": [0] * 30}))


def test_without_answers_nothing_is_said_of_right_and_wrong() -> None:
    told = conclusion(a_run({"on": [None], "off": [None]}))
    assert told.startswith("The prompts have no answer key")
    assert "Problem by problem" not in told
    assert "10 times the tokens" in told


def test_a_batch_and_a_run_cut_short_are_mentioned() -> None:
    run = a_run({"on": [1, 1], "off": [0, 0]})
    some = {index: one for index, one in run.generations.items() if index < 3}
    told = conclusion(replace(run, generations=some, environment={"concurrency": 4}))
    assert "on average, with 4 requests at once, one of off" in told
    assert "The run is not whole: 3 of 4 generations." in told


def test_nothing_generated_is_nothing_concluded() -> None:
    run = Run("id", Plan("compare", ()), {}, {}, (), "interrupted")
    assert conclusion(run) == "Nothing has been generated, so there is nothing to conclude."
    assert summarise(run) == ()


def test_one_arm_is_compared_with_nobody() -> None:
    told = conclusion(a_run({"on": [1]}))
    assert told.startswith("On was right on 1 of 1 problem (100%")
    assert "Problem by problem" not in told
    assert "times" not in told
