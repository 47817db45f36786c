"""Graders on the benchmarks' own files: gold answers, official solutions, wrong answers."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from workbench.evaluation import benchmarks
from workbench.evaluation.graders import dialect, normal, verdict
from workbench.evaluation.graders.worker import Checker
from workbench.evaluation.grading import grade
from workbench.records import (
    Channel,
    Chunk,
    EngineSpec,
    Finished,
    Generation,
    Message,
    Problem,
    Request,
    Score,
    Started,
)

Real = Callable[[str], Path]


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    own = Checker()
    yield own
    own.close()


def score(problem: Problem, text: str, checker: Checker) -> Score:
    events = (Started(0.0, 5), Chunk(0.1, (1,), text, Channel.ANSWER), Finished(1.0, "stop"))
    made = Generation(Request((Message("user", problem.prompt),)), EngineSpec(), events)
    return grade(problem, made, 0, checker=checker)


def right(problems: Sequence[Problem], texts: Sequence[str], checker: Checker) -> int:
    scores = [score(p, text, checker) for p, text in zip(problems, texts, strict=True)]
    return sum(one.value == 1.0 for one in scores)


def boxes(problems: Sequence[Problem], form: str = "{}") -> list[str]:
    return [f"So it is $\\boxed{{{form.format(problem.answer)}}}$." for problem in problems]


@pytest.mark.parametrize(("name", "count"), [("math500", 500), ("aime25", 30), ("gsm8k", 1319)])
def test_gold_against_itself(real: Real, checker: Checker, name: str, count: int) -> None:
    problems = benchmarks.load(name, real(name))
    assert right(problems, boxes(problems), checker) == count


def test_gold_against_itself_by_mathematics_alone(real: Real, checker: Checker) -> None:
    """What the texts say at once, math-verify says too: nothing is lost on the way to it."""
    golds = {problem.answer or "" for problem in benchmarks.load("math500", real("math500"))}
    hard = sorted(gold for gold in golds if normal.whole(gold) is None)
    written = [dialect.written(normal.normal(gold)) for gold in hard]
    some = [text for text in written if "\\" in text][::4]
    assert len(some) > 30
    assert {checker.compare(text, text).reason for text in some} == {verdict.EQUAL}


def test_official_solutions(real: Real, checker: Checker) -> None:
    problems = benchmarks.load("math500", real("math500"))
    lines = real("math500").read_text(encoding="utf-8").splitlines()
    solutions = [json.loads(line)["solution"] for line in lines]
    assert right(problems, solutions, checker) == 500


def test_other_spellings_of_gold(real: Real, checker: Checker) -> None:
    """With signs around it that change nothing."""
    problems = benchmarks.load("math500", real("math500"))[::5]
    for form in (r"\displaystyle {}", r" {} \,", "{}.", r"{}\!"):
        assert right(problems, boxes(problems, form), checker) == len(problems), form
    aime = benchmarks.load("aime25", real("aime25"))
    assert right(aime, boxes(aime, "{:0>3}"), checker) == 30
    gsm8k = benchmarks.load("gsm8k", real("gsm8k"))
    money = [f"\\boxed{{\\${int(p.answer or 0):,}.00}}" for p in gsm8k]
    assert right(gsm8k, money, checker) == 1319


@pytest.mark.parametrize("name", ["aime25", "gsm8k"])
def test_one_more_is_wrong(real: Real, checker: Checker, name: str) -> None:
    problems = benchmarks.load(name, real(name))
    assert right(problems, [f"\\boxed{{{int(p.answer or 0) + 1}}}" for p in problems], checker) == 0


def test_answers_of_other_problems_are_wrong(real: Real, checker: Checker) -> None:
    """But for the angles without their degrees and units, which are left out by design."""
    problems = benchmarks.load("math500", real("math500"))
    draw = random.Random(0)
    reasons: Counter[str] = Counter()
    while reasons.total() < 30:
        asked, other = draw.choice(problems), draw.choice(problems)
        if asked.answer != other.answer:
            found = score(asked, f"\\boxed{{{other.answer}}}", checker)
            assert found.value == 0.0, (asked.answer, other.answer)
            reasons[found.reason] += 1
    assert reasons == {verdict.DIFFERENT: 30}


def test_the_pair_that_is_equal_by_design(real: Real, checker: Checker) -> None:
    problems = benchmarks.load("math500", real("math500"))
    angle = next(problem for problem in problems if problem.answer == r"90^\circ")
    assert score(angle, r"\boxed{90}", checker).value == 1.0
    assert score(angle, r"\boxed{\frac{\pi}{2}}", checker).value == 0.0
