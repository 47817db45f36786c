from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.bench.store import measure, record, stream
from workbench.errors import StoreError
from workbench.records import Channel, Chunk, Event, Failed, Finished, Progress, Started
from workbench.store import Store, facts
from workbench.store.blocks import pack, unpack
from workbench.store.schema import VERSION

texts = st.text() | st.sampled_from(["\ud83d\ude00", "\x00", "🙂", "é\ud800"])
times = st.floats(allow_nan=False, allow_infinity=False)
ids = st.integers(0, 2**32 - 1)
logprobs = st.floats(width=32, allow_nan=False) | st.floats(allow_nan=False)
ranks = st.lists(st.tuples(ids, logprobs).map(tuple), max_size=3).map(tuple)
chunks = st.builds(
    Chunk,
    times,
    st.lists(ids, max_size=3).map(tuple),
    texts,
    st.sampled_from(Channel),
    st.none() | st.lists(logprobs, max_size=3).map(tuple),
    st.none() | st.lists(ranks, max_size=3).map(tuple),
    st.booleans(),
)
others = st.one_of(
    st.builds(Started, times, ids, ids),
    st.builds(Progress, times, ids, ids),
    st.builds(Finished, times, st.sampled_from(["stop", "length", "cancelled"])),
    st.builds(Failed, times, texts.filter(lambda text: "\ud83d" not in text), st.text()),
)
event_lists = st.lists(chunks | others, max_size=8)


@given(event_lists, st.booleans())
def test_any_events_come_back_exactly(events: list[Event], deflate: bool) -> None:
    back = unpack(pack(events, deflate=deflate))
    assert back == tuple(events)
    assert [event.t.hex() for event in back] == [float(event.t).hex() for event in events]


@given(event_lists, st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=3))
def test_blocks_of_any_split_give_the_same_events(
    events: list[Event], cuts: list[tuple[int, bool]]
) -> None:
    places = sorted(cuts)
    starts = [0, *(place for place, _ in places)]
    ends = [*(place for place, _ in places), len(events)]
    blocks = [
        pack(events[start:end], deflate=deflate)
        for start, end, deflate in zip(
            starts, ends, [True, *(deflate for _, deflate in places)], strict=True
        )
    ]
    assert [event for block in blocks for event in unpack(block)] == events


@pytest.mark.parametrize("logprob", [-0.1, -1e300, -5e-324, -float("inf")])
def test_a_log_probability_that_is_no_float32_is_kept_whole(logprob: float) -> None:
    chunk = Chunk(0.1, (1, 2), "a", Channel.RAW, (logprob, -1.5), (((1, logprob),), ()))
    assert unpack(pack([chunk])) == (chunk,)


@given(st.binary(max_size=80))
def test_what_is_no_block_is_told_as_such(data: bytes) -> None:
    with pytest.raises(StoreError, match="Recorded events cannot be read"):
        unpack(data)


@given(st.data(), st.booleans())
def test_a_damaged_block_never_ends_in_another_error(data: st.DataObject, deflate: bool) -> None:
    block = bytearray(pack(stream(5), deflate=deflate))
    place = data.draw(st.integers(0, len(block) - 1))
    block[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(place, len(block)))
    with suppress(StoreError):
        events = unpack(bytes(block[:cut]))
        assert not deflate or place == 0
        assert all(isinstance(event, Event) for event in events)


GOLDEN = (
    Started(0.0, 3),
    Chunk(0.5, (7, 8), "hé", Channel.THINKING, (-0.5, -0.25), (((7, -0.5),), ())),
    Finished(0.75, "stop"),
)
OF_VERSION_1 = [
    "01789c63666060e000621628e6c04183702e10330331831403043cb067029220ccce01116182ca3034ecdf0762"
    "3342b9ec106a7f74b552496541aa92955271496251496a8a928e52899295819e818e5241517e6e41497c497e76"
    "6a5eb19295b18e52726272466a0a5cc4a05607ae3d2d332fb33803a1dfdc5447a92835b1383f0f6c767e81526d"
    "6cc6e19500d5862a18",
    "0003000000080000000400000004000000080000000400000008000000040000000800000004000000040000006d"
    "00000003000000001a00000000000000e03f0200000002000000070000000800000002000000000000bf000080be"
    "02000000010000000000000007000000000000bf5b7b2274797065223a2273746172746564222c2274223a302e30"
    "2c2270726f6d70745f746f6b656e73223a332c226361636865645f746f6b656e73223a307d2c7b2274797065223a"
    "2266696e6973686564222c2274223a302e37352c22726561736f6e223a2273746f70227d5d68c3a9",
]


def test_a_forced_chunk_takes_no_more_room_than_a_drawn_one() -> None:
    drawn = Chunk(0.5, (7,), "a", Channel.MARKER, (-0.5,))
    forced = replace(drawn, forced=True)
    blocks = [pack([chunk] * 9, deflate=False) for chunk in (drawn, forced)]
    assert len(blocks[0]) == len(blocks[1])
    assert unpack(blocks[1]) == (forced,) * 9


@pytest.mark.parametrize("draft", [True, False, None])
def test_what_speculation_proposed_is_kept_beside_everything_else(draft: bool | None) -> None:
    plain = Chunk(0.5, (7,), "a", Channel.ANSWER, (-0.5,), (((7, -0.5),),))
    chunks = (replace(plain, draft=draft), plain, replace(plain, draft=draft, logprobs=None))
    assert unpack(pack(chunks)) == chunks
    assert len(pack(chunks, deflate=False)) < len(pack([plain] * 3, deflate=False))


@pytest.mark.parametrize("block", OF_VERSION_1)
def test_blocks_of_format_1_are_read_for_ever(block: str) -> None:
    assert unpack(bytes.fromhex(block)) == GOLDEN


def test_the_text_that_rows_resemble_belongs_to_the_format() -> None:
    """A change of it makes files unreadable: give ``schema.VERSION`` a new number with it."""
    likeness = hashlib.sha256(facts._LIKENESS).hexdigest()
    assert (VERSION, likeness) == (
        1,
        "4cfddaf796a0c8271affe7300c15f210b7fdc56787a8fc8fa99f63d4e6f34247",
    )


def test_a_token_takes_at_most_24_bytes_of_the_file(path: Path) -> None:
    generations, tokens = 40, 300
    with Store(path) as store:
        run = record(store, [stream(tokens, seed) for seed in range(generations)])
        assert sum(len(store.generation(run, i).ids) for i in range(generations)) == 12_000
    assert path.stat().st_size / (generations * tokens) <= 24


def test_the_benchmark_gives_its_figures() -> None:
    figures = measure(generations=20)
    assert set(figures) == {
        "store_bytes_per_token",
        "store_append_us",
        "store_flush_s",
        "store_list_s",
        "store_list_rows_per_s",
    }
    assert all(value > 0 for value in figures.values())
