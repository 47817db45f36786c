"""Grid cells: every generation in one of them, and each number recounted by hand."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.evaluation.statistics import accuracy
from workbench.experiments import compare, sweep
from workbench.experiments.grid import GridCell, coordinates, grid_cells
from workbench.records import Cell, EngineSpec, Plan

from .grids import Told, problems, run_of


def small() -> Plan:
    return sweep(problems(2), mode=["on", "off"], temperature=[0, 1], top_p=[0.5, 1], replicates=3)


def at(cells: tuple[GridCell, ...], **place: object) -> GridCell:
    (found,) = [c for c in cells if all(c.coordinates[k] == v for k, v in place.items())]
    return found


def test_coordinates_are_the_axes_without_problem_and_sample() -> None:
    plan = small()
    places = coordinates(plan)
    assert len(places) == len(plan)
    assert places[0] == {"mode": "on", "temperature": 0.0, "top_p": 0.5}
    assert [list(place) for place in places] == [["mode", "temperature", "top_p"]] * len(plan)


def test_coordinates_of_engines_and_of_axes_that_cells_do_not_have() -> None:
    specs = [EngineSpec(context=512), EngineSpec(context=1024, cache="q4")]
    plan = sweep("What?", engine=specs)
    assert [place["engine"] for place in coordinates(plan)] == specs
    rows = [cell.row() for cell in grid_cells(run_of(plan, lambda _: Told(None)))]
    assert [row["engine"] for row in rows] == [
        "exllama, context 512",
        "exllama, context 1024, cache q4",
    ]
    odd = replace(plan, axes={**plan.axes, "moon": ("full",)})
    assert coordinates(odd) == coordinates(plan)
    assert coordinates(Plan("sweep", (), {"mode": ()})) == []


def test_a_greedy_setting_is_one_grid_cell_and_says_so() -> None:
    cells = grid_cells(run_of(small(), lambda _: Told()))
    greedy = [cell for cell in cells if cell.greedy]
    assert len(cells) == 2 * (1 + 2)
    assert [(cell.coordinates["temperature"], cell.planned) for cell in greedy] == [(0.0, 2)] * 2
    assert all(cell.planned == 6 for cell in cells if not cell.greedy)


def test_the_numbers_of_a_grid_cell() -> None:
    def tell(cell: Cell) -> Told:
        thinking = 18 + 2 * cell.sample if cell.request.mode == "on" else 0
        right = cell.problem is not None and cell.problem.id == "p0" and cell.sample < 2
        return Told(right, thinking, "1" if right else "2")

    plan = sweep(problems(2), mode=["on", "off"], temperature=0.6, replicates=3)
    on, off = grid_cells(run_of(plan, tell))
    assert (on.planned, len(on.members), on.failed) == (6, 6, 0)
    assert on.accuracy == accuracy({"p0": [1, 1, 0], "p1": [0, 0, 0]})
    assert on.thinking_tokens is not None
    assert on.output_tokens is not None
    assert on.request_latency is not None
    assert on.thinking_tokens.value == 20.0
    assert on.output_tokens.value == 24.0  # two tags, two of the answer
    assert on.request_latency.value == pytest.approx(2.4)
    assert on.median_latency == pytest.approx(2.4)
    assert on.values("score") == {"p0": [1, 1, 0], "p1": [0, 0, 0]}
    assert off.answer_tokens is not None
    assert (off.answer_tokens.value, off.answer_tokens.count) == (2.0, 2)


def test_distinct_answers_and_agreement() -> None:
    answers = {"p0": ["1", "01", "2", None], "p1": ["3", "4", "5", "6"], "p2": [None] * 4}

    def tell(cell: Cell) -> Told:
        assert cell.problem is not None
        return Told(answer=answers[cell.problem.id][cell.sample])

    plan = sweep(problems(3), temperature=1.0, replicates=4)
    (cell,) = grid_cells(run_of(plan, tell))
    assert cell.distinct_answers == pytest.approx((2 + 4) / 2)  # 01 is 1; p2 says nothing
    assert cell.agreement == pytest.approx((2 / 4 + 1 / 4) / 2)  # no answer agrees with nobody
    (single,) = grid_cells(run_of(sweep(problems(3), temperature=1.0), lambda _: Told()))
    assert (single.distinct_answers, single.agreement) == (None, None)


def test_what_went_wrong_is_counted() -> None:
    ends = ["stop", "length", "failed", "cancelled"]
    plan = sweep(problems(4), temperature=1.0)

    def tell(cell: Cell) -> Told:
        assert cell.problem is not None
        return Told(reason=ends[int(cell.problem.id[1:])])

    (cell,) = grid_cells(run_of(plan, tell))
    assert (len(cell.members), cell.failed, cell.truncated) == (4, 2, 1)
    assert cell.accuracy is not None
    assert cell.accuracy.count == 2
    assert cell.request_latency is not None
    assert cell.request_latency.value < 1  # the failed one took nine seconds


def test_flags_are_counted_also_of_runs_older_than_a_flag() -> None:
    plan = sweep(problems(2), mode="off", temperature=1.0)
    (cell,) = grid_cells(run_of(plan, lambda _: Told(thinking=3)))
    assert (cell.leaked, cell.incomplete, cell.forced) == (2, 0, 0)


def test_partial_runs_keep_every_grid_cell() -> None:
    plan = small()
    run = run_of(plan, lambda _: Told(), without=range(3, len(plan)), status="interrupted")
    first, *_, last = grid_cells(run)
    assert (len(first.members), first.planned) == (2, 2)
    assert (len(last.members), last.planned, last.accuracy) == (0, 6, None)
    assert len(run.cells()) == 6
    going = run_of(plan, lambda _: Told(reason=""))
    assert [len(cell.members) for cell in grid_cells(going)] == [0] * 6


def test_whose_seconds_are_a_requests_own() -> None:
    def alone(plan: Plan, most: int | None) -> list[bool]:
        facts = {} if most is None else {"concurrency": most}
        run = replace(run_of(plan, lambda _: Told()), environment=facts)
        return [cell.alone for cell in grid_cells(run)]

    compared, swept = compare(problems(2), modes=["on", "off"]), sweep(problems(2))
    assert alone(compared, 1) == alone(compared, None) == [True, True]
    assert alone(compared, 4) == [False, False]  # executed with a concurrency of its own
    assert alone(swept, 64) == alone(swept, None) == [False]
    assert alone(swept, 1) == [True]
    cells = [replace(cell, concurrency=n) for n in (1, 8) for cell in swept.cells]
    loads = Plan("latency", tuple(cells), {"concurrency": (1, 8), "problem": ("p0", "p1")})
    assert alone(loads, 8) == [True, False]


def test_a_comparison_has_a_grid_cell_for_each_arm() -> None:
    run = run_of(compare(problems(3)), lambda cell: Told(cell.request.mode == "on"))
    cells = grid_cells(run)
    assert [dict(cell.coordinates) for cell in cells] == [
        {"mode": "on"},
        {"mode": "off"},
        {"mode": "off_prefilled"},
    ]
    assert [cell.accuracy.value for cell in cells if cell.accuracy] == [1, 0, 0]


def test_the_table_is_tidy() -> None:
    plan = sweep(problems(3), thinking_tokens=[16, None], temperature=[0.0, 1.0], replicates=2)
    table = run_of(plan, lambda _: Told(thinking=7)).cells()
    assert len(table) == 4
    assert list(table["thinking_budget"].fillna(-1)) == [16, 16, -1, -1]
    assert list(table["thinking_tokens"]) == [7.0] * 4
    wanted = {"accuracy", "accuracy_low", "accuracy_high", "planned", "generations", "forced"}
    assert wanted < set(table.columns)
    assert (table["accuracy_high"] >= table["accuracy"]).all()
    assert pd.api.types.is_numeric_dtype(table["output_tokens"])


@given(st.data())
@settings(max_examples=25)
def test_every_ended_generation_is_in_one_grid_cell(data: st.DataObject) -> None:
    plan = small()
    reasons = ["stop", "length", "failed", "cancelled", ""]
    ends = data.draw(st.lists(st.sampled_from(reasons), min_size=len(plan), max_size=len(plan)))
    rest = iter(ends)
    cells = grid_cells(run_of(plan, lambda _: Told(reason=next(rest))))
    seen = [row["index"] for cell in cells for row in cell.members]
    assert sorted(seen) == [index for index, end in enumerate(ends) if end]
    assert sum(cell.failed for cell in cells) == ends.count("failed") + ends.count("cancelled")
    assert sum(cell.planned for cell in cells) == len(plan)
