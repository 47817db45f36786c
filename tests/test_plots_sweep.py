"""Figures of sweeps: every grid cell is in them at its place, what is missing is seen to be."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import plots
from workbench.errors import InvalidInput
from workbench.evaluation.statistics import difference
from workbench.plots.cells import hover, name, quantity, spread
from workbench.plots.heatmaps import _ink
from workbench.plots.labelling import _box, _hits, spots

CANARY = "<img src=x onerror=CANARY()>$\\href{javascript:CANARY()}{x}$"


def row(accuracy: float | None = 0.5, *, greedy: bool = False, **place: Any) -> dict[str, Any]:
    """A grid cell as ``GridCell.row`` has it, of eight problems."""
    done = 0 if accuracy is None else 8
    found: dict[str, Any] = {**place, "greedy": greedy, "planned": 8, "generations": done}
    found |= {"failed": 0, "truncated": 0, "incomplete": 0, "leaked": 0, "forced": 0}
    found |= {"median_latency": None, "distinct_answers": None, "agreement": None, "problems": 8}
    tokens = None if accuracy is None else 40.0 + 100 * accuracy
    seconds = None if tokens is None else tokens / 10
    for column, value in (
        ("accuracy", accuracy),
        ("output_tokens", tokens),
        ("request_latency", seconds),
    ):
        found |= {column: value, f"{column}_low": None, f"{column}_high": None}
        if value is not None:
            found |= {f"{column}_low": 0.9 * value, f"{column}_high": 1.1 * value}
    return found


def grid() -> list[dict[str, Any]]:
    """Two modes, three temperatures of which one is greedy, two values of top-p; one not run."""
    rows = []
    for mode in ("on", "off"):
        rows.append(row(0.5, greedy=True, mode=mode, temperature=0.0, top_p=0.5))
        for temperature in (0.5, 1.0):
            for top_p in (0.5, 1.0):
                late = (mode, temperature, top_p) == ("off", 1.0, 1.0)
                value = None if late else temperature * top_p
                rows.append(row(value, mode=mode, temperature=temperature, top_p=top_p))
    return rows


def budgets() -> list[dict[str, Any]]:
    shares = ((None, 0.9), (16, 0.4), (64, 0.8))
    return [row(share, thinking_budget=limit) for limit, share in shares]


def traces(made: go.Figure, kind: str, mode: str | None = None) -> list[Any]:
    return [t for t in made.data if t.type == kind and (mode is None or t.mode == mode)]


# --- heatmap ------------------------------------------------------------------------------------


def test_a_heatmap_has_a_panel_a_mode_and_greedy_fills_its_row() -> None:
    made = plots.heatmap(grid(), "top_p", "temperature")
    on, off = traces(made, "heatmap")
    assert [list(line) for line in on.z] == [[50, 50], [25, 50], [50, 100]]
    assert off.z[2][1] is None
    assert list(made.layout.yaxis.ticktext) == ["0", "0.5", "1"]
    assert [a.text for a in made.layout.annotations][:2] == ["on", "off"]
    assert made.layout.annotations[-1].text == (
        "greedy settings were asked once; they stand at every top-p"
    )


def test_cells_hold_their_numbers_and_missing_ones_a_dash() -> None:
    made = plots.heatmap(grid(), "top_p", "temperature")
    _, off = traces(made, "scatter", "text")
    assert list(off.text) == ["50", "50", "25", "50", "50", "–"]
    assert "no value" not in "".join(off.text)


def test_the_interval_is_in_the_hover() -> None:
    made = plots.heatmap(grid(), "top_p", "temperature")
    on, off = traces(made, "heatmap")
    assert on.customdata[1][0] == (
        "<b>on, temperature 0.5, top-p 0.5</b><br>right answers: 25% (95%: 22% to 28%)"
        "<br>8 answers to 8 problems"
    )
    assert "<b>on, greedy</b>" in on.customdata[0][0]
    assert "0 of 8 answers so far" in off.customdata[2][1]


def test_a_heatmap_reads_the_table_itself_and_other_quantities() -> None:
    made = plots.heatmap(pd.DataFrame(grid()), "temperature", "mode", "output_tokens")
    first, second = traces(made, "heatmap")
    assert list(first.z[1]) == [90, 65, 90]  # names are read from the top: on
    assert second.z[0][2] is None
    assert (made.layout.coloraxis.cmin, made.layout.coloraxis.cmax) == (65, 140)


@given(st.floats(0, 1))
def test_numbers_stand_out_from_their_cells(fraction: float) -> None:
    assert _ink(fraction) in ("#000000", "#FFFFFF")
    assert _ink(0) == "#FFFFFF"
    assert _ink(1) == "#000000"


def test_a_budget_of_none_comes_last() -> None:
    rows = [{**one, "mode": "on"} for one in budgets()]
    rows = [
        {"mode": mode, **{k: v for k, v in one.items() if k != "mode"}}
        for mode in ("on", "off")
        for one in rows
    ]
    made = plots.heatmap(pd.DataFrame(rows), "thinking_budget", "mode")
    assert list(made.layout.xaxis.ticktext) == ["16", "64", "no budget"]
    assert list(traces(made, "heatmap")[0].z[0]) == [40, 80, 90]


# --- curves -------------------------------------------------------------------------------------


def test_curves_have_a_line_a_value_and_a_panel_a_mode() -> None:
    made = plots.curves(grid(), "temperature")
    lines = traces(made, "scatter", "lines+markers")
    assert [(t.name, list(t.x), list(t.y)) for t in lines] == [
        ("top-p 0.5", [0, 0.5, 1], [50, 25, 50]),
        ("top-p 1", [0, 0.5, 1], [50, 50, 100]),
        ("top-p 0.5", [0, 0.5, 1], [50, 25, 50]),
        ("top-p 1", [0, 0.5], [50, 50]),
    ]
    assert [t.showlegend for t in lines] == [True, True, False, False]
    assert lines[0].line.color == lines[2].line.color != lines[1].line.color
    by_mode = plots.curves(grid(), "temperature", by="mode")
    assert {t.name for t in traces(by_mode, "scatter", "lines+markers")} == {"on", "off"}


def test_the_band_is_the_interval() -> None:
    made = plots.curves([row(0.5, temperature=0.2), row(0.8, temperature=0.6)], "temperature")
    (band,) = traces(made, "scatter", "lines")
    assert band.fill == "toself"
    assert list(band.x) == [0.2, 0.6, 0.6, 0.2]
    assert list(band.y) == pytest.approx([55, 88, 72, 45])
    assert not any(t.showlegend for t in made.data)


def test_the_budget_curve_has_three_panels_and_its_limit_at_the_right() -> None:
    made = plots.budget(pd.DataFrame(budgets()))
    lines = traces(made, "scatter", "lines+markers")
    assert [list(t.y) for t in lines] == [[40, 80, 90], [80, 120, 130], [8, 12, 13]]
    assert [list(t.x) for t in lines] == [[0, 1, 2]] * 3
    assert list(made.layout.xaxis3.ticktext) == ["16", "64", "no budget"]
    limits = [t for t in traces(made, "scatter", "lines") if t.line.dash == "dot"]
    assert [list(t.y) for t in limits] == [[90, 90], [130, 130], [13, 13]]


# --- Pareto front -------------------------------------------------------------------------------


def test_the_front_holds_what_nothing_beats() -> None:
    shares = {
        0.1: (0.5, 50.0),
        0.2: (0.4, 60.0),
        0.3: (0.7, 80.0),
        0.4: (0.7, 90.0),
        0.5: (0.9, 300),
    }
    rows = [
        {**row(share, temperature=heat), "output_tokens": tokens}
        for heat, (share, tokens) in shares.items()
    ]
    made = plots.pareto(rows)
    (front,) = traces(made, "scatter", "lines")
    assert (list(front.x), list(front.y)) == ([50, 80, 300], [50, 70, 90])
    named = [a.text for a in made.layout.annotations]
    assert named == ["temperature 0.1", "temperature 0.3", "temperature 0.5"]
    (points,) = traces(made, "scatter", "markers")
    assert len(points.x) == 5
    assert list(points.error_y.array)[:1] == pytest.approx([5])


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 10)), min_size=1, max_size=12))
@settings(max_examples=30)
def test_nothing_beats_the_front_and_something_beats_all_else(
    points: list[tuple[int, int]],
) -> None:
    rows = [
        {**row(right / 10, top_k=number), "output_tokens": float(tokens)}
        for number, (tokens, right) in enumerate(points)
    ]
    (front,) = traces(plots.pareto(rows), "scatter", "lines")
    kept = {(x, round(y / 10)) for x, y in zip(front.x, front.y, strict=True)}
    for tokens, right in points:
        beaten = any(t <= tokens and r >= right and (t, r) != (tokens, right) for t, r in points)
        assert ((tokens, right) in kept) is not beaten


def test_a_wide_span_of_costs_is_drawn_logarithmically() -> None:
    rows = [
        {**row(0.5, mode=mode), "output_tokens": t} for mode, t in (("on", 900.0), ("off", 9.0))
    ]
    made = plots.pareto(rows)
    assert made.layout.xaxis.type == "log"
    (front,) = [a for a in made.layout.annotations if a.text == "off"]
    assert front.x == pytest.approx(0.954, abs=0.001)  # annotations want the power of ten
    assert {t.name for t in traces(made, "scatter", "markers")} == {"on", "off"}


@given(st.lists(st.tuples(st.floats(80, 600), st.floats(60, 260)), min_size=1, max_size=4))
@settings(max_examples=40)
def test_names_do_not_cover_one_another(points: list[tuple[float, float]]) -> None:
    named = [("temperature 0.6", x, y) for x, y in points]
    boxes = [
        _box(spot, x, y, 6.3 * len(text) + 6)
        for spot, (text, x, y) in zip(spots(named, points), named, strict=True)
    ]
    for number, box in enumerate(boxes):
        assert not _hits(box, boxes[:number])


# --- differences --------------------------------------------------------------------------------


def test_differences_say_which_chance_can_explain() -> None:
    many = {f"p{i}": [1.0] for i in range(10)}
    none = {f"p{i}": [0.0] for i in range(10)}
    some = {f"p{i}": [float(i > 0)] for i in range(10)}
    found = {
        "far": difference(many, none, share=True),
        "near": difference(many, some, share=True),
    }
    made = plots.differences({key: gap for key, gap in found.items() if gap is not None})
    far, near = made.data
    assert (far.name, list(far.x), list(far.y)) == ("more than chance explains", [100], [0])
    assert (near.name, list(near.x), list(near.y)) == ("chance can explain it", [10], [1])
    assert list(made.layout.yaxis.ticktext) == ["far", "near"]
    tokens = difference({"a": [5.0], "b": [7.0]}, {"a": [1.0], "b": [2.0]})
    assert tokens is not None
    told = plots.differences({"x": tokens}, unit="tokens").data[0].customdata[0][1]
    assert told == "+4.5 tokens<br>95% interval +4 to +5<br>p = 0.5<br>2 problems"


# --- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        plots.heatmap([], "temperature", "top_p"),
        plots.heatmap([row(None, temperature=1.0, top_p=1.0)], "temperature", "top_p"),
        plots.curves([], "temperature"),
        plots.curves([row(None, temperature=1.0)], "temperature"),
        plots.budget([]),
        plots.budget([row(None, thinking_budget=None)]),
        plots.pareto([]),
        plots.pareto([row(None, temperature=1.0)]),
        plots.differences({}),
    ],
)
def test_nothing_to_show_is_said_in_the_figure(made: go.Figure) -> None:
    (why,) = made.layout.annotations
    assert "yet" in why.text
    assert not made.data


@pytest.mark.parametrize(
    "draw",
    [
        lambda rows: plots.heatmap(rows, "moon", "top_p"),
        lambda rows: plots.heatmap(rows, "temperature", "accuracy"),
        lambda rows: plots.heatmap(rows, "temperature", "top_p", "beauty"),
        lambda rows: plots.curves(rows, "moon"),
        lambda rows: plots.curves(rows, "temperature", by="moon"),
        plots.budget,
        lambda rows: plots.pareto(rows, "beauty"),
    ],
)
def test_axes_and_quantities_that_are_none_are_refused(draw: Any) -> None:
    with pytest.raises(InvalidInput, match="Choose from"):
        draw(grid())


def test_names_from_outside_are_neither_markup_nor_mathematics() -> None:
    rows = [row(0.5, model=CANARY, temperature=t) for t in (0.5, 1.0)]
    rows += [row(0.7, model="demo", temperature=t) for t in (0.5, 1.0)]
    figures = [
        plots.heatmap(rows, "temperature", "model"),
        plots.curves(rows, "temperature"),
        plots.curves(rows, "model", by="temperature"),
        plots.pareto(rows),
        plots.differences({CANARY: gap} if (gap := difference({"a": [1.0]}, {"a": [0.0]})) else {}),
    ]
    for made in figures:
        text = made.to_json()
        assert "CANARY" in text
        assert "<img" not in text.replace("\\u003c", "<")
        assert "$\\\\href" not in text


def test_seconds_of_a_batch_are_called_so() -> None:
    rows = [{**one, "alone": False} for one in budgets()]
    for made in (plots.budget(rows), plots.pareto(rows, "request_latency")):
        assert "seconds are those of a batch" in made.layout.annotations[-1].text
    assert "batch" not in plots.pareto(rows).to_json()
    assert "batch" not in plots.budget(budgets()).to_json()


def test_many_settings_are_cut_and_it_is_said() -> None:
    rows = [row(0.5, top_k=k, temperature=t) for k in range(30) for t in (0.5, 1.0)]
    assert "21 of 30 lines" in plots.curves(rows, "temperature").layout.annotations[-1].text
    wide = [row(0.5, top_k=k, temperature=t, mode="on") for k in range(15) for t in (0.5, 1.0)]
    made = plots.heatmap(wide, "temperature", "mode")
    assert len(traces(made, "heatmap")) == 12
    assert "12 of 15 panels" in made.layout.annotations[-1].text


def test_spreading_changes_nothing_else() -> None:
    rows = grid()
    spread_out = spread(rows, ["mode", "temperature", "top_p"])
    assert len(spread_out) == len(rows) + 2
    assert [one for one in spread_out if not one["greedy"]] == [r for r in rows if not r["greedy"]]
    assert spread(rows, ["mode", "temperature"]) == rows
    assert name(rows[0], rows[:1]) == "the one setting"
    assert hover({**rows[1], "failed": 2}, rows, quantity("accuracy")).endswith("<br>2 failed")
