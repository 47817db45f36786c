"""The figure of other settings shows the grid's figures, and says where they are open."""

from __future__ import annotations

import math
from typing import Any

import pytest

from workbench import plots
from workbench.counterfactual import grid
from workbench.errors import InvalidInput
from workbench.records import (
    Channel,
    Chunk,
    EngineSpec,
    Generation,
    Message,
    Request,
    Sampling,
    Started,
)

NARROW = ((7, 0.75), (3, 0.2), (1, 0.0499))
BROAD = ((7, 0.3), (3, 0.25), (1, 0.2))


def generation(*ranks: tuple[tuple[int, float], ...], **asked: Any) -> Generation:
    chunks = [
        Chunk(1.0, (7,), "x", Channel.ANSWER, None, (tuple((i, math.log(p)) for i, p in rank),))
        for rank in ranks
    ]
    request = Request((Message("user", "?"),), **({"alternatives": 3} | asked))
    return Generation(request, EngineSpec(), (Started(0.0, 1), *chunks))


def test_every_field_is_a_mean_of_the_grid() -> None:
    one = generation(NARROW, NARROW)
    made = plots.counterfactual({"on": [one]}, temperatures=(0.5, 1.0), top_ps=(0.5, 0.9, 1.0))
    rows = grid(one, (0.5, 1.0), (0.5, 0.9, 1.0))
    sizes, entropies, known = made.data
    assert [list(sizes.y), list(sizes.x)] == [["0.5", "1"], ["0.5", "0.9", "1"]]
    assert sizes.text.ravel().tolist() == ["1", "1", "≥ 4", "1", "2", "≥ 4"]
    assert sizes.z.ravel() == pytest.approx([math.log(row.size.low or 0) for row in rows], abs=0.01)
    assert entropies.text.ravel().tolist()[:5] == [f"{row.entropy.value:.3f}" for row in rows[:5]]
    assert known.z.ravel() == pytest.approx([100 * (row.entropy.coverage or 0) for row in rows])
    assert made.layout.yaxis.title.text == "temperature"
    assert "2 tokens an arm" in made.layout.title.subtitle.text


def test_what_is_open_is_drawn_as_the_least_and_told_in_full() -> None:
    made = plots.counterfactual(
        {"on": [generation(BROAD)]}, temperatures=[1.0], top_ps=[0.9], vocabulary=50
    )
    sizes, entropies, known = made.data
    assert (sizes.text[0][0], known.text[0][0]) == ("≥ 4", "0")
    assert "at least 4, at most 50" in sizes.customdata[0][0]
    assert "known of 0.0% of 1 tokens" in sizes.customdata[0][0]
    assert entropies.text[0][0].startswith("≥ 1.")


def test_arms_have_a_row_each_on_one_scale_and_labels_are_no_markup() -> None:
    made = plots.counterfactual(
        {"<b>on</b>": [generation(NARROW)], "off": [generation(BROAD, NARROW)]}, vocabulary=50
    )
    assert len(made.data) == 6
    assert [made.data[i].zmax for i in range(3)] == [made.data[i].zmax for i in range(3, 6)]
    titles = [note.text for note in made.layout.annotations]
    assert titles[0] == "&lt;b&gt;on&lt;/b&gt; · tokens kept"
    assert titles[3] == "off · tokens kept"
    assert "1–2 tokens an arm" in made.layout.title.subtitle.text
    assert "<b>&lt;b&gt;on" in made.data[0].customdata[0][0]


@pytest.mark.parametrize(
    "arms", [{}, {"on": []}, {"on": [generation()]}, {"on": [generation(NARROW, alternatives=0)]}]
)
def test_without_alternatives_the_figure_says_so(arms: dict[str, list[Generation]]) -> None:
    made = plots.counterfactual(arms)
    assert len(made.data) == 0
    assert "alternatives=20" in made.layout.annotations[0].text


def test_a_draw_from_something_else_is_refused() -> None:
    penalised = generation(NARROW, sampling=Sampling(repetition_penalty=1.2))
    with pytest.raises(InvalidInput):
        plots.counterfactual({"on": [penalised]})
