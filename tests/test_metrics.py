"""Metrics: a worked example, the identities, and every case in which one is undefined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workbench.metrics import TABLE, measure, percentiles, token_times, trace
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

THINKING, MARKER, ANSWER, RAW = Channel.THINKING, Channel.MARKER, Channel.ANSWER, Channel.RAW
METRICS = {metric.name: metric for metric in TABLE}


def generation(*events: Event) -> Generation:
    return Generation(Request((Message("user", "2 + 2?"),)), EngineSpec(), events)


def said(*names: str, of: Generation) -> list[float | None]:
    return [measure(of)[name] for name in names]


EXAMPLE = generation(
    Started(0.25, prompt_tokens=30, cached_tokens=10),
    Progress(0.5, 16, 30),
    Progress(0.75, 30, 30),
    Chunk(1.0, (7,), "<think>", MARKER, (-0.5,)),
    Chunk(1.5, (8, 9), "two and", THINKING, (-1.0, -1.5)),
    Chunk(2.0, (10,), " two", THINKING, (-1.0,)),
    Chunk(2.5, (11,), "</think>", MARKER, (-0.5,)),
    Chunk(3.5, (12,), "\n\n", ANSWER, (-0.25,)),
    Chunk(4.0, (13,), "4", ANSWER, (-0.25,)),
    Chunk(4.5, (14,), ".", ANSWER, (-1.0,)),
    Chunk(5.0, (), "", ANSWER),
    Finished(5.0, "stop"),
)


def test_what_speculation_brought() -> None:
    """Three iterations: both proposals held, the first was wrong, nothing was proposed."""
    drafted = generation(
        Started(0.0, prompt_tokens=5),
        Chunk(1.0, (1,), "a", THINKING, draft=True),
        Chunk(1.0, (2,), "b", THINKING, draft=True),
        Chunk(1.0, (3,), "</think>", MARKER),
        Chunk(2.0, (4,), "c", ANSWER, draft=False),
        Chunk(3.0, (5,), "d", ANSWER),
        Finished(3.5, "stop"),
    )
    assert measure(drafted)["draft_acceptance"] == pytest.approx(2 / 3)
    assert measure(drafted)["draft_acceptance_thinking"] == 1.0
    assert measure(drafted)["draft_acceptance_answer"] == 0.0
    assert measure(drafted)["tokens_per_step"] == pytest.approx(5 / 3)


def test_a_worked_example() -> None:
    assert measure(EXAMPLE) == pytest.approx(
        {
            "queue_time": 0.25,
            "prefill_time": 0.5,
            "first_decode_time": 0.25,
            "time_to_first_token": 1.0,
            "time_to_first_output_token": 4.0,
            "time_to_second_token": 0.5,
            "inter_token_latency": 0.5,
            "decode_duration": 3.5,
            "request_latency": 5.0,
            "thinking_time": 1.0,
            "answer_time": 1.0,
            "prompt_tokens": 30,
            "cached_tokens": 10,
            "output_tokens": 8,
            "thinking_tokens": 3,
            "marker_tokens": 2,
            "answer_tokens": 3,
            "prefill_throughput": 20.0,
            "output_token_throughput_per_user": 2.0,
            "e2e_output_token_throughput": 1.6,
            "answer_rate": 2.0,
            "thinking_efficiency": 1.0,
            "draft_acceptance": None,
            "draft_acceptance_thinking": None,
            "draft_acceptance_answer": None,
            "tokens_per_step": None,
            "mean_logprob": -0.75,
            "perplexity": math.exp(0.75),
        }
    )


def test_the_tokens_of_the_example() -> None:
    rows = token_times(EXAMPLE)
    assert [row.index for row in rows] == list(range(8))
    assert [row.id for row in rows] == list(range(7, 15))
    assert [row.t for row in rows] == [1.0, 1.5, 1.5, 2.0, 2.5, 3.5, 4.0, 4.5]
    assert [row.gap for row in rows] == [None, 0.5, 0.0, 0.5, 0.5, 1.0, 0.5, 0.5]
    assert [row.shared for row in rows] == [False, True, True, *[False] * 5]
    assert [row.channel for row in rows][:4] == [MARKER, THINKING, THINKING, THINKING]
    assert [row.logprob for row in rows][:4] == [-0.5, -1.0, -1.5, -1.0]
    assert all(row.alternatives is None for row in rows)


def test_alternatives_and_missing_logprobs_stay_with_their_token() -> None:
    best = ((3, -0.1), (4, -2.5))
    rows = token_times(
        generation(
            Started(0.0, 1),
            Chunk(1.0, (3, 4), "ab", ANSWER, (-0.1, -2.5), (best, best)),
            Chunk(1.0, (5,), "c", ANSWER),
        )
    )
    assert [row.alternatives for row in rows] == [best, best, None]
    assert [row.logprob for row in rows] == [-0.1, -2.5, None]
    assert all(row.shared for row in rows)


# --- the table ----------------------------------------------------------------------------------


def test_every_row_of_the_table_is_complete() -> None:
    assert len(METRICS) == len(TABLE)
    for metric in TABLE:
        assert metric.name.isidentifier()
        assert metric.unit in {"s", "tokens", "tokens/s", "ratio", "nats"}
        assert len(metric.formula) > 5
        assert metric.aiperf != ""
    tags = [metric.aiperf for metric in TABLE if metric.aiperf]
    assert len(set(tags)) == len(tags)


def test_a_metric_is_a_function_of_a_generation() -> None:
    assert {metric.name: metric(EXAMPLE) for metric in TABLE} == measure(EXAMPLE)


def test_units_follow_the_names() -> None:
    units = {"_tokens": "tokens", "_time": "s", "_latency": "s", "_token": "s"}
    for ending, unit in units.items():
        assert {m.unit for m in TABLE if m.name.endswith(ending)} == {unit}
    assert {m.unit for m in TABLE if "throughput" in m.name} == {"tokens/s"}


# --- where a metric is undefined ----------------------------------------------------------------

COUNTS = {
    "prompt_tokens": 5,
    "cached_tokens": 0,
    "output_tokens": 0,
    "thinking_tokens": 0,
    "marker_tokens": 0,
    "answer_tokens": 0,
}


def defined(of: Generation) -> dict[str, float]:
    return {name: value for name, value in measure(of).items() if value is not None}


def test_nothing_is_defined_before_anything_has_happened() -> None:
    assert defined(generation()) == {}


@pytest.mark.parametrize("end", [Finished(0.5, "cancelled"), Failed(0.5, "broke", "mend it")])
def test_a_request_that_never_started_has_a_latency_and_nothing_else(end: Event) -> None:
    assert defined(generation(end)) == {"request_latency": 0.5}


def test_a_request_in_its_prefill_has_waited_and_counted() -> None:
    assert defined(generation(Started(0.5, 5), Progress(0.6, 2, 5))) == {"queue_time": 0.5} | COUNTS


def test_a_stop_at_once_has_no_tokens_to_time() -> None:
    ended = generation(Started(0.5, 5), Progress(0.75, 5, 5), Finished(1.0, "stop"))
    assert defined(ended) == COUNTS | {
        "queue_time": 0.5,
        "prefill_time": 0.25,
        "request_latency": 1.0,
    }


def test_without_progress_the_prefill_is_unknown_and_the_first_token_is_not() -> None:
    one = generation(Started(0.5, 5), Chunk(1.0, (1,), "4", ANSWER), Finished(1.5, "length"))
    assert said("prefill_time", "first_decode_time", of=one) == [None, None]
    assert said("time_to_first_token", "prefill_throughput", of=one) == [1.0, 5.0]


def test_progress_that_does_not_reach_the_end_or_comes_late_is_no_end_of_the_prefill() -> None:
    chunk = Chunk(1.0, (1,), "4", ANSWER)
    for events in ([Progress(0.75, 4, 5), chunk], [chunk, Progress(1.25, 5, 5)]):
        assert said("prefill_time", of=generation(Started(0.5, 5), *events)) == [None]
    repeated = generation(Started(0.0, 5), Progress(0.5, 5, 5), Progress(0.75, 5, 5), chunk)
    assert said("prefill_time", "first_decode_time", of=repeated) == [0.75, 0.25]


def test_one_token_has_no_second_and_no_rate() -> None:
    one = generation(Started(0.5, 5), Chunk(1.0, (1,), "4", ANSWER), Finished(1.5, "length"))
    names = ["time_to_second_token", "inter_token_latency", "output_token_throughput_per_user"]
    assert said(*names, "answer_rate", of=one) == [None] * 4
    assert said("decode_duration", "answer_time", of=one) == [0.0, 0.0]


def test_tokens_of_one_stamp_have_a_latency_of_zero_and_no_throughput() -> None:
    two = generation(Started(0.5, 5), Chunk(1.0, (1, 2), "44", ANSWER))
    assert said("time_to_second_token", "inter_token_latency", of=two) == [0.0, 0.0]
    assert said("output_token_throughput_per_user", "answer_rate", of=two) == [None, None]


def test_a_request_that_goes_on_has_no_latency_yet() -> None:
    going = generation(*EXAMPLE.events[:-1])
    names = ["request_latency", "e2e_output_token_throughput"]
    assert said(*names, of=going) == [None, None]
    assert said("output_tokens", "inter_token_latency", of=going) == [8, 0.5]


def test_thinking_that_never_ends_has_no_answer() -> None:
    cut = generation(*EXAMPLE.events[:6], Finished(2.0, "length"))
    assert said("answer_tokens", "thinking_tokens", "thinking_time", of=cut) == [0, 3, 1.0]
    names = ["time_to_first_output_token", "answer_time", "answer_rate", "thinking_efficiency"]
    assert said(*names, of=cut) == [None] * 4


def test_no_thinking_takes_no_time_that_could_be_measured() -> None:
    plain = generation(Started(0.5, 5), Chunk(1.0, (1,), "4", ANSWER))
    assert said("thinking_tokens", "thinking_efficiency", "thinking_time", of=plain) == [0, 0, None]


def test_an_answer_of_white_space_is_none_and_white_space_before_it_is_not_its_beginning() -> None:
    blank = [Started(0.0, 5), Chunk(1.0, (1,), "\n ", ANSWER)]
    assert said("time_to_first_output_token", of=generation(*blank)) == [None]
    late = generation(*blank, Chunk(2.0, (), "4", ANSWER))
    assert said("time_to_first_output_token", of=late) == [2.0]


def test_an_answer_in_two_stretches_leaves_the_thinking_between_out_of_its_rate() -> None:
    chunks = [
        Chunk(float(t), (t,), "x", channel)
        for t, channel in enumerate([ANSWER, ANSWER, THINKING, THINKING, ANSWER, ANSWER, ANSWER], 1)
    ]
    split = generation(Started(0.0, 5), *chunks)
    assert said("answer_tokens", "answer_time", "answer_rate", of=split) == [5, 3.0, 1.0]


def test_what_was_never_split_counts_as_answer() -> None:
    raw = generation(Started(0.0, 5), Chunk(1.0, (1,), "4", RAW), Chunk(2.0, (2,), "2", RAW))
    names = ["answer_tokens", "output_tokens", "time_to_first_output_token", "answer_rate"]
    assert said(*names, of=raw) == [2, 2, 1.0, 1.0]


@pytest.mark.parametrize("cached", [5, 6])
def test_a_prompt_that_was_all_cached_has_no_prefill_throughput(cached: int) -> None:
    told = generation(Started(0.0, 5, cached), Chunk(1.0, (1,), "4", ANSWER))
    assert said("prefill_throughput", "cached_tokens", of=told) == [None, cached]


def test_an_instant_has_no_rate() -> None:
    instant = generation(Started(0.0, 5), Chunk(0.0, (1, 2), "4", ANSWER), Finished(0.0, "stop"))
    names = ["prefill_throughput", "e2e_output_token_throughput", "answer_rate"]
    assert said(*names, of=instant) == [None] * 3


def test_log_probabilities_are_all_or_nothing_and_finite() -> None:
    def told(*logprobs: tuple[float, ...] | None) -> list[float | None]:
        chunks = [Chunk(1.0, (1,), "x", ANSWER, one) for one in logprobs]
        return said("mean_logprob", "perplexity", of=generation(Started(0.0, 5), *chunks))

    assert told((-1.0,), (-3.0,)) == pytest.approx([-2.0, math.exp(2)])
    assert told((-1.0,), None) == [None, None]
    assert told(None) == [None, None]
    assert told((-1e6,)) == [-1e6, None]
    assert told((-math.inf,)) == [None, None]


def test_what_was_not_drawn_has_no_part_in_the_mean_log_probability() -> None:
    """The budget's closing tag may be as unlikely as it likes, or have no log-probability."""
    for closing in ((-700.0, -9.0), None):
        told = generation(
            Started(0.0, 5),
            Chunk(1.0, (1,), "a", THINKING, (-1.0,)),
            Chunk(2.0, (2, 3), "</think>", MARKER, closing, forced=True),
            Chunk(3.0, (4,), "b", ANSWER, (-3.0,)),
        )
        assert said("mean_logprob", "perplexity", of=told) == pytest.approx([-2.0, math.exp(2)])
    only = generation(Started(0.0, 5), Chunk(2.0, (2,), "</think>", forced=True))
    assert said("mean_logprob", "output_tokens", of=only) == [None, 1]


# --- properties ---------------------------------------------------------------------------------

steps = st.one_of(st.just(0.0), st.floats(1e-6, 10.0))


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    """What an engine may send, ended or not, with or without a report of the prefill."""
    now = draw(steps)
    prompt = draw(st.integers(1, 50))
    events: list[Event] = [Started(now, prompt, draw(st.integers(0, prompt)))]
    read = draw(st.lists(st.integers(0, prompt), max_size=3)) + draw(
        st.sampled_from([[], [prompt]])
    )
    events += [Progress(now := now + draw(steps), done, prompt) for done in read]
    recorded = draw(st.booleans())
    for _ in range(draw(st.integers(0, 8))):
        now += draw(steps)
        ids = tuple(draw(st.lists(st.integers(0, 9), max_size=3)))
        logprobs = tuple(draw(st.floats(-2000, 0)) for _ in ids) if recorded else None
        text = draw(st.sampled_from(["", " ", "x", "42 "]))
        events.append(Chunk(now, ids, text, draw(st.sampled_from(Channel)), logprobs))
    end = draw(st.sampled_from([None, Finished(now + 1, "stop"), Failed(now, "broke", "mend it")]))
    events += [end] if end else []
    return events if draw(st.integers(0, 9)) else events[1:]  # some lack their beginning


def has_started(events: Sequence[Event]) -> bool:
    return any(isinstance(event, Started) for event in events)


def stamps_of(events: Sequence[Event]) -> list[float]:
    return [e.t for e in events if isinstance(e, Chunk) for _ in e.ids]


@given(event_lists())
def test_every_metric_is_total_and_finite(events: list[Event]) -> None:
    for value in measure(generation(*events)).values():
        assert value is None or (math.isfinite(value) and isinstance(value, int | float))


@given(event_lists())
def test_times_and_counts_are_never_negative(events: list[Event]) -> None:
    told = measure(generation(*events))
    assert all(told[m.name] is None or told[m.name] >= 0 for m in TABLE if m.unit != "nats")  # type: ignore[operator]


@given(event_lists())
def test_queue_prefill_and_first_decode_are_the_time_to_the_first_token(
    events: list[Event],
) -> None:
    parts = said("queue_time", "prefill_time", "first_decode_time", of=generation(*events))
    (first,) = said("time_to_first_token", of=generation(*events))
    reported = any(
        isinstance(e, Progress) and e.done == e.total for e in _before_first_token(events)
    )
    if first is not None and reported and has_started(events):
        assert None not in parts
        assert sum(part for part in parts if part is not None) == pytest.approx(first)
    else:
        assert None in parts


def _before_first_token(events: Sequence[Event]) -> list[Event]:
    tokens = [i for i, e in enumerate(events) if isinstance(e, Chunk) and e.ids]
    return list(events[: tokens[0]]) if tokens else list(events)


@given(event_lists())
def test_first_token_and_the_mean_latencies_reach_the_last_token(events: list[Event]) -> None:
    stamps = stamps_of(events)
    assume(has_started(events))
    first, gap = said("time_to_first_token", "inter_token_latency", of=generation(*events))
    assert (first is None) == (not stamps)
    assert (gap is None) == (len(stamps) < 2)
    if first is not None and gap is not None:
        assert first + (len(stamps) - 1) * gap == pytest.approx(stamps[-1])


@given(event_lists())
def test_thinking_markers_and_answer_are_the_output(events: list[Event]) -> None:
    names = ["thinking_tokens", "marker_tokens", "answer_tokens", "output_tokens"]
    *parts, whole = said(*names, of=generation(*events))
    if has_started(events):
        assert sum(part for part in parts if part is not None) == whole
        assert whole == len(stamps_of(events))
    else:
        assert [*parts, whole] == [None] * 4


@given(event_lists())
def test_latency_and_throughput_are_reciprocal(events: list[Event]) -> None:
    gap, rate = said(
        "inter_token_latency", "output_token_throughput_per_user", of=generation(*events)
    )
    assert (rate is None) == (not gap)
    if gap and rate:
        assert gap * rate == pytest.approx(1)


@given(event_lists())
def test_the_rate_of_the_answer_is_that_of_its_steps(events: list[Event]) -> None:
    rows = token_times(generation(*events))
    answer = (ANSWER, RAW)
    gaps = [b.t - a.t for a, b in pairwise(rows) if a.channel in answer and b.channel in answer]
    seconds, rate = said("answer_time", "answer_rate", of=generation(*events))
    assert (seconds or 0.0) == pytest.approx(sum(gaps))
    if not trace(generation(*events)).exact:
        assert rate is None  # nobody says that the ids are all there are
        return
    assert (rate or 0.0) == pytest.approx(len(gaps) / sum(gaps) if sum(gaps) else 0.0)


@given(event_lists())
def test_token_times_are_the_tokens_in_order(events: list[Event]) -> None:
    made = generation(*events)
    rows = token_times(made)
    stamps = [row.t for row in rows]
    assert [row.id for row in rows] == list(made.ids)
    assert stamps == stamps_of(events)
    assert [row.gap for row in rows] == [None, *(b - a for a, b in pairwise(stamps))][: len(rows)]
    assert all(
        row.shared == (row.t in stamps[: row.index] + stamps[row.index + 1 :]) for row in rows
    )


@given(event_lists(), st.integers(0, 3))
def test_text_without_ids_changes_no_count_and_no_latency(events: list[Event], at: int) -> None:
    places = [i for i, e in enumerate(events) if isinstance(e, Chunk)]
    assume(len(places) > at)
    chunk = events[places[at]]
    assert isinstance(chunk, Chunk)
    rest = replace(chunk, ids=(), logprobs=None, alternatives=None)
    more = [*events[: places[at] + 1], rest, *events[places[at] + 1 :]]
    assert measure(generation(*more)) == measure(generation(*events))


# --- over generations ---------------------------------------------------------------------------


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=30))
def test_percentiles_are_numpys_and_leave_undefined_values_out(values: list[float | None]) -> None:
    told = percentiles(values)
    kept = [value for value in values if value is not None]
    percents = (1, 5, 10, 25, 50, 75, 90, 95, 99)
    assert list(told) == ["avg", "min", "max", "std", *(f"p{p}" for p in percents)]
    if not kept:
        assert set(told.values()) == {None}
        return
    assert told["min"] == min(kept)
    assert told["max"] == max(kept)
    assert told["avg"] == pytest.approx(math.fsum(kept) / len(kept), abs=1e-6)
    for p in percents:
        assert told[f"p{p}"] == pytest.approx(_linear(sorted(kept), p / 100), abs=1e-6)


def _linear(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def test_percentiles_of_a_known_list() -> None:
    told = percentiles([1.0, None, 2.0, 3.0, 4.0])
    assert told["avg"] == 2.5
    assert told["std"] == pytest.approx(math.sqrt(1.25))
    assert told["p50"] == 2.5
    assert told["p75"] == 3.25
    assert told["p99"] == pytest.approx(3.97)
    assert {type(value) for value in told.values()} == {float}
    assert percentiles(iter([7.0])) == {**dict.fromkeys(told, 7.0), "std": 0.0}
    assert not np.isnan(list(percentiles([0.0]).values())).any()
