from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import codec, records
from workbench.codec import Record, event_from_json, from_json, to_json
from workbench.errors import InvalidInput
from workbench.records import (
    Cell,
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Failed,
    Finished,
    Generation,
    Message,
    Mode,
    Plan,
    Problem,
    Progress,
    Request,
    Sampling,
    Score,
    Started,
)

# JSON cannot tell two lone surrogates in a row from the character they make together.
texts = st.text() | st.text().map(lambda text: "\ud83d" + text) | st.just("\x00\u2028</script>")
counts = st.integers(0, 2**31 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
logprobs = st.floats(max_value=0, allow_nan=False)
alternatives = st.lists(st.tuples(counts, logprobs).map(tuple), max_size=3).map(tuple)
messages = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts)
samplings = st.builds(
    Sampling,
    temperature=st.floats(0, 1e6),
    top_p=st.floats(0, 1, exclude_min=True),
    top_k=counts,
    min_p=st.floats(0, 1),
    repetition_penalty=st.floats(0, 10, exclude_min=True),
    max_tokens=st.none() | st.integers(1, 2**31 - 1),
    seed=st.integers(0, 2**64 - 1),
    stop=st.lists(st.text(min_size=1), max_size=2).map(tuple),
)
requests = st.builds(
    Request,
    st.lists(messages, max_size=2).map(lambda turns: (*turns, Message("user", "Why?"))),
    st.sampled_from(Mode),
    samplings,
    texts,
    st.booleans(),
    st.integers(0, 1000),
)
specs = st.builds(
    EngineSpec,
    kind=texts,
    model=texts,
    revision=st.none() | texts,
    context=st.none() | counts,
    max_batch=counts,
    synthetic=st.booleans(),
)
events = st.one_of(
    st.builds(Started, floats, counts, counts),
    st.builds(Progress, floats, counts, counts),
    st.builds(
        Chunk,
        floats,
        st.lists(counts, max_size=3).map(tuple),
        texts,
        st.sampled_from(Channel),
        st.none() | st.lists(logprobs, max_size=3).map(tuple),
        st.none() | st.lists(alternatives, max_size=3).map(tuple),
    ),
    st.builds(Finished, floats, st.sampled_from(["stop", "length", "cancelled"])),
    st.builds(Failed, floats, texts, texts),
)
generations = st.builds(Generation, requests, specs, st.lists(events, max_size=4).map(tuple))
problems = st.builds(Problem, texts, texts, st.none() | texts, texts)
cells = st.builds(Cell, specs, requests, st.none() | problems, counts)
scalars = st.none() | st.booleans() | st.integers() | floats | texts
axis_values = st.recursive(
    scalars | st.sampled_from(Mode) | st.sampled_from(Channel) | samplings | specs | problems,
    lambda values: st.lists(values, max_size=2).map(tuple),
    max_leaves=3,
)
plans = st.builds(
    Plan,
    texts,
    st.lists(cells, max_size=2).map(tuple),
    st.dictionaries(texts, st.lists(axis_values, max_size=3).map(tuple), max_size=2),
)
scores = st.builds(Score, texts, counts, st.none() | floats, st.none() | texts, texts)


def through_text(record: Record) -> Any:
    return codec.loads(codec.dumps(to_json(record)))


@given(
    st.one_of(
        messages, samplings, requests, specs, events, generations, problems, cells, plans, scores
    )
)
def test_every_record_comes_back_equal(record: Record) -> None:
    assert from_json(type(record), through_text(record)) == record


def test_every_record_of_the_house_has_json() -> None:
    nouns = {kind for kind in vars(records).values() if dataclasses.is_dataclass(kind)}
    assert nouns == set(get_args(Record))


@given(events)
def test_events_are_told_apart_by_their_type(event: Event) -> None:
    data = through_text(event)
    assert data["type"] == type(event).__name__.lower()
    assert event_from_json(data) == event


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_exact(value: float) -> None:
    back = from_json(Chunk, through_text(Chunk(value, (), "", logprobs=(value,))))
    assert (back.t.hex(), back.logprobs[0].hex()) == (value.hex(), value.hex())


def test_json_is_strict_even_where_a_log_probability_is_infinite() -> None:
    infinite = -float("inf")
    chunk = Chunk(0.5, (1,), "a", Channel.ANSWER, (infinite,), (((2, infinite), (3, -1.5)),))
    data = json.loads(codec.dumps(to_json(chunk)), parse_constant=pytest.fail)
    assert data["logprobs"] == ["-Infinity"]
    assert data["alternatives"] == [[[2, "-Infinity"], [3, -1.5]]]
    assert from_json(Chunk, data) == chunk


def test_a_plan_may_vary_numbers_of_numpy() -> None:
    plan = Plan("sweep", (), {"temperature": tuple(np.linspace(0, 1, 3)), "k": (np.int64(4),)})
    back = from_json(Plan, through_text(plan))
    assert back.axes == {"temperature": (0.0, 0.5, 1.0), "k": (4,)}
    assert type(back.axes["k"][0]) is int


@pytest.mark.parametrize("value", [object(), [1, 2], {"a": 1}, b"bytes", {1}])
def test_an_axis_that_would_not_come_back_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="A plan cannot be stored"):
        to_json(Plan("sweep", (), {"odd": (value,)}))


def test_a_field_of_a_foreign_type_is_refused() -> None:
    with pytest.raises(InvalidInput, match="A Score cannot be written"):
        to_json(Score("p", 0, 1.0, None, object()))  # type: ignore[arg-type]


def test_a_newer_writer_may_add_fields_and_leave_out_defaults() -> None:
    data = {"messages": [{"role": "user", "text": "Hi", "mood": 1}], "novelty": {"a": [1]}}
    assert from_json(Request, data) == Request((Message("user", "Hi"),))
    assert event_from_json({"type": "started", "t": 1, "prompt_tokens": 3, "x": 0}) == Started(1, 3)


@pytest.mark.parametrize("data", [{"type": "paused", "t": 0.0}, {"t": 0.0}, None, [], {"type": 3}])
def test_an_unknown_event_is_refused(data: Any) -> None:
    with pytest.raises(InvalidInput, match=r"not a valid event.*known are started, progress"):
        event_from_json(data)


def test_an_event_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="it is of type Finished"):
        from_json(Chunk, to_json(Finished(1.0, "stop")))


@pytest.mark.parametrize(
    ("kind", "data", "where"),
    [
        (Message, {"role": "tool", "text": ""}, r"\$\.role"),
        (Sampling, {"top_k": 1.5}, r"\$\.top_k"),
        (Sampling, {"temperature": "0.6"}, r"\$\.temperature"),
        (Request, {"messages": [{"role": "user"}]}, r"\$\.messages\[0\]"),
        (Chunk, {"type": "chunk", "t": 0, "ids": [1], "text": "", "channel": "side"}, r"\.channel"),
        (Chunk, {"type": "chunk", "t": 0, "ids": [1], "text": "", "logprobs": ["-1"]}, "logprobs"),
        (Generation, {"request": {}}, "messages"),
        (Generation, [], "TypeError"),
        (Plan, {"kind": "sweep", "cells": []}, "axes"),
        (Plan, {"kind": "sweep", "cells": [], "axes": {"a": [{"type": "file"}]}}, "file"),
        (Plan, {"kind": "sweep", "cells": [], "axes": {"a": [{}]}}, "type"),
        (Plan, {"kind": "sweep", "cells": [], "axes": [1]}, "AttributeError"),
    ],
)
def test_what_is_not_a_record_is_refused_saying_where(kind: type, data: Any, where: str) -> None:
    with pytest.raises(InvalidInput, match=where) as caught:
        from_json(kind, data)
    assert caught.value.remedy


def test_values_out_of_range_are_refused_as_if_typed_in() -> None:
    with pytest.raises(InvalidInput, match=r"temperature is -1\.0"):
        from_json(Sampling, {"temperature": -1.0})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: object()}, b"x", {(1,): 2}])
def test_what_json_cannot_hold_is_not_written(value: object) -> None:
    with pytest.raises(InvalidInput, match="cannot be written as JSON"):
        codec.dumps({"value": value})


@pytest.mark.parametrize("text", ["", "{", "nul", '{"a": 1} 2', "[" * 100_000])
def test_what_is_not_json_is_not_read(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a valid JSON"):
        codec.loads(text)


@given(texts)
def test_text_is_one_line_of_ascii(text: str) -> None:
    line = codec.dumps({"text": text})
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert codec.loads(line)["text"] == text
