"""The verdict: our figures beside the card's, held against computations of another origin."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest
from scipy import stats

import workbench as wb
from workbench.evaluation.agreement import Published
from workbench.experiments import verdict_delta
from workbench.experiments.run import Run
from workbench.experiments.verdict import Verdict, card_of, published_of, verdicts
from workbench.experiments.verdict_words import conditions, passes_table, remarks, table
from workbench.records import Cell, EngineSpec, Plan

from . import grids

ENGINE = {"model": "nemotron-nano-8b", "quantization": "exl2-4.0bpw", "cache": "q8"}


def asked(
    benchmark: str,
    problems: int,
    *,
    modes: tuple[str, ...] = ("off",),
    **more: Any,
) -> Plan:
    plan = wb.compare(grids.problems(problems), modes=modes, **more)
    return replace(plan, axes={"benchmark": (benchmark,), **plan.axes})


def answered(plan: Plan, right: Callable[[int, Cell], bool]) -> Run:
    """The run in which ``right(number of the problem, cell)`` says which answers are right."""

    def tell(cell: Cell) -> grids.Told:
        assert cell.problem is not None
        good = right(int(cell.problem.id[1:]), cell)
        return grids.Told(right=good, answer="1" if good else "2")

    run = grids.run_of(plan, tell)
    return replace(run, environment={"engines": [ENGINE]})


def first(plan: Plan, count: int) -> Verdict:
    """The verdict where the first so many problems are right."""
    (one,) = verdicts(answered(plan, lambda number, _: number < count))
    return one


def test_greedy_answers_to_the_whole_benchmark_agree_within_the_error_of_their_draw() -> None:
    one = first(asked("math500", 500), 183)
    assert (one.published, one.whole, one.problems) == (0.366, 500, 500)
    assert one.ours is not None
    assert one.ours.value == pytest.approx(0.366)
    assert one.words == "agrees"


@pytest.mark.parametrize(("right", "side"), [(120, "below"), (260, "above")])
def test_below_and_above_by_points_with_the_exact_binomial_interval(right: int, side: str) -> None:
    one = first(asked("math500", 500), right)
    exact = stats.binomtest(right, 500).proportion_ci(method="exact")
    share, rounding = right / 500, 0.0005  # the card's figure has no other error: it is greedy
    low = share - 0.366 - sqrt((share - exact.low) ** 2 + rounding**2)
    high = share - 0.366 + sqrt((exact.high - share) ** 2 + rounding**2)
    assert one.gap is not None
    assert (one.gap.low, one.gap.high) == pytest.approx((low, high))
    near, far = sorted((100 * abs(low), 100 * abs(high)))
    assert one.words == f"{side} by {100 * abs(share - 0.366):.1f} points [{near:.1f}, {far:.1f}]"


def test_few_problems_cannot_tell() -> None:
    assert first(asked("math500", 40), 16).words == "cannot tell with 40 problems"
    assert first(asked("math500", 1), 1).words == "cannot tell with 1 problem"


def test_how_wide_an_interval_may_agree_is_the_callers() -> None:
    run = answered(asked("math500", 200), lambda number, _: number < 73)
    assert [one.words for one in verdicts(run, widest=0.05)] == ["cannot tell with 200 problems"]
    assert [one.words for one in verdicts(run, widest=0.2)] == ["agrees"]
    with pytest.raises(wb.WorkbenchError, match="must be above 0"):
        verdicts(run, widest=0)


def test_one_problem_of_the_whole_is_no_disagreement() -> None:
    """The card's AIME25 off is 0 of 30; one right answer is as near as another run may come."""
    whole = asked("aime25", 30)
    assert first(whole, 1).words == "agrees"
    assert first(whole, 0).words == "agrees"
    assert first(whole, 12).words.startswith("above by 40.0 points [")


def test_where_tokens_are_drawn_the_cards_own_error_counts() -> None:
    """By simulation: a model as good as the card's is called below or above in 5 % of runs."""
    draw = np.random.default_rng(3)
    abilities = draw.beta(0.8, 0.9, size=30)
    published = {"on": Published(float(abilities.mean()), 30, 16)}
    plan = asked("aime25", 30, modes=("on",), samples=4)
    told = []
    for _ in range(40):
        drawn = draw.random((30, 4)) < abilities[:, None]
        run = answered(plan, lambda number, cell, drawn=drawn: bool(drawn[number, cell.sample]))  # type: ignore[misc]
        told.append(verdicts(run, published)[0].words)
    assert sum("by" in words for words in told) <= 5


def test_a_mode_without_a_figure_and_a_run_without_scores_say_so() -> None:
    plan = asked("math500", 3, modes=("off", "off_prefilled"))
    _, prefilled = verdicts(answered(plan, lambda *_: True))
    assert prefilled.words == "the card has no figure"
    nothing = grids.run_of(plan, lambda _: grids.Told(right=None))
    assert next(one.words for one in verdicts(nothing)) == "nothing was graded"
    assert card_of(replace(nothing, plan=wb.compare("x"))) is None
    assert published_of(None) == {}


def test_what_the_card_publishes_is_by_mode_and_drawn_where_it_samples() -> None:
    math = published_of(card_of(answered(asked("math500", 1), lambda *_: True)))
    assert (math["on"].value, math["off"].value) == (0.954, 0.366)
    assert (math["on"].samples, math["on"].drawn) == (16, True)
    assert (math["off"].samples, math["off"].drawn) == (1, False)


def test_the_table_has_ours_the_cards_and_the_words() -> None:
    found = verdicts(answered(asked("math500", 500), lambda number, _: number < 183))
    (row,) = table(found)
    exact = stats.t.ppf(0.975, 499) * sqrt(0.366 * 0.634 / 499)
    assert row["arm"] == "off"
    assert (row["card"], row["verdict"], row["problems"]) == ("36.6%", "agrees", "500 of 500")
    value, low, high = map(float, re.findall(r"[\d.]+", row["ours"]))
    assert value == 36.6
    assert (low, high) == pytest.approx((36.6 - 100 * exact, 36.6 + 100 * exact), abs=0.5)


def test_passes_are_under_nemo_skills_names() -> None:
    run = answered(asked("math500", 4, modes=("on",), samples=4), lambda n, cell: cell.sample < n)
    rows = passes_table(run)
    assert [row["evaluation_mode"] for row in rows] == [
        "pass@1[avg-of-4]",
        "majority@2",
        "majority@4",
        "pass@2",
        "pass@4",
    ]
    told: Mapping[str, Any] = {row["evaluation_mode"]: row["symbolic_correct"] for row in rows}
    assert told["pass@1[avg-of-4]"] == "37.5%"  # 0, 1, 2, 3 of 4
    assert told["pass@4"] == "75.0%"
    assert told["pass@2"] == f"{100 * (0 + 3 + 5 + 6) / 6 / 4:.1f}%"  # pairs with a right one


def test_precision_and_cache_are_named_and_synthetic_weights_are_told() -> None:
    run = answered(asked("math500", 1), lambda *_: True)
    assert "nemotron-nano-8b in exl2-4.0bpw with a cache of q8" in conditions(run)
    made = replace(run, environment={"engines": [ENGINE | {"synthetic": True}]})
    assert "not Nemotron's" in conditions(made)
    assert "not recorded" in conditions(replace(run, environment={}))


def test_remarks_tell_departures_and_what_other_pages_print() -> None:
    run = answered(asked("aime25", 30, max_tokens=100, temperature=0.3), lambda *_: False)
    said = remarks(run, verdicts(run))
    assert "The sampling of off is not the card's." in said
    assert "at most 100 tokens, on the card 32,768" in said
    assert "36.6" in said  # what some pages print for AIME25 without reasoning
    usual = answered(asked("math500", 30, max_tokens=32_768), lambda *_: False)
    assert "not the card's" not in remarks(usual, verdicts(usual))


# --- two models or precisions ---------------------------------------------------------------------


def both(first: Callable[[int], bool], second: Callable[[int], bool]) -> Run:
    """One run that asks two precisions the same problems."""
    plans = [
        asked("math500", 60, engine=EngineSpec(quantization=name)) for name in ("fp16", "4bit")
    ]
    plan = replace(plans[0], cells=tuple(cell for one in plans for cell in one.cells))
    sides = {"fp16": first, "4bit": second}
    run = answered(plan, lambda number, cell: sides[cell.spec.quantization or ""](number))
    engines = [ENGINE | {"quantization": "fp16"}, ENGINE]
    return replace(run, environment={"engines": engines})


def test_the_cost_of_a_precision_is_paired_by_problem() -> None:
    (delta,) = verdict_delta.deltas(both(lambda n: n < 50, lambda n: n < 40))
    change = np.array([0.0] * 40 + [-1.0] * 10 + [0.0] * 10)
    found = stats.ttest_1samp(change, 0.0).confidence_interval(0.95)
    estimate = delta.right.estimate
    assert estimate.value == pytest.approx(-10 / 60)
    assert (estimate.low, estimate.high) == pytest.approx((found.low, found.high), abs=0.02)
    assert delta.right.sure
    assert str(delta).startswith("Off, exl2-4.0bpw against fp16 on 60 problems: ")
    assert "chance" not in str(delta)


def test_a_difference_within_chance_is_called_so() -> None:
    (delta,) = verdict_delta.deltas(both(lambda n: n < 50, lambda n: n < 49))
    assert "which chance can explain" in str(delta)
    answered(asked("math500", 2), lambda *_: True)
    assert "no second model" in verdict_delta.told(
        verdict_delta.deltas(answered(asked("math500", 2), lambda *_: True))
    )


def test_two_runs_are_paired_on_what_both_were_asked() -> None:
    ours = answered(asked("math500", 30), lambda number, _: number < 20)
    theirs = answered(asked("math500", 20), lambda number, _: number < 5)
    (delta,) = verdict_delta.deltas(ours, replace(theirs, id="other"))
    assert delta.right.estimate.count == 20
    assert delta.right.estimate.value == pytest.approx(-15 / 20)
    assert (delta.first, delta.second) == ("id", "other")
