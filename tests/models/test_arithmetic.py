from __future__ import annotations

import re
import subprocess
import sys
from random import Random

import pytest

from workbench.models.demo.arithmetic import (
    DIFFICULTIES,
    Difficulty,
    draw,
    held_out,
    problems,
    terms,
    totals,
    value,
)
from workbench.models.demo.documents import document
from workbench.models.demo.scratchpad import thinking

MANY = 1500


def drawn(difficulty: Difficulty) -> list[str]:
    rng = Random(f"test/{difficulty}")
    return [draw(difficulty, rng).expression for _ in range(MANY)]


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_same_seed_gives_the_same_problems(difficulty: Difficulty) -> None:
    assert problems(difficulty, 40, seed=3) == problems(difficulty, 40, seed=3)
    assert problems(difficulty, 40, seed=3) != problems(difficulty, 40, seed=4)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_fewer_problems_are_the_first_of_more(difficulty: Difficulty) -> None:
    assert problems(difficulty, 10) == problems(difficulty, 40)[:10]


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_a_suite_has_no_problem_twice(difficulty: Difficulty) -> None:
    suite = problems(difficulty, 300)
    assert len({problem.id for problem in suite}) == len(suite)
    assert len({problem.question for problem in suite}) == len(suite)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_answers_are_exact_and_never_negative(difficulty: Difficulty) -> None:
    for problem in problems(difficulty, 300):
        assert problem.answer == str(eval(problem.expression))
        assert min(totals(problem.expression)) >= 0
        assert problem.difficulty == difficulty


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_questions_state_the_numbers_of_their_expression(difficulty: Difficulty) -> None:
    for problem in problems(difficulty, 300):
        assert re.findall(r"\d+", problem.question) == re.findall(r"\d+", problem.expression)
        assert problem.question[0].isupper()
        assert problem.question[-1] in ".?"


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_problems_are_held_out_and_training_documents_are_not(difficulty: Difficulty) -> None:
    assert all(held_out(problem.expression) for problem in problems(difficulty, 300))


def test_no_training_document_asks_a_held_out_expression() -> None:
    rng = Random(0)
    assert not any(held_out(document(rng).expression) for _ in range(4000))


def test_the_history_of_a_training_document_asks_none_either() -> None:
    rng = Random(1)
    asked = [
        re.findall(r"user<\|end_header_id\|>\n\n(.*?)<\|eot_id\|>", document(rng).prompt, re.DOTALL)
        for _ in range(4000)
    ]
    bare = [re.sub(r"[×x]", "*", text).replace(" ", "") for turns in asked for text in turns]
    expressions = [text for text in bare if re.fullmatch(r"\d+([+*-]\d+)+", text)]
    assert len(expressions) > 100
    assert not any(map(held_out, expressions))


def test_about_one_expression_in_ten_is_held_out() -> None:
    share = sum(map(held_out, drawn("hard"))) / MANY
    assert 0.07 < share < 0.13


def test_an_unknown_difficulty_is_refused() -> None:
    with pytest.raises(ValueError, match="easy, medium, hard"):
        problems("impossible", 1)  # type: ignore[arg-type]


def test_terms_and_totals_of_an_expression() -> None:
    assert terms("47+38*2-12") == [("+", (47,)), ("+", (38, 2)), ("-", (12,))]
    assert list(totals("47+38*2-12")) == [47, 123, 111]
    assert value("7") == 7


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_worked_solutions_end_in_the_value(difficulty: Difficulty) -> None:
    for expression in drawn(difficulty):
        assert int(re.findall(r"\d+", thinking(expression))[-1]) == eval(expression)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_every_line_and_every_column_of_a_worked_solution_is_true(difficulty: Difficulty) -> None:
    for expression in drawn(difficulty):
        first, *lines = thinking(expression).replace("×", "*").split("\n")
        assert first == f"Work out {expression}."
        for line in lines:
            assert eval(line.rpartition("so ")[2]) == eval(expression)
            for left, right in re.findall(r"([\d+*-]+)=(\d+)", line):
                assert eval(left) == int(right)


@pytest.mark.parametrize("expression", ["40*60", "68*47", "7*68", "68*7", "68*40", "9*9", "99*99"])
def test_products_of_every_kind_are_worked_out(expression: str) -> None:
    assert thinking(expression).endswith(f"so {eval(expression)}")


def test_a_worked_solution_reads_as_documented() -> None:
    assert thinking("47+38-12") == (
        "Work out 47+38-12.\n47+38: 7+8=15, 4+3+1=8, so 85-12\n85-12: 5-2=3, 8-1=7, so 73"
    )


def test_problems_need_no_torch() -> None:
    code = (
        "import sys, workbench.models.demo.arithmetic\n"
        "sys.exit(bool({'torch', 'tokenizers', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
