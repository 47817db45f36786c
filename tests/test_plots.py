"""Figures say what the events say: every second and every token is in them, once."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import metrics, plots
from workbench.evaluation.statistics import Estimate
from workbench.metrics import TokenTime
from workbench.plots.phases import Token, segments, tokens
from workbench.plots.style import PHASES, label
from workbench.plots.thinning import Point, medians, thinned
from workbench.records import (
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Failed,
    Finished,
    Generation,
    Message,
    Progress,
    Request,
    Started,
)

T, M, A = Channel.THINKING, Channel.MARKER, Channel.ANSWER


def generation(*events: Event, label: str = "a question") -> Generation:
    return Generation(Request((Message("user", "?"),), label=label), EngineSpec(), events)


def thinker() -> Generation:
    return generation(
        Started(0.5, 10),
        Progress(1.0, 5, 10),
        Progress(1.5, 10, 10),
        Chunk(2.0, (1,), "<think>", M, (-0.1,)),
        Chunk(2.1, (2,), "so", T, (-0.2,)),
        Chunk(2.3, (3, 4), "it is", T, (-0.3, -0.4)),
        Chunk(2.4, (5,), "</think>", M, (-0.5,)),
        Chunk(2.8, (6,), "4", A, (-3.0,)),
        Finished(3.0, "stop"),
    )


def answerer() -> Generation:
    return generation(
        Started(0.0, 10),
        Progress(0.2, 10, 10),
        Chunk(0.3, (6,), "5", A),
        Chunk(0.4, (7,), "!", A),
        Finished(0.4, "length"),
    )


def long(count: int, every: int = 1000) -> Generation:
    """So many tokens, 10 ms apart, but each ``every``-th after a second."""
    gaps = np.where(np.arange(count) % every == every - 1, 1.0, 0.01)
    times = np.cumsum(gaps)
    chunks = [Chunk(float(t), (i,), "x", T) for i, t in enumerate(times)]
    return generation(Started(0.0, 1), *chunks, Finished(float(times[-1]), "length"))


# --- phases -------------------------------------------------------------------------------------


def test_phases_follow_one_another_from_submission_to_end() -> None:
    found = [(s.phase, s.begin, s.end, s.tokens) for s in segments(thinker())]
    assert found == [
        ("queue", 0.0, 0.5, 0),
        ("prefill", 0.5, 1.5, 0),
        ("first token", 1.5, 2.0, 1),
        ("thinking", 2.0, 2.3, 3),
        ("think tags", 2.3, 2.4, 1),
        ("answer", 2.4, 2.8, 1),
        ("stop token", 2.8, 3.0, 0),
    ]


def test_a_generation_that_never_began_has_no_phases() -> None:
    assert segments(generation()) == []
    assert segments(generation(Failed(0.1, "no", ""))) == []


def test_what_follows_the_last_token_of_a_cancelled_answer_is_not_a_stop_token() -> None:
    cancelled = generation(Started(0.0, 1), Chunk(1.0, (1,), "a", A), Finished(1.5, "cancelled"))
    assert [s.phase for s in segments(cancelled)] == ["first token", "answer"]
    unread = generation(Started(0.0, 1), Finished(0.5, "cancelled"))
    assert [(s.phase, s.seconds) for s in segments(unread)] == [("prefill", 0.5)]


@st.composite
def generations(draw: st.DrawFn) -> Generation:
    steps = st.floats(0, 2, allow_nan=False)
    t = draw(steps)
    events: list[Event] = [Started(t, 3)]
    if draw(st.booleans()):
        t += draw(steps)
        events.append(Progress(t, 3, 3))
    for _ in range(draw(st.integers(0, 12))):
        t += draw(steps)
        ids = tuple(range(draw(st.integers(0, 3))))
        events.append(Chunk(t, ids, "x", draw(st.sampled_from([T, M, A]))))
    t += draw(steps)
    return generation(*events, Finished(t, draw(st.sampled_from(["stop", "length", "cancelled"]))))


@given(generations())
def test_no_time_is_lost_and_no_token(one: Generation) -> None:
    found = segments(one)
    measured = metrics.measure(one)
    assert sum(s.seconds for s in found) == pytest.approx(measured["request_latency"])
    assert all(before.end == after.begin for before, after in pairwise(found))
    assert sum(s.tokens for s in found) == len(tokens(one)) == measured["output_tokens"]


# --- figures ------------------------------------------------------------------------------------


def test_the_timeline_has_a_bar_for_every_phase_of_every_generation() -> None:
    figure = plots.timeline({"on": [thinker()], "off": [answerer()]}, subtitle="2 + 2?")
    lengths: Counter[int] = Counter()
    for bar in figure.data:
        for row, seconds in zip(bar.y, bar.x, strict=True):
            lengths[row] += seconds
    assert lengths == pytest.approx({0: 3.0, 1: 0.4})
    assert list(figure.layout.yaxis.ticktext) == ["on", "off"]
    thinking = next(bar for bar in figure.data if bar.name == "thinking")
    assert (list(thinking.base), list(thinking.y)) == ([2.0], [0])
    assert figure.layout.title.subtitle.text == "2 + 2?"
    assert figure.layout.xaxis.title.text == "seconds since the request was submitted"


def test_the_timeline_numbers_repeats_and_says_what_it_leaves_out() -> None:
    figure = plots.timeline({"on": [thinker(), thinker()], "off": [answerer()] * 60})
    names = list(figure.layout.yaxis.ticktext)
    assert len(names) == 40
    assert names[:3] == ["on 1", "on 2", "off 1"]
    assert {row for bar in figure.data for row in bar.y} == set(range(40))
    assert "the first 40 of 62" in figure.layout.title.subtitle.text


def test_costs_are_the_means_of_the_metrics() -> None:
    arms = {"on": [thinker(), thinker()], "off": [answerer()]}
    figure = plots.cost(arms)
    totals: dict[tuple[str, int], float] = Counter()
    for bar in figure.data:
        for row, value in zip(bar.y, bar.x, strict=True):
            totals[bar.xaxis or "x", row] += value
    assert totals == pytest.approx({("x", 0): 6, ("x", 1): 2, ("x2", 0): 3.0, ("x2", 1): 0.4})
    assert list(figure.layout.yaxis2.ticktext) == ["on", "off"]
    assert [figure.layout.xaxis.title.text, figure.layout.xaxis2.title.text] == [
        "tokens",
        "seconds",
    ]
    assert {bar.name: list(bar.x) for bar in figure.data if not bar.xaxis or bar.xaxis == "x"} == {
        "thinking": [3, 0],
        "think tags": [2, 0],
        "answer": [1, 2],
    }


def test_failed_and_cancelled_generations_cost_nothing() -> None:
    failed = generation(Started(0.0, 1), Chunk(9.0, (1,), "a", A), Failed(9.9, "no", ""))
    figure = plots.cost({"on": [thinker(), failed], "off": [failed]})
    assert list(figure.layout.yaxis.ticktext) == ["on"]
    assert figure.layout.title.subtitle.text == "means over 1 answer an arm"


def test_every_gap_is_drawn_at_its_token_in_milliseconds() -> None:
    figure = plots.inter_token_latency({"on": [thinker()]})
    points = {
        trace.name: dict(zip(map(int, trace.x), map(float, trace.y), strict=True))
        for trace in figure.data
        if trace.mode == "markers"
    }
    assert points["thinking"] == pytest.approx({1: 100, 2: 200}, rel=1e-5)
    assert points["think tags"] == pytest.approx({4: 100}, rel=1e-5)
    assert points["answer"] == pytest.approx({5: 400}, rel=1e-5)
    assert figure.layout.yaxis.title.text == "inter-token latency, ms"


def test_the_latency_axis_is_logarithmic_only_when_a_gap_stands_out() -> None:
    assert plots.inter_token_latency({"on": [thinker()]}).layout.yaxis.type is None
    assert plots.inter_token_latency({"on": [long(2000)]}).layout.yaxis.type == "log"


def test_log_probabilities_are_drawn_as_recorded() -> None:
    figure = plots.log_probability({"on": [thinker()], "off": [answerer()]})
    values = sorted(float(y) for trace in figure.data if trace.mode == "markers" for y in trace.y)
    assert values == pytest.approx([-3.0, -0.5, -0.4, -0.3, -0.2, -0.1])
    assert [note.text for note in figure.layout.annotations] == ["on"]
    assert figure.layout.yaxis.title.text == "log-probability, nats"


def test_thirty_two_thousand_tokens_are_thinned_and_a_note_says_so() -> None:
    one = long(32_000)
    begun = time.perf_counter()
    figure = plots.inter_token_latency({"on": [one], "off": [answerer()]})
    size = len(figure.to_json())
    print(f"{time.perf_counter() - begun:.2f} s, {size:,} bytes")
    drawn = [trace for trace in figure.data if trace.mode == "markers"]
    assert sum(len(trace.x) for trace in drawn) <= 3001
    assert size < 1_000_000
    slowest = [float(y) for trace in drawn for y in trace.y if y > 500]
    assert len(slowest) == 32
    assert any("3,000 of up to 31,999" in note.text for note in figure.layout.annotations)
    assert any(trace.mode == "lines" for trace in figure.data)


POINTS = st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1e3)), min_size=1, max_size=200)


def points(pairs: list[tuple[int, float]]) -> list[Point]:
    def token(index: int) -> Token:
        return Token(TokenTime(index, 0, 0.0, None, A, None, None, False), "answer", "x")

    return [Point(token(index), value, "") for index, value in pairs]


@given(POINTS, st.integers(2, 60), st.booleans())
def test_thinning_keeps_the_extreme_and_invents_nothing(
    pairs: list[tuple[int, float]], most: int, highest: bool
) -> None:
    given_ = points(pairs)
    kept = thinned(given_, most, highest=highest)
    assert len(kept) == len(given_) if len(given_) <= most else len(kept) <= most
    extreme = max if highest else min
    assert extreme(p.value for p in kept) == extreme(p.value for p in given_)
    rest = [id(point) for point in given_]
    assert len({id(point) for point in kept}) == len(kept)
    assert all(id(point) in rest for point in kept)


@given(POINTS)
def test_medians_stay_within_the_values(pairs: list[tuple[int, float]]) -> None:
    x, y = medians(points(pairs))
    assert 1 <= len(x) == len(y) <= max(1, min(80, len(pairs) // 5))
    assert list(x) == sorted(x)
    assert y.min() >= min(v for _, v in pairs)
    assert y.max() <= max(v for _, v in pairs)


def test_accuracy_has_a_line_an_arm_and_a_heading_a_group() -> None:
    figure = plots.accuracy(
        {
            "all": {"on": Estimate(0.75, 0.5, 0.9, 20), "off": Estimate(0.0, None, None, 20)},
            "easy": {"on": Estimate(1.0, 0.7, 1.0, 10)},
        }
    )
    assert list(figure.layout.yaxis.ticktext) == [
        "<b>all (n = 20)</b>",
        "on",
        "off",
        "<b>easy (n = 10)</b>",
        "on",
    ]
    dots = figure.data[0]
    assert list(dots.x) == [75, 0, 100]
    assert list(dots.y) == [1, 2, 4]
    assert list(dots.error_x.array) == pytest.approx([15, 0, 0])
    assert list(dots.error_x.arrayminus) == pytest.approx([25, 0, 30])
    assert figure.layout.xaxis.title.text == "right answers, %"


def test_one_group_needs_no_heading() -> None:
    figure = plots.accuracy({"all": {"on": Estimate(1.0, 0.2, 1.0, 2)}})
    assert list(figure.layout.yaxis.ticktext) == ["on"]


@pytest.mark.parametrize(
    "figure",
    [
        plots.timeline({}),
        plots.timeline({"on": [generation()]}),
        plots.cost({"on": []}),
        plots.inter_token_latency({"on": []}),
        plots.log_probability({"off": [answerer()]}),
        plots.accuracy({}),
        plots.accuracy({"all": {}}),
    ],
)
def test_nothing_to_show_is_said_in_the_figure(figure: go.Figure) -> None:
    assert len(figure.data) == 0
    assert len(figure.layout.annotations) == 1
    assert figure.layout.annotations[0].text.endswith(".")
    assert figure.layout.title.text


def test_colours_are_those_of_okabe_and_ito_and_pages_may_be_dark() -> None:
    palette = {"#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#999999"}
    assert set(PHASES.values()) == palette
    look = plots.cost({"on": [thinker()]}).layout.template.layout
    assert look.paper_bgcolor == look.plot_bgcolor == "rgba(0,0,0,0)"
    assert contrast(look.font.color, "#FFFFFF") > 3.5
    assert contrast(look.font.color, "#111111") > 3.5


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_arms_of_equal_labels_keep_their_rows() -> None:
    names = ["/a/very/long/folder" * 9 + end for end in "xy"]
    figure = plots.timeline({name: [answerer()] for name in names})
    assert {row for bar in figure.data for row in bar.y} == {0, 1}
    assert label(names[0]) == label(names[1])


def test_labels_are_neither_markup_nor_mathematics() -> None:
    assert label("<a href='x'>&") == "&lt;a href='x'&gt;&amp;"
    assert "$" not in label(r"$\href{javascript:x}{y}$")
    assert label("a\nb\x1b[0m") == "a b␛[0m"
    assert len(label("x" * 1_000_000)) == 60
