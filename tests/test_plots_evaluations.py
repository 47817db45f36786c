"""Figures of an evaluation: what is drawn is what was measured."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from workbench.evaluation.statistics import Estimate, accuracy
from workbench.plots import evaluations


def share(right: int, count: int) -> Estimate:
    found = accuracy({f"p{n}": [float(n < right)] for n in range(count)})
    assert found is not None
    return found


def shown(arm: str, ours: Estimate | None, published: float | None) -> SimpleNamespace:
    return SimpleNamespace(arm=arm, ours=ours, published=published, words="agrees")


def test_the_verdict_has_ours_with_its_interval_and_a_mark_for_the_card() -> None:
    found = [shown("on", share(45, 50), 0.954), shown("off_prefilled", share(10, 50), None)]
    figure = evaluations.verdict(found)
    ours, card = figure.data
    assert list(ours.x) == pytest.approx([90.0, 20.0])
    one = found[0].ours
    assert ours.error_x.array[0] == pytest.approx(100 * (one.high - one.value))
    assert ours.error_x.arrayminus[0] == pytest.approx(100 * (one.value - one.low))
    assert list(card.x) == pytest.approx([95.4])
    assert list(card.y) == [0]
    assert all("agrees" in text for text in figure.layout.yaxis.ticktext)


def test_an_arm_of_which_nothing_was_graded_keeps_its_row() -> None:
    figure = evaluations.verdict([shown("on", None, 0.954), shown("off", share(1, 4), 0.366)])
    assert [list(trace.y) for trace in figure.data] == [[1], [0, 1]]
    assert len(figure.layout.yaxis.ticktext) == 2


def test_parts_have_a_row_each_and_a_colour_an_arm() -> None:
    found = {
        "level 1": {"on": share(9, 10), "off": share(3, 10)},
        "level 5": {"on": share(2, 10)},
    }
    figure = evaluations.parts(found)
    on, off = figure.data
    assert (on.name, off.name) == ("on", "off")
    assert list(on.x) == pytest.approx([90.0, 20.0])
    assert list(off.x) == pytest.approx([30.0])
    assert abs(on.y[0]) < 0.5
    assert abs(on.y[1] - 1) < 0.5
    assert on.marker.color != off.marker.color
    assert list(figure.layout.yaxis.ticktext) == ["level 1 (10)", "level 5 (10)"]


def test_lengths_are_the_shares_of_answers_that_are_no_longer() -> None:
    figure = evaluations.lengths(
        {"on": {"right": [10, 30, 20, 40], "wrong": [], "not graded": [5]}}
    )
    right, rest = figure.data
    assert right.name == "on, right (4)"
    assert list(zip(right.x, right.y, strict=True)) == [
        (10, 0),
        (10, 25),
        (20, 50),
        (30, 75),
        (40, 100),
    ]
    assert rest.name == "on, not graded (1)"
    assert right.line.dash != rest.line.dash
    assert figure.layout.xaxis.type is None
    wide = evaluations.lengths({"on": {"right": [10, 3000]}})
    assert wide.layout.xaxis.type == "log"


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    (line,) = evaluations.lengths({"on": {"right": list(range(1, 10_001))}}).data
    assert len(line.x) <= 401
    assert (line.x[0], line.x[-1], line.y[-1]) == (1, 10_000, 100)


def test_ratings_are_drawn_from_1_to_10() -> None:
    figure = evaluations.verdict([shown("on", Estimate(7.5, 7.0, 8.0, 80, share=False), 8.1)])
    assert list(figure.data[0].x) == [7.5]
    assert list(figure.data[1].x) == [8.1]
    assert "rating" in figure.layout.xaxis.title.text


def test_nothing_to_show_is_said() -> None:
    for figure in (
        evaluations.verdict([shown("on", None, 0.9)]),
        evaluations.parts({}),
        evaluations.lengths({}),
    ):
        assert not figure.data
        assert any(note.text for note in figure.layout.annotations)


def test_names_from_files_are_escaped() -> None:
    hostile = "<a href='javascript:x'>x</a>"
    figure = evaluations.parts({hostile: {hostile: share(1, 2)}})
    assert "<a" not in figure.to_json().replace("\\u003c", "<")
