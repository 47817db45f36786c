"""Captions of the figures: their numbers are those of the run, computed here another way."""

from __future__ import annotations

import re

import workbench as wb
from workbench.experiments import Run
from workbench.experiments.arms import by_arm
from workbench.pages import answers, captions
from workbench.records import Cell, Mode

from . import grids


def told(cell: Cell) -> grids.Told:
    """On: 30 tokens of thinking, right; off: none, right for the first two problems."""
    assert cell.problem is not None
    if cell.request.mode is Mode.ON:
        return grids.Told(thinking=30)
    return grids.Told(right=cell.problem.id in ("p0", "p1"), answer="2")


def run() -> Run:
    return grids.run_of(wb.compare(grids.problems(8), modes=("on", "off")), told)


def test_how_often_each_arm_is_right() -> None:
    said = captions.right(run()).text
    assert said == "On is right more often than off over all 8 problems, by 75 points."


def test_what_thinking_costs() -> None:
    said = captions.cost(run()).text
    share, seconds = map(int, re.findall(r"(\d+)%", said))
    assert share == round(100 * 30 / 34)  # two tags and two tokens of answer besides
    assert 80 <= seconds <= 95
    assert said.endswith("The answer by itself has 2 tokens with on, 2 with off.")


def test_a_timeline_and_gaps_name_every_arm() -> None:
    found = run()
    line = captions.timeline(found, "p0").text
    assert line == "On took 3.40 s, 88% of it thinking; off took 200 ms."
    gaps = captions.gaps(by_arm(found)).text
    assert gaps.lower().startswith("on: median gap 100 ms")


def test_nothing_graded_says_nothing() -> None:
    plan = wb.compare(grids.problems(1), modes=("on",))
    assert captions.right(grids.run_of(plan, lambda _: grids.Told(right=None))).text == ""


def test_every_answer_is_a_row_without_columns_that_say_nothing() -> None:
    page = answers(run())
    assert page.text == "16 answers"
    assert page.html.count("<tr>") == 17
    assert "rating" not in page.html
    assert "✗" in page.html
