r"""The last balanced box, and whether it is right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.evaluation.boxed import last_boxed
from workbench.evaluation.grading import grade, same_answer
from workbench.records import (
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Failed,
    Finished,
    Generation,
    Message,
    Problem,
    Request,
    Started,
)


@pytest.mark.parametrize(
    ("text", "box"),
    [
        (r"so \boxed{42}.", "42"),
        (r"\boxed{3}. No wait. \boxed{7}", "7"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\fbox{7}", "7"),
        (r"\boxed {7}", "7"),
        (r"\boxed{ 7 }", "7"),
        (r"\boxed{a \{ b}", r"a \{ b"),
        (r"\boxed{7} and \boxed{12", "7"),
        (r"\boxed{12", None),
        (r"boxed{12}", None),
        ("", None),
        (r"\boxed{}", ""),
    ],
)
def test_last_boxed(text: str, box: str | None) -> None:
    assert last_boxed(text) == box


@given(st.text(alphabet=r"\boxed{}17 ", max_size=60))
def test_last_boxed_never_fails_and_is_balanced(text: str) -> None:
    box = last_boxed(text)
    if box is not None:
        plain = box.replace("\\{", "").replace("\\}", "").replace("\\\\", "")
        assert plain.count("{") == plain.count("}")


def test_many_open_boxes_take_no_quadratic_time() -> None:
    assert last_boxed(r"\boxed{" * 2000) is None


@pytest.mark.parametrize(
    ("given", "expected", "right"),
    [
        ("42", "42", True),
        ("042", "42", True),
        ("+42", "42", True),
        ("42.0", "42", True),
        ("1,234", "1234", True),
        (r"1\,234", "1234", True),
        ("$42$", "42", True),
        (r"\text{42}", "42", True),
        ("42.", "42", True),
        ("-42", "42", False),
        ("43", "42", False),
        ("4 2", "42", True),
        ("", "42", False),
        ("forty-two", "42", False),
        ("7" * 5000, "42", False),
        ("0", "000", True),
        ("-0", "0", True),
    ],
)
def test_same_answer(given: str, expected: str, right: bool) -> None:
    assert same_answer(given, expected) is right


def generation(answer: str, thinking: str = "", end: Event | None = None) -> Generation:
    events: list[Event] = [Started(0.0, 5)]
    if thinking:
        events.append(Chunk(0.05, (3,), "<think>", Channel.MARKER))
        events.append(Chunk(0.1, (1,), thinking, Channel.THINKING))
    if answer:
        events.append(Chunk(0.2, (2,), answer, Channel.ANSWER))
    events.append(end or Finished(0.3, "stop"))
    return Generation(Request((Message("user", "?"),)), EngineSpec(), tuple(events))


PROBLEM = Problem("p", "?", "42")


@pytest.mark.parametrize(
    ("made", "value", "reason"),
    [
        (generation(r"\boxed{42}"), 1.0, "equal"),
        (generation(r"\boxed{41}"), 0.0, "different"),
        (generation("42"), 0.0, "no boxed answer"),
        (generation("", r"\boxed{42}", Finished(1, "length")), 0.0, "thinking never closed"),
        (generation(r"\boxed{42}", end=Failed(1, "x", "y")), None, "failed"),
        (generation(r"\boxed{42}", end=Finished(1, "cancelled")), None, "cancelled"),
        (generation(r"\boxed{" + "9" * 600 + "}"), 0.0, "the box is too long to be an answer"),
    ],
)
def test_grade(made: Generation, value: float | None, reason: str) -> None:
    score = grade(PROBLEM, made, 3)
    assert (score.value, score.reason) == (value, reason)
    assert (score.problem, score.generation) == ("p", 3)


def test_without_an_answer_there_is_nothing_to_grade() -> None:
    assert grade(Problem("p", "?"), generation(r"\boxed{42}"), 0).value is None
