"""The paragraph about a sweep: computed from the run, and no more than it shows."""

from __future__ import annotations

import random
import re

import pytest

from workbench.errors import InvalidInput
from workbench.experiments import Run, compare, sweep
from workbench.experiments.effects import by_value
from workbench.experiments.findings import differences, findings
from workbench.experiments.grid import grid_cells
from workbench.records import Cell, Plan

from .grids import Told, problems, run_of


def place(cell: Cell) -> int:
    assert cell.problem is not None
    return int(cell.problem.id[1:])


def heated(count: int = 24) -> Run:
    """Right while problem + 12 × temperature stays below the number of problems."""
    plan = sweep(problems(count), temperature=[0, 0.5, 1.5], top_p=[0.5, 1.0])

    def tell(cell: Cell) -> Told:
        heat = cell.request.sampling.temperature
        return Told(place(cell) + 12 * heat < count, 10 + int(10 * heat))

    return run_of(plan, tell)


def test_the_best_setting_and_how_sure_that_is() -> None:
    told = findings(heated())
    assert told.startswith(
        "Of 5 settings, greedy was right most often: 100% of 24 problems (95% interval 86–100%). "
        "Having been picked as the best of 5 on these problems, it may do less well on others."
    )
    # temperature 1.5 loses 18 problems, 0.5 loses 6: p = 0.03, four comparisons
    assert "ahead of 2 of the others by more than chance explains, 4 comparisons" in told
    assert "It is also ahead of 2 more if each is taken by itself" in told


def test_what_temperature_and_top_p_do() -> None:
    told = findings(heated())
    assert (
        "Accuracy goes from 100% at temperature 0 to 25% at 1.5: 75 points fewer, "
        "95% interval −92 to −58." in told
    )
    assert (
        "Accuracy moves by no more than chance explains over top-p 0.5 to 1 (no difference)" in told
    )


def test_the_best_value_between_the_ends_is_mentioned() -> None:
    plan = sweep(problems(20), temperature=[0, 0.5, 1.5])
    right = {0.0: 10, 0.5: 16, 1.5: 2}
    run = run_of(plan, lambda cell: Told(place(cell) < right[cell.request.sampling.temperature]))
    assert "; in between it is highest at 0.5, 80%." in findings(run)


def test_noise_is_told_apart_from_nothing() -> None:
    """Sixteen settings that do nothing: none is said to be better, whatever was drawn."""
    for seed in range(6):
        draw = random.Random(seed)
        plan = sweep(problems(20), temperature=[0.1, 0.4, 0.7, 1], top_p=[0.4, 0.6, 0.8, 1])
        told = findings(run_of(plan, lambda _, draw=draw: Told(draw.random() < 0.6)))  # type: ignore[misc]
        assert "comparisons allowed for" not in told
        assert "best of 16" in told


def test_the_cheapest_of_those_that_cannot_be_told_apart_is_named() -> None:
    plan = sweep(problems(10), temperature=[0.5, 1.0])

    def tell(cell: Cell) -> Told:
        hot = cell.request.sampling.temperature > 0.7
        return Told(place(cell) < (8 if hot else 7), 100 if hot else 20)

    told = findings(run_of(plan, tell))
    assert "Temperature 0.5 cannot be told from it on these problems." in told
    assert "fewest tokens is temperature 0.5: 24 an answer instead of 104." in told


def budgeted(right: dict[int | None, int], count: int = 40) -> str:
    plan = sweep(problems(count), thinking_tokens=list(right))

    def tell(cell: Cell) -> Told:
        limit = cell.request.sampling.thinking_tokens
        return Told(place(cell) < right[limit], 200 if limit is None else limit)

    return findings(run_of(plan, tell))


def test_the_budget_from_which_on_accuracy_is_near() -> None:
    told = budgeted({0: 10, 32: 20, 64: 35, 128: 36, None: 36})
    assert (
        "Of the thinking, accuracy is 90% without a budget; from a budget of 64 tokens on it stays "
        "within 5 points of that, as measured (2 points fewer" in told
    )
    assert "with 68 tokens an answer instead of 204." in told
    assert "No thinking budget is right more often than thinking budget 0" in told


def test_a_budget_that_is_near_by_accident_is_not_the_one() -> None:
    assert "from a budget of 64 tokens" in budgeted({16: 36, 32: 20, 64: 36, None: 36})


def test_no_budget_is_near_or_the_largest_stands_for_all() -> None:
    told = budgeted({16: 10, 32: 20, None: 36})
    assert "no smaller budget stays within 5 points of it." in told
    told = budgeted({16: 10, 32: 35, 64: 36})
    assert "90% at the largest budget, 64; from a budget of 32 tokens on" in told


def test_thinking_has_its_price_and_a_sweep_its_caveats() -> None:
    plan = sweep(problems(12), mode=["on", "off"])
    ends = {0: "failed", 1: "length"}

    def tell(cell: Cell) -> Told:
        on = cell.request.mode == "on"
        return Told(on, 18 if on else 0, reason=ends.get(place(cell), "stop"))

    told = findings(run_of(plan, tell, without=[len(plan) - 1], status="interrupted"))
    assert "A further right answer costs 20 tokens." in told
    assert "2 of 23 answers failed. 2 of 23 answers ended at the length limit." in told
    assert "The run is not whole: 23 of 24 generations, which need not" in told
    assert told.endswith("11 problems are few: others may turn out otherwise.")


def told_of(right: dict[float, int], count: int, tokens: int = 9) -> str:
    plan = sweep(problems(count), temperature=list(right))

    def tell(cell: Cell) -> Told:
        heat = cell.request.sampling.temperature
        return Told(place(cell) < right[heat], int(tokens * (1 + heat)))

    return findings(run_of(plan, tell))


def test_five_problems_never_tell_settings_apart_and_six_do() -> None:
    told = told_of({0: 5, 1: 0}, 5)
    assert "5 problems are too few to tell settings apart" in told
    for word in ("cannot be told from it", "chance explains", "problems are few", "Having been"):
        assert word not in told
    assert "ahead of 1 of the others by more than chance explains" in told_of({0: 6, 1: 0}, 6)


def test_an_interval_never_contradicts_the_test_beside_it() -> None:
    """Of few problems the bootstrap's interval is too narrow: it may leave out no difference."""
    plan = sweep(problems(4), mode=["on", "off"])
    right = {"on": 4, "off": 1}
    told = findings(
        run_of(
            plan, lambda cell: Told(place(cell) < right[cell.request.mode], len(cell.request.mode))
        )
    )
    assert "by 75 points (p = 0.25), which chance can explain." in told
    assert "cannot be told" not in told


def test_settings_that_were_right_equally_often_have_no_best() -> None:
    told = told_of({0: 8, 1: 8}, 10, tokens=0)
    assert told.startswith("All 2 settings were right equally often: 80% of 10 problems")
    assert "best" not in told
    assert re.search(r"An answer takes \d tokens on average in every setting\.", told)
    told = told_of({0: 8, 0.5: 2, 1: 8}, 10)
    assert told.startswith("Of 3 settings, greedy and 1 other were right most often: 80%")


def test_a_comparison_is_told_too_and_seconds_alone_need_no_remark() -> None:
    run = run_of(compare(problems(30)), lambda cell: Told(cell.request.mode == "on", 5))
    told = findings(run)
    assert told.startswith("Of 3 settings, on was right most often: 100% of 30 problems")
    assert "ran beside others" not in told
    assert "An answer takes 9 tokens and 0.9 s on average in every setting." in told
    assert "few" not in told.replace("fewest", "")


def test_without_answers_only_tokens_and_seconds_are_told() -> None:
    plan = sweep(["What?"], mode=["on", "off"])
    told = findings(run_of(plan, lambda cell: Told(None, 18 if cell.request.mode == "on" else 0)))
    assert told.startswith("The prompts have no answer key")
    assert "The shortest answers are those of off, 2 tokens on average" in told
    assert "Requests ran beside others, so their seconds are those of a batch" in told
    assert "best" not in told


def test_one_setting_and_nothing() -> None:
    one = findings(run_of(sweep(problems(40)), lambda _: Told()))
    assert one.startswith("100% of 40 problems (95% interval 91–100%) were answered rightly.")
    assert "setting" not in one
    nothing = run_of(sweep(problems(2)), lambda _: Told(), without=range(9))
    assert findings(nothing) == "Nothing has been generated, so there is nothing to conclude."
    empty = Run("id", Plan("sweep", ()), {}, {}, (), "interrupted")
    assert findings(empty) == "Nothing has been generated, so there is nothing to conclude."


def test_differences_are_those_from_the_best() -> None:
    found = differences(heated())
    assert list(found) == [
        "temperature 0.5, top-p 0.5",
        "temperature 0.5, top-p 1",
        "temperature 1.5, top-p 0.5",
        "temperature 1.5, top-p 1",
    ]
    assert [round(24 * gap.estimate.value) for gap in found.values()] == [6, 6, 18, 18]
    tokens = differences(heated(), "output_tokens")
    assert [gap.estimate.value for gap in tokens.values()] == [-5, -5, -15, -15]
    assert not next(iter(tokens.values())).estimate.share
    assert differences(run_of(sweep("What?"), lambda _: Told(None))) == {}
    with pytest.raises(InvalidInput, match="no 'beauty'"):
        differences(heated(), "beauty")


def test_greedy_settings_say_nothing_of_top_p() -> None:
    cells = grid_cells(heated())
    assert sorted(by_value(cells, "top_p")) == [0.5, 1.0]
    greedy = [cell for cell in cells if cell.greedy]
    assert by_value(greedy, "top_p") == {}
    assert set(by_value(greedy, "temperature")) == {0.0}
