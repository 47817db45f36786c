"""What a page gets of a stream: deltas that join to the snapshot, in the page's own units."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from workbench_widgets.feed import Ended, Feed, units

from workbench.records import (
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Failed,
    Finished,
    Generation,
    Message,
    Request,
    Started,
)
from workbench.stream import Stream

REQUEST = Request((Message("user", "?"),))
PARTS = st.lists(
    st.tuples(st.sampled_from([Channel.THINKING, Channel.ANSWER, Channel.MARKER]), st.text()),
    max_size=12,
)


def stream() -> Stream:
    return Stream(REQUEST, EngineSpec, lambda _: None)


def chunks(parts: list[tuple[Channel, str]]) -> list[Event]:
    return [Chunk(0.1 * i, (i,), text, channel) for i, (channel, text) in enumerate(parts, 1)]


def joined(runs: list[list[str]]) -> list[list[str]]:
    """Neighbours of one channel as one."""
    found: list[list[str]] = []
    for letter, text in runs:
        if found and found[-1][0] == letter:
            found[-1][1] += text
        else:
            found.append([letter, text])
    return found


@given(PARTS, st.integers(0, 100))
def test_deltas_join_to_the_snapshot_wherever_they_were_cut(
    parts: list[tuple[Channel, str]], seed: int
) -> None:
    source, draw = stream(), random.Random(seed)
    feed = Feed(source)
    place, runs = 0, []
    for event in chunks(parts):
        source.extend([event])
        if draw.random() < 0.5:
            feed.read()
            delta = feed.delta()
            if delta is not None:
                assert delta["o"] == place
                place += sum(units(text) for _, text in delta["s"])
                runs += delta["s"]
    feed.read()
    rest = feed.delta()
    runs += rest["s"] if rest else []
    told = feed.snapshot()
    assert joined(runs) == told["s"]
    assert told["n"] == sum(units(text) for _, text in told["s"])
    assert feed.delta() is None


def test_lengths_are_javascripts() -> None:
    assert units("a🙂é") == 4
    assert units("a🙂é") == len("a🙂é".encode("utf-16-le")) // 2


def test_counts_are_of_ids_and_times_of_stamps() -> None:
    source = stream()
    feed = Feed(source)
    source.extend([Started(0.0, 9, 3)])
    source.extend([Chunk(1.0, (1, 2), "ab", Channel.THINKING), Chunk(1.5, (), "c", Channel.ANSWER)])
    source.extend([Chunk(2.0, (3,), "  ", Channel.ANSWER), Chunk(2.5, (4,), "d", Channel.ANSWER)])
    feed.read()
    told = feed.snapshot()
    assert told["tokens"] == {"t": 2, "a": 2, "m": 0}
    assert told["times"] == {"first": 1.0, "last": 2.5, "answer": 1.5}
    assert (told["prompt"], told["cached"]) == (9, 3)


def test_characters_that_act_are_made_visible_before_they_are_sent() -> None:
    source = stream()
    feed = Feed(source)
    source.extend([Chunk(1.0, (1,), "\x1b[2J\u202e\ud83d", Channel.ANSWER)])
    feed.read()
    assert feed.snapshot()["s"] == [["a", "␛[2J<U+202E>\ufffd"]]


def test_the_end_settles_channels_that_only_hindsight_gives() -> None:
    source = stream()
    feed = Feed(source)
    source.extend([Chunk(1.0, (1,), "thought", Channel.ANSWER)])
    source.extend([Chunk(2.0, (2,), "</think>", Channel.MARKER)])
    source.extend([Chunk(3.0, (3,), "said", Channel.ANSWER), Finished(3.1, "stop")])
    feed.read()
    assert feed.snapshot()["s"] == [["t", "thought"], ["m", "</think>"], ["a", "said"]]


def test_an_ended_generation_is_followed_like_a_stream() -> None:
    events = (
        Started(0.0, 1),
        Chunk(1.0, (1,), "x", Channel.ANSWER),
        Failed(2.0, "broken", "Mend."),
    )
    feed = Feed(Ended(Generation(REQUEST, EngineSpec(), events)))
    assert feed.read()
    assert not feed.read()
    assert feed.end == events[-1]
    assert feed.snapshot()["s"] == [["a", "x"]]
