"""Every case of the graders' table, through the same door as a run's answers."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from workbench import thinking
from workbench.evaluation.graders import limits, verdict
from workbench.evaluation.graders.worker import Checker, Outcome
from workbench.evaluation.grading import grade
from workbench.records import (
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Finished,
    Generation,
    Message,
    Mode,
    Problem,
    Request,
    Score,
    Started,
)


def _table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cases", Path(__file__).with_name("cases.py"))
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


CASES = _table()


def generation(output: str, mode: Mode = Mode.ON) -> Generation:
    """The output as an engine gives it out, a few characters at a time."""
    splitter = thinking.Splitter()
    events: list[Event] = [Started(0.0, 5)]
    size = max(7, len(output) // 500)
    for start in range(0, len(output), size):
        piece = Chunk(0.1, (start,), output[start : start + size], Channel.ANSWER)
        events += splitter.feed(piece)
    events += [*splitter.close(), Finished(1.0, "stop")]
    request = Request((Message("user", "?"),), mode)
    return Generation(request, EngineSpec(), thinking.settle(events, mode))


def graded(grader: str, gold: str, output: str, checker: Checker, mode: Mode = Mode.ON) -> Score:
    prompt = CASES.QUESTION if grader == "letter" else "?"
    problem = Problem("p", prompt, gold, grader=grader)
    return grade(problem, generation(output, mode), 0, checker=checker)


ROWS = [
    *((case, "math", f"So \\boxed{{{case.output}}}.", Mode.ON) for case in CASES.MATH),
    *((case, "aime", f"So \\boxed{{{case.output}}}.", Mode.ON) for case in CASES.AIME),
    *((case, "math", case.output, Mode.ON) for case in CASES.OUTPUTS),
    *((case, "math", case.output, Mode.OFF) for case in CASES.LEAKS),
    *((case, "letter", case.output, Mode.ON) for case in CASES.LETTERS),
]


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    own = Checker()
    yield own
    own.close()


@pytest.mark.parametrize(
    ("case", "grader", "output", "mode"),
    [pytest.param(*row, id=f"{row[1]}: {row[0].trap}: {row[0].output[:30]!r}") for row in ROWS],
)
def test_a_case(case: Any, grader: str, output: str, mode: Mode, checker: Checker) -> None:
    score = graded(grader, case.gold, output, checker, mode)
    assert score.value == float(case.right), score
    assert score.reason not in {verdict.TIMEOUT, verdict.CRASHED}
    assert case.reason in {None, score.reason}


def test_there_are_many_and_each_once() -> None:
    keys = [(grader, case.gold, output, mode) for case, grader, output, mode in ROWS]
    assert len(set(keys)) == len(keys)
    assert len(keys) >= 300


def test_kinds_of_traps_are_all_there() -> None:
    """Nothing of what is known to go wrong elsewhere was left out on the way."""
    traps = {case.trap.partition(",")[0] for case, *_ in ROWS}
    assert traps >= {
        *("fraction", "mixed number", "float by a fraction", "surd", "thousands", "imaginary"),
        *("degrees", "degrees in a function", "unit", "list", "tuple", "interval", "empty set"),
        *("equation", "remark", "base", "time", "ratio", "word", "several boxes", "placeholder"),
        *("boxes as a list", "fbox", "no box", "cut off in the box", "never closed", "leak"),
        *("only in the thinking", "leading zeros", "letter", "label and text", "option"),
    }


def test_leaks_are_known_beside_the_score() -> None:
    for case in CASES.LEAKS:
        leaked = thinking.flags(generation(case.output, Mode.OFF)).leaked
        assert leaked is ("<think>" in case.output)


REFUSED = [text for text in CASES.HOSTILE if len(text) > limits.LONGEST or limits.refusal(text)]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text)[:30])
@pytest.mark.parametrize("grader", ["math", "aime"])
def test_hostile_texts_that_nobody_is_asked_about(text: str, grader: str) -> None:
    class Nobody(Checker):
        def compare(self, gold: str, given: str) -> Outcome:
            raise AssertionError("handed on")

    score = graded(grader, "7", f"So \\boxed{{{text}}}.", Nobody())
    assert score.value == 0.0
    assert len(score.extracted or "") <= limits.LONGEST
    assert score.reason == verdict.TOO_LONG or score.reason.startswith("refused: ")


def test_the_other_hostile_texts_end_and_what_follows_is_graded() -> None:
    """Those that hang an algebra system are in ``test_worker``."""
    hanging = ("!", "^", "binom", "int")
    others = [text for text in CASES.HOSTILE if text not in REFUSED]
    quick = [text for text in others if not any(sign in text for sign in hanging)]
    assert len(quick) >= 5
    own = Checker()
    try:
        for text in quick:
            score = graded("math", "7", f"So \\boxed{{{text}}}.", own)
            assert (score.value, score.by) != (1.0, "math"), text
            assert score.reason != verdict.TIMEOUT
        assert graded("math", r"\frac{1}{2}", r"\boxed{0.5}", own).reason == verdict.EQUAL
    finally:
        own.close()


@pytest.mark.parametrize(
    "output",
    [
        "\\[" * 130_000,
        "\\boxed{" * 20_000,
        "{" * 100_000 + "\\boxed{" + "}" * 100_000,
        "\\boxed{A" + " " * 100_000 + "x}",
        "The answer is " * 10_000,
        "\\boxed{" + "\\text{" * 20_000 + "}" * 20_001,
        "\\boxed " * 20_000,
        "\\boxed{3} and " * 20_000,
        "<think>" * 20_000,
        "</think>" * 20_000,
    ],
    ids=lambda output: output[:12],
)
@pytest.mark.parametrize("grader", ["math", "aime", "letter", "boxed"])
def test_long_outputs_take_no_quadratic_time(output: str, grader: str, checker: Checker) -> None:
    """A hang would be ended by the suite's own limit; what is long is read once."""
    made = Generation(
        Request((Message("user", "?"),)),
        EngineSpec(),
        (Started(0.0, 5), Chunk(0.1, (1,), output, Channel.ANSWER), Finished(1.0, "stop")),
    )
    problem = Problem("p", CASES.QUESTION, "7", grader=grader)
    assert grade(problem, made, 0, checker=checker).value == 0.0
