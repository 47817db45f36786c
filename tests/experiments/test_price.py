"""The price of thinking: what was paid over what was gained, and words where there is no price."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workbench.errors import InvalidInput
from workbench.experiments import Run, compare, sweep
from workbench.experiments.price import price
from workbench.records import Cell

from .grids import Told, problems, run_of


def comparison(on: str, off: str, thinking: int = 98) -> Run:
    """A run with these problems right: ``1`` or ``0`` a problem."""

    def tell(cell: Cell) -> Told:
        assert cell.problem is not None
        mode = cell.request.mode
        right = (on if mode == "on" else off)[int(cell.problem.id[1:])]
        return Told(right == "1", thinking if mode == "on" else 0)

    return run_of(compare(problems(len(on)), modes=["on", "off"]), tell)


def test_the_price_is_the_cost_over_the_gain() -> None:
    """100 tokens more an answer, right on 20 problems instead of 4: 16 of 20 gained."""
    found = price(comparison("1" * 20, "1" * 4 + "0" * 16))
    assert found.gain.estimate.value == pytest.approx(0.8)
    assert found.gain.sure
    assert found.tokens.extra.estimate.value == pytest.approx(100)
    assert found.tokens.each is not None
    assert found.seconds.each is not None
    assert found.tokens.each.value == pytest.approx(125)
    assert found.seconds.each.value == pytest.approx(12.5)
    assert found.tokens.each.low is not None
    assert found.tokens.each.high is not None
    assert 100 <= found.tokens.each.low < 125 < found.tokens.each.high < 250
    assert str(found).startswith("On is right more often than off, by 80 points (95% interval +60")
    assert "A further right answer costs 125 tokens (95% interval 105 to 167) and 12.5 s" in str(
        found
    )


def test_where_all_problems_are_alike_the_price_has_no_interval() -> None:
    found = price(comparison("1" * 8, "0" * 8))
    assert found.gain.sure
    assert found.tokens.each is not None
    assert (found.tokens.each.value, found.tokens.each.low) == (100.0, None)
    assert str(found).endswith("A further right answer costs 100 tokens and 10 s.")


def test_a_gain_that_chance_explains_has_a_price_without_an_interval() -> None:
    found = price(comparison("1110", "1100"))
    assert found.tokens.each is not None
    assert (found.tokens.each.value, found.tokens.each.high) == (pytest.approx(400), None)
    assert found.tokens.reason is not None
    assert "no upper bound" in found.tokens.reason
    assert "which chance can explain. If it is real, one more costs 400 tokens" in str(found)


@pytest.mark.parametrize(("on", "off", "told"), [("10", "10", "as often"), ("00", "10", "less")])
def test_without_a_further_right_answer_there_is_no_price(on: str, off: str, told: str) -> None:
    found = price(comparison(on, off))
    assert found.tokens.each is None
    assert found.tokens.reason == "there is no further right answer"
    assert f"On is right {told}" in str(found)
    assert "no further right answer to pay for, and an answer takes 100 tokens more" in str(found)


def test_what_is_better_and_no_dearer_has_no_price() -> None:
    found = price(comparison("1" * 9, "0" * 9, thinking=0))
    assert found.tokens.each is None
    assert found.tokens.reason == "the further right answers cost nothing more"
    assert "no more tokens and no more seconds" in str(found)


def test_seconds_of_a_batch_have_no_price() -> None:
    run = replace(comparison("1" * 9, "0" * 8 + "1"), environment={"concurrency": 9})
    found = price(run)
    assert found.seconds.each is None
    assert found.seconds.reason is not None
    assert "batch" in found.seconds.reason
    assert str(found).endswith("tokens (95% interval 100 to 150).")
    level = replace(comparison("10", "10"), environment={"concurrency": 9})
    assert str(price(level)).endswith("and an answer takes 100 tokens more.")


def test_only_problems_with_a_score_in_both_arms_count() -> None:
    def tell(cell: Cell) -> Told:
        broken = cell.problem is not None and cell.problem.id == "p0" and cell.request.mode == "on"
        thinking = 1000 if cell.problem and cell.problem.id == "p1" else 98
        if cell.request.mode != "on":
            return Told(False)
        return Told(True, thinking, reason="failed" if broken else "stop")

    found = price(run_of(compare(problems(6), modes=["on", "off"]), tell))
    assert found.gain.estimate.count == 5
    assert found.tokens.extra.estimate.count == 5
    assert found.tokens.extra.estimate.value == pytest.approx((4 * 100 + 1002) / 5)


def test_arms_are_named_by_their_place() -> None:
    plan = sweep(problems(3), temperature=[0.5, 1.0], top_p=[0.5, 1.0])
    run = run_of(plan, lambda cell: Told(cell.request.sampling.temperature < 1, 10))
    found = price(run, {"temperature": 0.5, "top_p": 1.0}, {"temperature": 1.0, "top_p": 0.5})
    assert (found.dear, found.cheap) == (
        "temperature 0.5, top-p 1",
        "temperature 1, top-p 0.5",
    )
    with pytest.raises(InvalidInput, match="2 grid cells are at"):
        price(run, {"temperature": 0.5}, {"temperature": 1.0, "top_p": 0.5})
    with pytest.raises(InvalidInput, match="No grid cells are at"):
        price(run, {"mood": "good"}, {"temperature": 1.0})
    with pytest.raises(InvalidInput, match="Nothing tells which two arms"):
        price(run)


def test_of_budgets_the_price_is_between_none_and_the_least() -> None:
    plan = sweep(problems(8), thinking_tokens=[0, 50, None])
    spent = {0: 0, 50: 50, None: 98}

    def tell(cell: Cell) -> Told:
        limit = cell.request.sampling.thinking_tokens
        return Told(limit is None, spent[limit])

    found = price(run_of(plan, tell))
    assert (found.dear, found.cheap) == ("no thinking budget", "thinking budget 0")
    assert found.tokens.each is not None
    assert found.tokens.each.value == pytest.approx(100)


def test_nothing_graded_is_said() -> None:
    run = run_of(compare(problems(2), modes=["on", "off"]), lambda _: Told(None))
    with pytest.raises(InvalidInput, match="no graded problem in common"):
        price(run)
