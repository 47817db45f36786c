"""The embedded suite as the workbench's problems."""

from __future__ import annotations

import pytest

from workbench.errors import InvalidInput
from workbench.evaluation.problems import DIFFICULTIES, arithmetic_suite, as_problem
from workbench.records import Problem


def test_the_difficulties_take_turns() -> None:
    suite = arithmetic_suite(7)
    assert [problem.group for problem in suite] == [DIFFICULTIES[i % 3] for i in range(7)]
    assert len({problem.id for problem in suite}) == 7
    assert all(problem.answer is not None for problem in suite)


def test_more_begins_with_fewer_and_seeds_differ() -> None:
    assert arithmetic_suite(12)[:6] == arithmetic_suite(6)
    assert arithmetic_suite(6, seed=1) != arithmetic_suite(6)


def test_one_difficulty() -> None:
    assert {p.group for p in arithmetic_suite(5, difficulties=("hard",))} == {"hard"}


@pytest.mark.parametrize("bad", [("heroic",), ()])
def test_unknown_difficulties_are_refused(bad: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match="difficulty"):
        arithmetic_suite(3, difficulties=bad)


def test_no_problems_are_refused() -> None:
    with pytest.raises(InvalidInput, match="0 problems"):
        arithmetic_suite(0)


def test_more_than_there_are_is_refused_and_not_looked_for() -> None:
    with pytest.raises(InvalidInput, match="10,001 problems were asked for; the embedded suite"):
        arithmetic_suite(10_001)


def test_a_prompt_is_a_problem_without_an_answer() -> None:
    assert as_problem("Why?", 2) == Problem("prompt-2", "Why?")
    assert as_problem(Problem("x", "?")) == Problem("x", "?")
