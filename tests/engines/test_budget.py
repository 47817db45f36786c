"""The thinking budget by itself, and what it does to the embedded model's answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workbench.engines.budget import PATIENCE
from workbench.engines.scripts import byte_tokenizer
from workbench.engines.tail import Tail, tail_for
from workbench.evaluation.grading import grade
from workbench.evaluation.problems import arithmetic_suite
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
    Sampling,
)
from workbench.session import Session
from workbench.thinking import Splitter, flags, settle

BYTES = byte_tokenizer()
AT_LINE_END, WITHIN_LINE = "</think>\n\n", "\n</think>\n\n"


def spoken(tokens: int, wished: Iterable[str | bytes], *stop: str) -> tuple[Chunk, ...]:
    """The chunks of a model that writes these pieces, byte by byte, wherever it is let."""
    tail = tail_for(Sampling(thinking_tokens=tokens, stop=stop), BYTES)
    chunks: list[Chunk] = []
    for piece in wished:
        data = piece.encode() if isinstance(piece, str) else piece
        for byte in data:
            push_forced(tail, chunks)
            chunks.append(tail.push(float(len(chunks)), byte_id(byte))[0])
    push_forced(tail, chunks)
    rest = tail.flush(float(len(chunks)))
    return (*chunks, rest) if rest else tuple(chunks)


def push_forced(tail: Tail, chunks: list[Chunk]) -> None:
    while (token := tail.forced) is not None:
        chunks.append(tail.push(float(len(chunks)), token)[0])
        assert chunks[-1].forced


def byte_id(byte: int) -> int:
    return next(i for i in range(BYTES.size) if BYTES.piece(i) == bytes([byte]))


def generated(chunks: Sequence[Chunk]) -> Generation:
    splitter = Splitter()
    parts: list[Event] = [part for chunk in chunks for part in splitter.feed(chunk)]
    events = [*parts, *splitter.close(), Finished(1e9, "stop")]
    request = Request((Message("user", "x"),))
    return Generation(request, EngineSpec(), settle(events, Mode.ON))


def text_of(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def forced_runs(chunks: Sequence[Chunk]) -> list[tuple[str, str]]:
    """The text before each run of forced ids, and the run's own."""
    runs: list[tuple[str, str]] = []
    for i, chunk in enumerate(chunks):
        if chunk.forced and not (i and chunks[i - 1].forced):
            runs.append((text_of(chunks[:i]), ""))
        if chunk.forced:
            runs[-1] = (runs[-1][0], runs[-1][1] + chunk.text)
    return runs


def thought(chunks: Sequence[Chunk]) -> int:
    return sum(len(chunk.ids) for chunk in generated(chunks).chunks(Channel.THINKING))


# --- where it is closed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "before", "closing"),
    [
        (0, "<think>", WITHIN_LINE),
        (1, "<think>\n", AT_LINE_END),  # the line end is the one token
        (2, "<think>\nab", WITHIN_LINE),  # one more than two, and no line ends there
        (9, "<think>\nabcdefghi", WITHIN_LINE),
        (11, "<think>\nabcdefghijkl", WITHIN_LINE),  # ceil(12.1) tokens
        (20, "<think>\nabcdefghijklmnop qrs\n", AT_LINE_END),
    ],
)
def test_thinking_is_closed_at_a_line_end_within_a_tenth_or_hard(
    tokens: int, before: str, closing: str
) -> None:
    chunks = spoken(tokens, ["<think>\nabcdefghijklmnop qrs\ntuvwxyz"])
    assert forced_runs(chunks) == [(before, closing)]
    assert thought(chunks[: [chunk.forced for chunk in chunks].index(True)]) >= tokens
    rest = text_of(chunks).partition(closing)[2]
    assert before + rest == "<think>\nabcdefghijklmnop qrs\ntuvwxyz"


def test_a_line_end_at_the_very_budget_counts() -> None:
    assert forced_runs(spoken(5, ["<think>", "abcd\n", "efg"])) == [
        ("<think>abcd\n", AT_LINE_END),
    ]


def test_an_empty_line_stays_and_the_tag_follows_it() -> None:
    chunks = spoken(6, ["<think>", "abcd\n\n", "efg"])
    assert text_of(chunks) == "<think>abcd\n\n</think>\n\nefg"


def test_thinking_that_ends_by_itself_is_left_alone() -> None:
    chunks = spoken(10, ["well <think>\nabc\n</think>\n\n4 <thin"])
    assert forced_runs(chunks) == []
    assert text_of(chunks) == "well <think>\nabc\n</think>\n\n4 <thin"


@pytest.mark.parametrize("thinking", ["aaaa<", "aaaaa", "aaa<<"])
def test_a_tag_that_the_model_is_writing_is_let_finish(thinking: str) -> None:
    # The limit is 5: it is reached by what turns out to be no tag, while a true one begins.
    chunks = spoken(4, ["<think>", f"{thinking}</think>4"])
    if thinking == "aaaaa":
        assert forced_runs(chunks) == [("<think>aaaaa", WITHIN_LINE)]
    else:
        assert forced_runs(chunks) == []
        assert generated(chunks).answer == "4"


def test_what_only_looks_like_a_tag_does_not_put_it_off_for_ever() -> None:
    chunks = spoken(4, ["<think>", "aaaa" + "<" * 50])
    assert [closing for _, closing in forced_runs(chunks)] == [WITHIN_LINE]
    assert thought(chunks) <= ceil(4.4) + 1 + PATIENCE
    assert flags(generated(chunks)).forced_close


def test_a_character_is_not_cut_in_half() -> None:
    for tokens in range(20):
        for said in ("今日は🙂🙂", "a\n今日\n\n🙂\n"):
            assert "\ufffd" not in text_of(spoken(tokens, ["<think>", said, "</think>"]))


def test_bytes_that_are_no_text_do_not_put_it_off_for_ever() -> None:
    chunks = spoken(4, ["<think>", b"\xe4" * 60])
    assert len(forced_runs(chunks)) == 1
    assert thought(chunks) <= ceil(4.4) + 1 + PATIENCE


def test_all_thinking_of_a_generation_counts() -> None:
    chunks = spoken(6, ["<think>abc</think>x<think>", "defghi", "</think>4"])
    ((before, closing),) = forced_runs(chunks)
    assert (before, closing) == ("<think>abc</think>x<think>defg", WITHIN_LINE)


def test_thinking_reopened_within_the_last_tenth_is_closed_at_once() -> None:
    ((before, closing),) = forced_runs(spoken(20, ["<think>", "a" * 20, "</think>x<think>bc"]))
    assert (before, closing) == ("<think>" + "a" * 20 + "</think>x<think>", WITHIN_LINE)


def test_thinking_reopened_beyond_the_budget_is_closed_at_once() -> None:
    chunks = spoken(20, ["<think>", "a" * 30, "so <think>", "b", "again <think>\n", "c"])
    first, second, third = forced_runs(chunks)
    assert first == ("<think>" + "a" * 22, WITHIN_LINE)
    assert second[0].endswith("so <think>")
    assert second[1] == third[1] == WITHIN_LINE
    assert third[0].endswith("again <think>")


def test_a_stop_string_may_hold_text_back_and_changes_no_decision() -> None:
    wished = ["<think>", "ab\ncd\nef\n" * 3, "</think>4"]
    plain, stopping = spoken(7, wished), spoken(7, wished, "\n</think>\n\nX", "ef\nX")
    assert text_of(plain) == text_of(stopping)
    assert [chunk.forced for chunk in plain] == [chunk.forced for chunk in stopping if chunk.ids]


# --- laws -----------------------------------------------------------------------------------------

TAGS = ("<think>", "</think>")
PIECES = st.lists(
    st.sampled_from(["a", "bc d", "\n", "\n\n", "<", "</", "<think", ">", "é🙂", *TAGS]),
    max_size=40,
)


@given(st.integers(0, 40), PIECES)
def test_what_comes_before_the_closing_is_what_the_model_wished(
    tokens: int, wished: list[str]
) -> None:
    chunks, free = spoken(tokens, wished), spoken(10**6, wished)
    assert not any(chunk.forced for chunk in free)
    own = [i for chunk in chunks if not chunk.forced for i in chunk.ids]
    assert own == [i for chunk in free for i in chunk.ids]
    for before, closing in forced_runs(chunks):
        assert closing == (AT_LINE_END if before.endswith("\n") else WITHIN_LINE)


@given(st.integers(0, 40), PIECES)
def test_thinking_never_exceeds_its_limit(tokens: int, wished: list[str]) -> None:
    body = [piece for piece in wished if piece not in TAGS]
    assume(not any(tag in "".join(body) for tag in TAGS))  # one block, never reopened
    chunks = spoken(tokens, ["<think>", *body])
    assert thought(chunks) <= ceil(1.1 * tokens) + 1 + PATIENCE
    free = thought(spoken(10**6, ["<think>", *body]))
    forced = any(chunk.forced for chunk in chunks)
    assert flags(generated(chunks)).forced_close == forced
    assert forced or free < ceil(1.1 * tokens) + PATIENCE


# --- the embedded model ---------------------------------------------------------------------------

BUDGETS = (16, 64, 112, None)


@pytest.fixture(scope="module")
def curve() -> dict[int | None, list[Generation]]:
    problems = arithmetic_suite(40)
    with Session(EngineSpec(model="demo", device="cpu")) as session:
        streams = {
            tokens: [
                session.start(
                    Request(
                        (Message("user", problem.prompt),),
                        sampling=Sampling(thinking_tokens=tokens, max_tokens=300),
                    )
                )
                for problem in problems
            ]
            for tokens in BUDGETS
        }
        return {tokens: [one.result() for one in of] for tokens, of in streams.items()}


def test_more_thinking_is_more_often_right_and_less_often_cut(
    curve: dict[int | None, list[Generation]],
) -> None:
    problems = arithmetic_suite(40)
    right, forced = [], []
    for generations in curve.values():
        pairs = zip(problems, generations, strict=True)
        scores = [grade(problem, one, i) for i, (problem, one) in enumerate(pairs)]
        right.append(sum(score.value or 0 for score in scores))
        forced.append(sum(flags(one).forced_close for one in generations))
    print(dict(zip(BUDGETS, zip(right, forced, strict=True), strict=True)))
    assert right == sorted(right)
    assert right[-1] >= 36
    assert right[0] <= 8
    assert forced == sorted(forced, reverse=True)
    assert (forced[0], forced[-1]) == (40, 0)


def test_budgeted_thinking_is_the_beginning_of_free_thinking(
    curve: dict[int | None, list[Generation]],
) -> None:
    for tokens in (16, 64, 112):
        for one, free in zip(curve[tokens], curve[None], strict=True):
            spent = sum(len(chunk.ids) for chunk in one.chunks(Channel.THINKING))
            assert spent <= ceil(1.1 * tokens) + 1
            chunks = [chunk for chunk in one.chunks() if chunk.ids]
            cut = next((i for i, chunk in enumerate(chunks) if chunk.forced), None)
            drawn = tuple(i for chunk in chunks[:cut] for i in chunk.ids)
            assert free.ids[: len(drawn)] == drawn
            assert flags(one).forced_close == (cut is not None)
            assert not flags(one).incomplete
            assert one.answer
