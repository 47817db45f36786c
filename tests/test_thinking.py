from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.records import (
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Finished,
    Generation,
    Message,
    Mode,
    Request,
    Started,
)
from workbench.thinking import Flags, Splitter, flags, settle

OFF_MODES = (Mode.OFF, Mode.OFF_PREFILLED)
NOTHING = Flags(
    incomplete=False,
    leaked=False,
    orphan_close=False,
    reopened=False,
    preamble=False,
    empty_thinking=False,
    forced_close=False,
)


def tokens(*texts: str) -> list[Chunk]:
    """One chunk an id; ids, times, log-probabilities and alternatives tell them apart."""
    return [
        Chunk(
            t=float(i),
            ids=(i,),
            text=text,
            logprobs=(-float(i),),
            alternatives=(((i, -float(i)), (i + 1000, -9.0)),),
        )
        for i, text in enumerate(texts)
    ]


def split(chunks: Iterable[Chunk]) -> list[Chunk]:
    splitter = Splitter()
    parts = [part for chunk in chunks for part in splitter.feed(chunk)]
    return parts + splitter.close()


def generate(text: str | Iterable[str], mode: Mode = Mode.ON) -> Generation:
    """A finished generation: every character (or every given text) is one token."""
    events: list[Event] = [Started(0.0, 10), *split(tokens(*text)), Finished(99.0, "stop")]
    request = Request(messages=(Message("user", "2+2?"),), mode=mode)
    return Generation(request, EngineSpec(), settle(events, mode))


def texts(generation: Generation) -> tuple[str, str]:
    return generation.text_of(Channel.THINKING), generation.text_of(Channel.ANSWER)


def raised(generation: Generation) -> set[str]:
    found = flags(generation)
    return {name for name in Flags.__slots__ if getattr(found, name)}


def shown(chunks: Iterable[Chunk]) -> list[tuple[str, Channel, tuple[int, ...]]]:
    return [(chunk.text, chunk.channel, chunk.ids) for chunk in chunks]


# --- the parser rules of the model, one by one --------------------------------------------------


def test_a_plain_generation_has_thinking_an_answer_and_no_flag() -> None:
    generation = generate("<think>\n2+2\n</think>\n\n4")
    assert texts(generation) == ("\n2+2\n", "\n\n4")
    assert generation.text_of(Channel.MARKER) == "<think></think>"
    assert (generation.thinking, generation.answer) == ("2+2", "4")
    assert flags(generation) == NOTHING


@pytest.mark.parametrize("mode", Mode)
def test_text_without_tags_is_answer_in_every_mode(mode: Mode) -> None:
    generation = generate("just 4", mode)
    assert texts(generation) == ("", "just 4")
    assert flags(generation) == NOTHING


def test_an_unclosed_tag_makes_everything_after_it_thinking() -> None:
    generation = generate("<think>2+2 is")
    assert texts(generation) == ("2+2 is", "")
    assert raised(generation) == {"incomplete"}


def test_an_unclosed_tag_at_the_very_end_is_incomplete_and_not_empty() -> None:
    assert raised(generate("<think>")) == {"incomplete"}


def test_a_half_closing_tag_at_the_end_is_thinking() -> None:
    generation = generate("<think>2+2</thin")
    assert texts(generation) == ("2+2</thin", "")
    assert raised(generation) == {"incomplete"}


def test_an_unclosed_second_tag_takes_the_first_answer_back() -> None:
    generation = generate("well <think>a</think>b<think>c")
    assert texts(generation) == ("abc", "well ")
    assert raised(generation) == {"incomplete", "reopened", "preamble"}


@pytest.mark.parametrize("inside", ["", "\n", "\n\n  "])
def test_an_empty_block_is_valid_and_flagged(inside: str) -> None:
    generation = generate(f"<think>{inside}</think>4")
    assert (generation.thinking, generation.answer) == ("", "4")
    assert raised(generation) == {"empty_thinking"}


def test_text_before_the_tag_is_a_preamble_of_the_answer() -> None:
    generation = generate("Sure. <think>a</think>4")
    assert texts(generation) == ("a", "Sure. 4")
    assert raised(generation) == {"preamble"}


def test_blank_text_before_the_tag_is_no_preamble() -> None:
    assert raised(generate("\n <think>a</think>4")) == set()


def test_after_a_second_tag_the_last_closing_tag_ends_the_thinking() -> None:
    generation = generate("<think>a</think>b<think>c</think>d")
    assert texts(generation) == ("abc", "d")
    assert generation.text_of(Channel.MARKER) == "<think></think><think></think>"
    assert raised(generation) == {"reopened"}


def test_a_tag_within_thinking_is_a_second_tag() -> None:
    generation = generate("<think>a<think>b</think>c</think>d")
    assert texts(generation) == ("abc", "d")
    assert raised(generation) == {"reopened", "orphan_close"}


def test_an_orphan_closing_tag_makes_everything_before_it_thinking() -> None:
    generation = generate("2+2 is 4\n</think>\n4")
    assert texts(generation) == ("2+2 is 4\n", "\n4")
    assert raised(generation) == {"orphan_close"}


def test_a_second_closing_tag_ends_the_thinking_later() -> None:
    generation = generate("<think>a</think>b</think>c")
    assert texts(generation) == ("ab", "c")
    assert raised(generation) == {"orphan_close"}


def test_an_orphan_before_a_block_leaves_no_preamble() -> None:
    generation = generate("x</think>y<think>z</think>w")
    assert texts(generation) == ("xyz", "w")
    assert raised(generation) == {"orphan_close"}


def test_an_orphan_closing_tag_alone_is_an_empty_block() -> None:
    assert raised(generate("</think>4")) == {"orphan_close", "empty_thinking"}


@pytest.mark.parametrize("mode", OFF_MODES)
def test_any_opening_tag_with_reasoning_off_is_a_leak(mode: Mode) -> None:
    generation = generate("<think>a</think>4", mode)
    assert texts(generation) == ("a", "4")
    assert raised(generation) == {"leaked"}


@pytest.mark.parametrize("mode", OFF_MODES)
def test_with_reasoning_off_an_orphan_never_makes_thinking(mode: Mode) -> None:
    generation = generate("4</think> it is", mode)
    assert texts(generation) == ("", "4 it is")
    assert generation.text_of(Channel.MARKER) == "</think>"
    assert raised(generation) == {"orphan_close"}


@pytest.mark.parametrize("mode", OFF_MODES)
def test_with_reasoning_off_thinking_ends_where_an_open_tag_closes(mode: Mode) -> None:
    generation = generate("4</think>5<think>a</think>6</think>7", mode)
    assert texts(generation) == ("a", "4567")
    assert raised(generation) == {"leaked", "orphan_close", "preamble"}


@pytest.mark.parametrize("mode", OFF_MODES)
def test_with_reasoning_off_an_unclosed_leak_leaves_only_the_preamble(mode: Mode) -> None:
    generation = generate("4<think>a", mode)
    assert texts(generation) == ("a", "4")
    assert raised(generation) == {"leaked", "incomplete", "preamble"}


def test_nothing_generated_is_nothing_unusual() -> None:
    assert flags(generate("")) == NOTHING


# --- the stream ---------------------------------------------------------------------------------


def test_a_token_with_a_character_of_a_tag_is_a_marker_and_its_rest_has_no_id() -> None:
    parts = split(tokens("Hm <th", "ink>\nso", " 4</", "think", ">\n\n", "4"))
    assert shown(parts) == [
        ("Hm ", Channel.ANSWER, ()),
        ("<th", Channel.MARKER, (0,)),
        ("ink>", Channel.MARKER, (1,)),
        ("\nso", Channel.THINKING, ()),
        (" 4", Channel.THINKING, ()),
        ("</", Channel.MARKER, (2,)),
        ("think", Channel.MARKER, (3,)),
        (">", Channel.MARKER, (4,)),
        ("\n\n", Channel.ANSWER, ()),
        ("4", Channel.ANSWER, (5,)),
    ]
    assert [part.t for part in parts] == [0, 0, 1, 1, 2, 2, 3, 4, 4, 5]


def test_log_probabilities_and_alternatives_stay_with_their_id() -> None:
    source = tokens("a<think>b")[0]
    before, marker, after = split([source])
    assert (marker.logprobs, marker.alternatives) == (source.logprobs, source.alternatives)
    assert (before.logprobs, before.alternatives) == ((), ())
    assert (after.logprobs, after.alternatives) == ((), ())


def test_what_was_not_recorded_stays_unrecorded() -> None:
    parts = split([Chunk(0.0, (1,), "a<think>b")])
    assert [(part.logprobs, part.alternatives) for part in parts] == [(None, None)] * 3


def test_one_token_may_hold_two_tags() -> None:
    assert shown(split(tokens("<think></think>4"))) == [
        ("<think>", Channel.MARKER, (0,)),
        ("</think>", Channel.MARKER, ()),
        ("4", Channel.ANSWER, ()),
    ]


@pytest.mark.parametrize("text", ["a\n", "a\n\n", "1 < 2", "a>", "think>", "x <b> y", "</b>"])
def test_text_that_cannot_become_a_tag_leaves_at_once(text: str) -> None:
    (chunk,) = tokens(text)
    assert shown(Splitter().feed(chunk)) == [(text, Channel.ANSWER, (0,))]


@pytest.mark.parametrize("held", ["<", "<t", "<think", "</", "</thin", "</think"])
def test_only_the_beginning_of_a_tag_is_held(held: str) -> None:
    splitter = Splitter()
    (chunk,) = tokens(f"so {held}")
    assert shown(splitter.feed(chunk)) == [("so ", Channel.ANSWER, ())]
    assert shown(splitter.feed(Chunk(1.0, (7,), "!"))) == [
        (held, Channel.ANSWER, (0,)),
        ("!", Channel.ANSWER, (7,)),
    ]
    assert splitter.close() == []


def test_a_beginning_in_front_of_a_tag_is_text() -> None:
    assert shown(split(tokens("<<", "think>"))) == [
        ("<", Channel.ANSWER, ()),
        ("<", Channel.MARKER, (0,)),
        ("think>", Channel.MARKER, (1,)),
    ]


def test_what_is_held_at_the_end_comes_out_on_close() -> None:
    splitter = Splitter()
    assert splitter.feed(tokens("<thi")[0]) == []
    assert shown(splitter.close()) == [("<thi", Channel.ANSWER, (0,))]
    assert splitter.close() == []


def test_a_token_without_text_belongs_to_the_tag_around_it() -> None:
    parts = split(tokens("a", "", "<thi", "", "nk>", "", "b"))
    assert [part.channel for part in parts] == [
        *[Channel.ANSWER] * 2,
        *[Channel.MARKER] * 3,
        *[Channel.THINKING] * 2,
    ]
    assert [part.ids for part in parts] == [(i,) for i in range(7)]


def test_a_chunk_of_many_ids_without_a_tag_stays_whole() -> None:
    chunk = Chunk(0.5, (1, 2, 3), "a long text", logprobs=(-1.0, -2.0, -3.0))
    (part,) = Splitter().feed(chunk)
    assert (part.ids, part.text, part.logprobs) == (chunk.ids, chunk.text, chunk.logprobs)


def test_a_cut_chunk_of_many_ids_deals_its_characters_in_equal_shares() -> None:
    assert shown(split([Chunk(0.0, (1, 2, 3), "ab<think>cde")])) == [
        ("ab", Channel.ANSWER, ()),
        ("<t", Channel.MARKER, (1,)),
        ("hink", Channel.MARKER, (2,)),
        (">", Channel.MARKER, (3,)),
        ("cde", Channel.THINKING, ()),
    ]


def test_more_ids_than_characters_are_all_kept() -> None:
    parts = split([Chunk(0.0, (1, 2, 3, 4, 5), "<a")])
    assert [i for part in parts for i in part.ids] == [1, 2, 3, 4, 5]
    assert "".join(part.text for part in parts) == "<a"


# --- properties ---------------------------------------------------------------------------------

FRAGMENTS = ["<think>", "</think>", "<thi", "nk>", "<think", "< think>", "<", ">", "</", "/", "\n"]
pieces = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text("ab<>é ", max_size=4)), max_size=9)
text_with_tags = pieces.map("".join)


@st.composite
def chunked(draw: st.DrawFn) -> list[Chunk]:
    """Any text with tags and near-tags, cut anywhere into chunks of none to four ids."""
    text = draw(text_with_tags)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=14)))
    bounds = [0, *cuts, len(text)]
    chunks, next_id, now = [], 0, 0.0
    for start, end in pairwise(bounds):
        count = draw(st.integers(0, 4))
        ids = tuple(range(next_id, next_id + count))
        logprobs = tuple(-float(i) for i in ids)
        chunks.append(Chunk(now, ids, text[start:end], logprobs=logprobs))
        next_id += count
        now += draw(st.sampled_from([0.0, 0.25]))
    return chunks


def channels_of_characters(parts: Iterable[Chunk]) -> list[Channel]:
    return [part.channel for part in parts for _ in part.text]


@given(chunked())
def test_cutting_never_changes_the_channel_of_a_character(chunks: list[Chunk]) -> None:
    whole = Chunk(0.0, (), "".join(chunk.text for chunk in chunks))
    assert channels_of_characters(split(chunks)) == channels_of_characters(split([whole]))


@given(chunked())
def test_ids_text_times_and_log_probabilities_are_conserved(chunks: list[Chunk]) -> None:
    parts = split(chunks)
    assert "".join(p.text for p in parts) == "".join(c.text for c in chunks)
    assert [i for p in parts for i in p.ids] == [i for c in chunks for i in c.ids]
    assert [x for p in parts for x in p.logprobs or ()] == [-i for p in parts for i in p.ids]
    assert all(len(p.ids) == len(p.logprobs or ()) for p in parts)
    time_of = {i: c.t for c in chunks for i in c.ids}
    assert all(part.t == time_of[i] for part in parts for i in part.ids)
    assert all(first.t <= second.t for first, second in pairwise(parts))


@given(text_with_tags)
def test_every_tag_is_marked_and_nothing_else(text: str) -> None:
    marked = "".join(part.text for part in split(tokens(*text)) if part.channel is Channel.MARKER)
    rest = text.replace("<think>", "\0").replace("</think>", "\1")
    assert marked == "".join({"\0": "<think>", "\1": "</think>"}.get(c, "") for c in rest)


@given(text_with_tags)
def test_at_most_the_beginning_of_a_tag_is_held(text: str) -> None:
    splitter, out = Splitter(), ""
    for end, chunk in enumerate(tokens(*text), start=1):
        out += "".join(part.text for part in splitter.feed(chunk))
        held = text[len(out) : end]
        assert not held or any(tag.startswith(held) for tag in ("<think>", "</think>"))
        assert held not in ("<think>", "</think>")


@given(chunked(), st.sampled_from(Mode))
def test_settling_is_idempotent_and_touches_only_channels(chunks: list[Chunk], mode: Mode) -> None:
    events: list[Event] = [Started(0.0, 3), *split(chunks), Finished(9.0, "stop")]
    settled = settle(events, mode)
    assert settle(settled, mode) == settled
    unmarked = [e for e in settled if not isinstance(e, Chunk)]
    assert unmarked == [events[0], events[-1]]
    for before, after in zip(events, settled, strict=True):
        if isinstance(before, Chunk) and isinstance(after, Chunk):
            assert (before.channel is Channel.MARKER) == (after.channel is Channel.MARKER)
            assert (before.t, before.ids, before.text) == (after.t, after.ids, after.text)


@given(st.text("ab <", max_size=5), st.text("ab <", max_size=5), st.sampled_from(Mode))
def test_hindsight_agrees_with_the_stream_on_a_plain_block(
    thinking: str, answer: str, mode: Mode
) -> None:
    events = split(tokens(*"<think>", *thinking, *"</think>", *answer))
    assert settle(events, mode) == tuple(events)


@given(chunked(), st.sampled_from(OFF_MODES))
def test_with_reasoning_off_nothing_is_thinking_without_an_opening_tag(
    chunks: list[Chunk], mode: Mode
) -> None:
    text = "".join(chunk.text for chunk in chunks)
    before = len(text.partition("<think>")[0])
    channels = channels_of_characters(
        e for e in settle(split(chunks), mode) if isinstance(e, Chunk)
    )
    assert Channel.THINKING not in channels[:before]


# --- forced closings ------------------------------------------------------------------------------


def closed(*texts: str, forced: Iterable[int], mode: Mode = Mode.ON) -> Generation:
    """A generation of these tokens; some of them, by their places, were forced."""
    chunks = [
        replace(chunk, forced=place in set(forced)) for place, chunk in enumerate(tokens(*texts))
    ]
    events: list[Event] = [Started(0.0, 10), *split(chunks), Finished(99.0, "stop")]
    request = Request(messages=(Message("user", "2+2?"),), mode=mode)
    return Generation(request, EngineSpec(), settle(events, mode))


def test_a_forced_closing_is_flagged_and_complete() -> None:
    generation = closed("<think>", "2+", "\n", "</", "think", ">\n\n", "4", forced=range(2, 6))
    assert texts(generation) == ("2+\n", "\n\n4")
    assert raised(generation) == {"forced_close"}
    kept = "".join(chunk.text for chunk in generation.chunks() if chunk.forced)
    assert kept == "\n</think>\n\n"
    assert [chunk.ids for chunk in generation.chunks() if chunk.forced and chunk.ids] == [
        (2,),
        (3,),
        (4,),
        (5,),
    ]


def test_a_forced_closing_that_was_cut_off_closed_nothing() -> None:
    generation = closed("<think>", "2+", "\n", "</", "think", forced=range(2, 5))
    assert raised(generation) == {"incomplete"}


def test_a_closing_of_its_own_before_a_forced_piece_is_no_forced_one() -> None:
    generation = closed("<think>", "a", "</think>", "b<think>", "\n", "</th", forced=(4, 5))
    assert raised(generation) == {"reopened", "incomplete"}


def test_thinking_closed_before_anything_was_said_is_empty() -> None:
    generation = closed("<think>\n", "</think>\n\n", "4", forced=(1,), mode=Mode.OFF)
    assert raised(generation) == {"empty_thinking", "forced_close", "leaked"}
