from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from workbench.engines.scripted import ScriptedEngine
from workbench.errors import InvalidInput
from workbench.models.tokenizer import Tokenizer
from workbench.records import (
    Chunk,
    EngineSpec,
    Event,
    Failed,
    Finished,
    Generation,
    Message,
    Mode,
    Progress,
    Request,
    Started,
)

from .contract import EngineContract, Trace, answers, ask, ended, take

THOUGHT = "<think>\n1 and 1 are 2.\n</think>\n\n\\boxed{2}"


def babble(request: Request) -> str:
    """A text that depends on the request and its seed alone."""
    source = Random(f"{request.messages}{request.mode}{request.sampling.seed}")
    words = ("Grüße", "今日は", "🙂", "sea", "wave", "tide", "<think>", "storm", "harbour", "calm")
    return " ".join(source.choices(words, k=200))


class TestContract(EngineContract):
    """The contract, on made-up texts; times are the script's, not the clock's."""

    @pytest.fixture
    def engine(self) -> ScriptedEngine:
        return ScriptedEngine(babble)

    @pytest.fixture
    def stops(self, engine: ScriptedEngine) -> frozenset[int]:
        return frozenset(i for i in range(300) if i > 255)

    @pytest.fixture
    def thinker(self) -> ScriptedEngine:
        return ScriptedEngine.answering(
            "<think>\nfirst a line\nand then the next one\n12 + 30\n</think>\n\n\\boxed{42}"
        )

    @pytest.fixture
    def thinker_stops(self, stops: frozenset[int]) -> frozenset[int]:
        return stops

    def check_clock(self, events: Sequence[Event], asked: float) -> None:
        assert events[0].t == 0.0


def run(engine: ScriptedEngine, *requests: Request) -> list[tuple[Event, ...]]:
    return [trace.events for trace in answers(engine, requests, frozenset())]


def told(engine: ScriptedEngine, request: Request) -> tuple[Event, ...]:
    ticket = engine.submit(request)
    events: dict[int, list[Event]] = {ticket: []}
    take(engine, events, lambda: ended(events[ticket]))
    return tuple(events[ticket])


# --- texts ----------------------------------------------------------------------------------------


def test_a_text_is_told_with_the_times_that_were_asked_for() -> None:
    engine = ScriptedEngine.answering("ab", token_seconds=0.5, prefill_seconds=2.0)
    prompt = len(engine.encode([Message("system", "detailed thinking on"), Message("user", "Hi")]))
    (first, second) = engine.encode([Message("user", "")], prefill="ab")[-2:]
    assert told(engine, ask("Hi")) == (
        Started(0.0, prompt),
        Progress(2.0, prompt, prompt),
        Chunk(2.5, (first,), "a"),
        Chunk(3.0, (second,), "b"),
        Finished(3.5, "stop"),  # the stop token takes an iteration too
    )


def test_the_closest_key_answers() -> None:
    whole = ask("Why?", Mode.ON, seed=7)
    engine = ScriptedEngine.answering({"Why?": "1", ("Why?", Mode.OFF): "2", whole: "3"})
    requests = [ask("Why?"), ask("Why?", Mode.OFF), whole, ask("Why?", Mode.OFF_PREFILLED)]
    assert [trace.text for trace in answers(engine, requests, frozenset())] == ["1", "2", "3", "1"]


def test_the_key_is_the_last_user_message() -> None:
    turns = (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Why?"))
    engine = ScriptedEngine.answering({"Why?": "So."})
    (trace,) = answers(engine, [Request(turns)], frozenset())
    assert trace.text == "So."


def test_a_list_is_told_in_the_order_of_the_requests() -> None:
    engine = ScriptedEngine.answering(["one", "two"])
    assert [trace.text for trace in answers(engine, [ask("a"), ask("b")], frozenset())] == [
        "one",
        "two",
    ]
    (refused,) = told(engine, ask("c"))
    assert isinstance(refused, Failed)


def test_a_request_without_a_script_fails_with_the_remedy() -> None:
    engine = ScriptedEngine.answering({"What is 1+1?": THOUGHT})
    known, unknown = engine.submit(ask("What is 1+1?")), engine.submit(ask("x" * 100, Mode.OFF))
    events: dict[int, list[Event]] = {known: [], unknown: []}
    take(engine, events, lambda: ended(events[known]))
    (failed,) = events[unknown]
    assert isinstance(failed, Failed)
    assert f"{'x' * 60}…" in failed.error
    assert "(off)" in failed.error
    assert failed.remedy
    assert Trace(ask("a"), tuple(events[known])).text == THOUGHT


def test_a_refused_request_stays_refused_when_it_is_cancelled() -> None:
    engine = ScriptedEngine.answering({})
    ticket = engine.submit(ask("Hi"))
    engine.cancel(ticket)
    ((_, event),) = engine.step()
    assert isinstance(event, Failed)


def test_ids_may_be_a_models_own(tokenizer_folder: Path) -> None:
    tokenizer = Tokenizer.from_folder(tokenizer_folder)
    engine = ScriptedEngine.answering(THOUGHT, tokenizer=tokenizer)
    (trace,) = answers(engine, [ask("Hi")], frozenset())
    assert trace.ids == tokenizer.encode_text(THOUGHT)
    assert len(trace.ids) < len(THOUGHT)


def test_a_text_that_just_fits_ends_by_length() -> None:
    engine = ScriptedEngine.answering("four")
    ends = [ask("Hi", max_tokens=most) for most in (3, 4, 5)]
    assert [trace.reason for trace in answers(engine, ends, frozenset())] == [
        "length",
        "length",
        "stop",
    ]


def test_a_step_brings_one_event_of_each_request() -> None:
    engine = ScriptedEngine.answering("abc")
    tickets = [engine.submit(ask(text)) for text in ("one", "two", "three")]
    while news := engine.step():
        assert [ticket for ticket, _ in news] == tickets


# --- budgets and lengths --------------------------------------------------------------------------


def texts(text: str, **settings: int) -> tuple[str, str]:
    """What the script says, and what was forced."""
    chunks = [
        event
        for event in told(ScriptedEngine.answering(text), ask("Hi", **settings))
        if isinstance(event, Chunk)
    ]
    forced = "".join(chunk.text for chunk in chunks if chunk.forced)
    return "".join(chunk.text for chunk in chunks), forced


def test_a_closed_text_goes_on_behind_its_own_closing_tag() -> None:
    whole, forced = texts(THOUGHT, thinking_tokens=3)
    assert whole == "<think>\n1 a\n</think>\n\n\\boxed{2}"
    assert forced == "\n</think>\n\n"


def test_a_text_closed_within_its_own_tag_goes_on_behind_it() -> None:
    whole, _ = texts("<think>aaaa<<<<<</think>4</think>5", thinking_tokens=4)
    assert whole == "<think>aaaa<<<<<</th\n</think>\n\n4</think>5"


def test_a_text_whose_thinking_never_ends_has_no_answer() -> None:
    assert texts("<think>so and so on", thinking_tokens=4) == (
        "<think>so an\n</think>\n\n",
        "\n</think>\n\n",
    )


def test_a_text_that_thinks_again_is_closed_again() -> None:
    twice = "<think>今日は</think>Grüße <think>again</think>\n\n7"
    whole, _ = texts(twice, thinking_tokens=6)  # 7 with the tenth, and は has three bytes
    assert whole == "<think>今日は\n</think>\n\nGrüße <think>\n</think>\n\n7"


def test_a_text_ends_where_it_ends_however_many_tokens_were_wanted() -> None:
    assert texts("short", min_tokens=50)[0] == "short"


# --- events ---------------------------------------------------------------------------------------

RECORDED: tuple[Event, ...] = (
    Started(0.25, 17, 16),
    Progress(0.5, 10, 17),
    Progress(0.75, 17, 17),
    Chunk(1.0, (90_001, 90_002), "Two ids", logprobs=(-0.5, -1.5)),
    Chunk(1.0, (), " and none"),
    Finished(1.5, "stop"),
)


def test_events_are_told_exactly() -> None:
    engine = ScriptedEngine.answering({"Hi": RECORDED})
    assert told(engine, ask("Hi", max_tokens=1, stop=("ids",))) == RECORDED


@pytest.mark.parametrize(
    "script",
    [
        [],
        RECORDED[1:],
        RECORDED[:-1],
        [*RECORDED, RECORDED[-1]],
        [RECORDED[0], *RECORDED[3:2:-1], *RECORDED[1:3], RECORDED[-1]],
    ],
    ids=["nothing", "no start", "no end", "two ends", "falling times"],
)
def test_events_that_are_no_generation_are_refused(script: list[Event]) -> None:
    with pytest.raises(InvalidInput) as refused:
        ScriptedEngine.answering({"Hi": script}).submit(ask("Hi"))
    assert refused.value.remedy


def test_a_script_may_fail() -> None:
    failing = (Started(0.0, 3), Failed(1.0, "It broke.", "Mend it."))
    assert told(ScriptedEngine.answering([failing]), ask("Hi")) == failing


def test_cancelling_events_keeps_what_was_told() -> None:
    engine = ScriptedEngine.answering([RECORDED])
    ticket = engine.submit(ask("Hi"))
    events = [event for _ in range(4) for _, event in engine.step()]
    engine.cancel(ticket)
    assert events == list(RECORDED[:4])
    assert engine.step() == [(ticket, Finished(1.0, "cancelled"))]


# --- replay ---------------------------------------------------------------------------------------

SPEC = EngineSpec(model="nemotron-nano-8b", quantization="fp16", device="cuda:0")


def recorded(text: str, t: float) -> Generation:
    events = (Started(0.0, 3), Chunk(t, (7,), text), Finished(t, "stop"))
    return Generation(ask(text), SPEC, events)


def test_stored_generations_are_found_by_their_request() -> None:
    stored = [recorded("a", 1.0), recorded("b", 2.0)]
    engine = ScriptedEngine.replaying(stored)
    assert [told(engine, one.request) for one in reversed(stored)] == [
        stored[1].events,
        stored[0].events,
    ]
    assert isinstance(told(engine, ask("a", seed=1))[-1], Failed)
    assert engine.spec == replace(SPEC, kind="scripted")


def test_repeats_of_a_request_are_told_in_turn() -> None:
    one, two = recorded("a", 1.0), recorded("a", 2.0)
    engine = ScriptedEngine.replaying([one, two])
    assert [told(engine, ask("a")) for _ in range(3)] == [one.events, two.events, one.events]


def test_generations_may_be_told_in_order_whatever_is_asked() -> None:
    stored = [recorded("a", 1.0), recorded("b", 2.0)]
    engine = ScriptedEngine.replaying(stored, in_order=True)
    assert [told(engine, ask("x")) for _ in stored] == [one.events for one in stored]


def test_a_generation_that_was_cut_off_is_told_as_far_as_it_goes() -> None:
    whole = recorded("a", 1.0)
    cut = replace(whole, events=whole.events[:-1])
    *events, last = told(ScriptedEngine.replaying([cut]), cut.request)
    assert tuple(events) == cut.events
    assert isinstance(last, Failed)
    assert last.t == 1.0
    nothing = replace(whole, events=())
    assert isinstance(told(ScriptedEngine.replaying([nothing]), nothing.request)[0], Failed)


# --- pace -----------------------------------------------------------------------------------------


def arrivals(engine: ScriptedEngine, until: Callable[[list[Event]], bool]) -> list[float]:
    """Seconds from the request to each of its events."""
    began = time.perf_counter()
    engine.submit(ask("Hi"), submitted=began)
    events: list[Event] = []
    times = []
    while not until(events):
        for _, event in engine.step():
            events.append(event)
            times.append(time.perf_counter() - began)
    return times


@pytest.mark.parametrize("pace", [1.0, 0.5])
def test_at_a_pace_no_event_comes_before_its_time(pace: float) -> None:
    engine = ScriptedEngine.answering("abcdef", pace=pace, token_seconds=0.04)
    due = [
        event.t * pace
        for event in told(ScriptedEngine.answering("abcdef", token_seconds=0.04), ask("Hi"))
    ]
    times = arrivals(engine, ended)
    assert len(times) == len(due)
    assert all(time >= least for time, least in zip(times, due, strict=True))
    assert times[-1] < due[-1] + 5.0


def test_at_a_pace_a_late_reader_gets_everything_that_is_due() -> None:
    engine = ScriptedEngine.answering("abcdef", pace=1.0)
    engine.submit(ask("Hi"), submitted=time.perf_counter() - 100.0)
    assert [type(event) for _, event in engine.step()] == [
        Started,
        Progress,
        *[Chunk] * 6,
        Finished,
    ]


def test_at_a_pace_a_cancel_does_not_wait() -> None:
    engine = ScriptedEngine.answering("a", pace=1.0, prefill_seconds=1000.0)
    ticket = engine.submit(ask("Hi"))
    engine.step()
    engine.step()
    engine.cancel(ticket)
    ((_, end),) = engine.step()
    assert isinstance(end, Finished)
    assert (end.reason, 0 <= end.t < 1000.0) == ("cancelled", True)


def test_times_never_fall_at_any_pace() -> None:
    for pace in (0.0, 1e-9, 1.0):
        engine = ScriptedEngine.answering("ab", pace=pace, token_seconds=0.001, prefill_seconds=0.0)
        events = told(engine, ask("Hi"))
        assert all(a.t <= b.t for a, b in pairwise(events))
