from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from queue import Queue

import pytest

from workbench.engines import Engine
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import EngineError, InvalidInput, ModelError, StoreError
from workbench.records import (
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Failed,
    Finished,
    Message,
    Mode,
    Request,
    Sampling,
    Started,
)
from workbench.session import Session

SOON = 20.0  # seconds nothing here needs; only a hang reaches them
THOUGHT = "<think>\n1 and 1 are 2.\n</think>\n\n\\boxed{2}"


def ask(text: str = "What is 1+1?", mode: Mode = Mode.ON, **settings: object) -> Request:
    return Request((Message("user", text),), mode, Sampling(**settings))  # type: ignore[arg-type]


class Gated(ScriptedEngine):
    """Steps only as often as it is allowed to, and counts what is called."""

    def __init__(self, text: str = THOUGHT) -> None:
        super().__init__(lambda request: text)
        self.gate = threading.Semaphore(0)
        self.steps = 0
        self.threads: set[int] = set()
        self.closed = False

    def allow(self, steps: int) -> None:
        self.gate.release(steps)

    def step(self) -> list[tuple[int, Event]]:
        assert self.gate.acquire(timeout=SOON)
        self.steps += 1
        self.threads.add(threading.get_ident())
        return super().step()

    def close(self) -> None:
        self.closed = True
        super().close()


@contextmanager
def session_of(engine: Engine) -> Iterator[Session]:
    with Session(lambda: engine) as session:
        yield session


@contextmanager
def gated(text: str = THOUGHT) -> Iterator[tuple[Session, Gated]]:
    engine = Gated(text)
    session = Session(lambda: engine)
    try:
        yield session, engine
    finally:
        engine.allow(10_000)
        session.close()


def wait_for(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.001)


def answering(text: str = THOUGHT) -> Session:
    return Session(lambda: ScriptedEngine.answering(text))


# --- following ------------------------------------------------------------------------------------


def test_start_returns_at_once_and_the_stream_grows() -> None:
    with gated("plain text") as (session, engine):
        stream = session.start(ask())
        assert (stream.events, stream.done, engine.steps) == ((), False, 0)
        engine.allow(3)
        wait_for(lambda: len(stream.events) == 3)
        assert isinstance(stream.events[0], Started)
        assert stream.snapshot().end is None


def test_every_reader_sees_the_same_events_from_the_first() -> None:
    with gated() as (session, engine):
        stream = session.start(ask())
        seen: dict[int, list[Event]] = {0: [], 1: [], 2: []}

        def read(reader: int) -> None:
            seen[reader] += stream

        readers = [threading.Thread(target=read, args=(reader,)) for reader in seen]
        readers[0].start()
        engine.allow(10)
        wait_for(lambda: engine.steps == 10)
        readers[1].start()
        engine.allow(10_000)
        stream.result(SOON)
        readers[2].start()
        for reader in readers:
            reader.join(SOON)
        assert seen[0] == seen[1] == seen[2] == list(stream.events)
        assert stream.done


def test_text_is_split_and_settled_from_end_to_end() -> None:
    with answering() as session:
        generation = session.start(ask()).result(SOON)
    assert generation.thinking == "1 and 1 are 2."
    assert generation.answer == "\\boxed{2}"
    assert generation.text_of() == THOUGHT
    assert generation.text_of(Channel.MARKER) == "<think></think>"
    assert (generation.finish_reason, generation.ok) == ("stop", True)
    assert generation.spec.kind == "scripted"


def test_hindsight_settles_what_was_streamed_as_answer() -> None:
    with answering("no tag opens\n</think>\nthe answer") as session:
        stream = session.start(ask())
        generation = stream.result(SOON)
    streamed = [event for event in stream.events if isinstance(event, Chunk)]
    assert {chunk.channel for chunk in streamed[:5]} == {Channel.ANSWER}
    assert (generation.thinking, generation.answer) == ("no tag opens", "the answer")


def test_a_tag_held_back_at_the_end_is_told() -> None:
    with answering("2 <thin") as session:
        generation = session.start(ask()).result(SOON)
    assert generation.answer == "2 <thin"


def test_requests_side_by_side_are_kept_apart() -> None:
    engine = ScriptedEngine.answering(lambda request: f"<think>{request.label}</think>done")
    with session_of(engine) as session:
        streams = [session.start(replace(ask(), label=str(i))) for i in range(25)]
        generations = [stream.result(SOON) for stream in streams]
    assert [generation.thinking for generation in generations] == [str(i) for i in range(25)]
    assert {generation.answer for generation in generations} == {"done"}


def test_times_count_from_the_call_of_start() -> None:
    asked = {}

    class Noting(ScriptedEngine):
        def submit(self, request: Request, *, submitted: float | None = None) -> int:
            asked[request] = submitted
            return super().submit(request, submitted=submitted)

    with session_of(Noting(lambda request: "2")) as session:
        stream = session.start(ask())
        stream.result(SOON)
    assert asked[stream.request] == stream.submitted


def test_one_thread_owns_the_engine() -> None:
    with gated() as (session, engine):
        engine.allow(10_000)
        opener = threading.get_ident()
        for _ in range(3):
            session.start(ask()).result(SOON)
        assert len(engine.threads) == 1
        assert opener not in engine.threads


# --- waiting --------------------------------------------------------------------------------------


def test_a_stream_can_be_awaited() -> None:
    async def main(session: Session) -> list[str]:
        first, second = session.start(ask("a")), session.start(ask("b"))
        return [(await first).answer, (await second).answer]

    with session_of(ScriptedEngine.answering({"a": "1", "b": "2"})) as session:
        assert asyncio.run(main(session)) == ["1", "2"]


def test_cancelling_the_task_that_awaits_cancels_the_generation() -> None:
    with gated() as (session, engine):
        stream = session.start(ask())

        async def main() -> None:
            task = asyncio.ensure_future(stream)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        engine.allow(3)
        assert stream.result(SOON).finish_reason == "cancelled"


def test_result_waits_no_longer_than_asked_and_the_generation_goes_on() -> None:
    with gated() as (session, engine):
        stream = session.start(ask())
        with pytest.raises(EngineError, match=r"within 0\.02 seconds") as late:
            stream.result(0.02)
        assert late.value.remedy
        engine.allow(10_000)
        assert stream.result(SOON).ok


@pytest.mark.parametrize("follow", [lambda stream: stream.result(SOON), list])
def test_an_interrupt_while_waiting_cancels_the_generation(
    follow: Callable[[object], object],
) -> None:
    with gated() as (session, engine):
        stream = session.start(ask())
        main = threading.main_thread().ident
        assert main is not None
        interrupt = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it must not come before
            interrupt.start()
            follow(stream)
        engine.allow(3)
        assert stream.result(SOON).finish_reason == "cancelled"


# --- stopping -------------------------------------------------------------------------------------


def test_a_stop_takes_effect_within_one_iteration() -> None:
    with gated() as (session, engine):
        stream = session.start(ask())
        engine.allow(10)
        wait_for(lambda: engine.steps == 10)
        threading.Thread(target=stream.cancel).start()
        wait_for(lambda: session._commands)
        engine.allow(2)  # the one under way, and the next
        generation = stream.result(SOON)
        assert engine.steps <= 12
    assert generation.finish_reason == "cancelled"
    assert THOUGHT.startswith(generation.text_of())
    assert len(generation.ids) >= 8


def test_a_stop_before_the_engine_is_open_counts() -> None:
    ready = threading.Event()

    def slowly() -> Engine:
        assert ready.wait(SOON)
        return ScriptedEngine.answering(THOUGHT)

    with Session(slowly) as session:
        stream = session.start(ask())
        stream.cancel()
        ready.set()
        assert stream.result(SOON).finish_reason == "cancelled"


def test_stopping_what_has_ended_does_nothing() -> None:
    with answering() as session:
        stream = session.start(ask())
        stream.result(SOON)
        before = stream.events
        stream.cancel()
        assert session.start(ask()).result(SOON).ok
        assert stream.events == before


def test_stopping_one_leaves_the_others_alone() -> None:
    with gated() as (session, engine):
        stopped, kept = session.start(ask()), session.start(ask())
        engine.allow(5)
        wait_for(lambda: engine.steps == 5)
        stopped.cancel()
        engine.allow(10_000)
        assert stopped.result(SOON).finish_reason == "cancelled"
        assert kept.result(SOON).text_of() == THOUGHT


# --- being told ---------------------------------------------------------------------------------


def test_whoever_wants_to_know_of_the_end_is_called_once() -> None:
    calls: list[str] = []
    with gated() as (session, engine):
        stream = session.start(ask())
        stream.when_done(lambda: calls.append("before"))
        engine.allow(3)
        wait_for(lambda: engine.steps == 3)
        assert calls == []
        engine.allow(10_000)
        stream.result(SOON)
        wait_for(lambda: calls == ["before"])
        stream.when_done(lambda: calls.append("after"))
        assert calls == ["before", "after"]


def test_a_call_at_the_end_finds_the_whole_stream() -> None:
    ended: Queue[int] = Queue()
    with answering() as session:
        stream = session.start(ask())
        stream.when_done(lambda: ended.put(len(stream.events)))
        assert ended.get(timeout=SOON) == len(stream.result(SOON).events)


def test_a_finished_stream_is_kept_by_nobody() -> None:
    with answering() as session:
        streams = [session.start(ask()) for _ in range(3)]
        for stream in streams:
            stream.result(SOON)
        wait_for(lambda: not session._by_stream and not session._live)
        gone = weakref.ref(streams[0])
        del stream
        streams.clear()
        session.start(ask()).result(SOON)  # the worker has moved on from the last one
        gc.collect()
        assert gone() is None


# --- closing --------------------------------------------------------------------------------------


def test_closing_ends_every_stream_and_frees_the_engine() -> None:
    engine = Gated("Grüße " * 50)
    session = Session(lambda: engine)
    streams = [session.start(ask(str(i))) for i in range(3)]
    engine.allow(4)
    wait_for(lambda: engine.steps == 4)
    threading.Timer(0.05, engine.allow, (10_000,)).start()
    session.close()
    session.close()
    for stream in streams:
        assert [type(event) for event in stream][-1] is Finished
        assert stream.result(0).finish_reason == "cancelled"
        assert isinstance(stream.events[0], Started)
    assert engine.closed


def test_a_request_still_in_the_queue_is_ended_by_closing() -> None:
    ready = threading.Event()

    def slowly() -> Engine:
        assert ready.wait(SOON)
        return ScriptedEngine.answering(THOUGHT)

    session = Session(slowly)
    stream = session.start(ask())
    closer = threading.Thread(target=session.close)
    closer.start()
    ready.set()
    closer.join(SOON)
    assert stream.result(0).finish_reason == "cancelled"


def test_a_closed_session_takes_no_requests() -> None:
    session = answering()
    session.close()
    with pytest.raises(EngineError, match="closed") as refused:
        session.start(ask())
    assert refused.value.remedy


def test_the_thread_ends_with_the_session() -> None:
    session = answering()
    session.start(ask()).result(SOON)
    session.close()
    assert not session._thread.is_alive()


# --- trouble --------------------------------------------------------------------------------------


def missing() -> Engine:
    raise ModelError("There is no such model.", remedy="Look again.")


def crashing() -> Engine:
    raise ValueError("bad news\nand a second line")


def test_an_engine_that_cannot_be_opened_fails_every_request_with_the_remedy() -> None:
    with Session(missing) as session:
        for _ in range(2):
            generation = session.start(ask()).result(SOON)
            (failed,) = generation.events
            assert isinstance(failed, Failed)
            assert (failed.error, failed.remedy) == ("There is no such model.", "Look again.")
            with pytest.raises(EngineError, match="no such model"):
                generation.raise_for_failure()
        with pytest.raises(ModelError, match="no such model"):
            _ = session.spec


def test_whatever_opening_raises_becomes_an_error_of_ours() -> None:
    with Session(crashing) as session:
        with pytest.raises(EngineError, match="could not be opened: ValueError: bad news") as told:
            _ = session.spec
        assert told.value.remedy
        assert session.start(ask()).result(SOON).finish_reason == "failed"


def test_an_unknown_kind_of_engine_is_named() -> None:
    with Session(EngineSpec(kind="abacus")) as session, pytest.raises(InvalidInput, match="abacus"):
        _ = session.spec


def test_a_request_that_the_engine_refuses_fails_alone() -> None:
    with answering() as session:
        refused = session.start(ask(max_tokens=2**31 - 1))
        fine = session.start(ask())
        (failed,) = refused.result(SOON).events
        assert isinstance(failed, Failed)
        assert "--max-tokens" in failed.remedy
        assert fine.result(SOON).ok


class Faulty(ScriptedEngine):
    """Raises where it is told to."""

    def __init__(self, **broken: Exception) -> None:
        super().__init__(lambda request: THOUGHT)
        self.broken = broken
        self.dropped: list[int] = []

    def submit(self, request: Request, *, submitted: float | None = None) -> int:
        self.check("submit")
        return super().submit(request, submitted=submitted)

    def step(self) -> list[tuple[int, Event]]:
        events = super().step()
        if events and isinstance(events[0][1], Chunk):
            self.check("step")
        return events

    def cancel(self, ticket: int) -> None:
        self.check("cancel")
        self.dropped.append(ticket)
        super().cancel(ticket)

    def check(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]


@pytest.mark.parametrize("where", ["submit", "step"])
@pytest.mark.parametrize("error", [RuntimeError("boom"), EngineError("boom", remedy="Wait.")])
def test_an_engine_that_raises_fails_the_live_requests_and_can_go_on(
    where: str, error: Exception
) -> None:
    engine = Faulty(**{where: error})
    with session_of(engine) as session:
        streams = [session.start(ask()) for _ in range(2)]
        for stream in streams:
            end = stream.result(SOON).end
            assert isinstance(end, Failed)
            assert "boom" in end.error
            assert end.remedy
        engine.broken.clear()
        assert session.start(ask()).result(SOON).text_of() == THOUGHT
    assert (engine.dropped == [1, 2]) is (where == "step")


def test_an_engine_that_cannot_even_cancel_ends_the_request_all_the_same() -> None:
    engine = Faulty(step=RuntimeError("boom"), cancel=RuntimeError("bang"))
    with session_of(engine) as session:
        assert session.start(ask()).result(SOON).finish_reason == "failed"
        engine.broken.pop("step")
        stream = session.start(ask())
        stream.cancel()
        assert stream.result(SOON).finish_reason in ("failed", "stop")


# --- recording ------------------------------------------------------------------------------------


class Notes:
    """A recorder that may refuse an event."""

    def __init__(self, refuse: Callable[[Event], bool] = lambda event: False) -> None:
        self.events: list[Event] = []
        self.refuse = refuse
        self.error: Exception = StoreError("The disk is full.", remedy="Make room.")

    def append(self, event: Event) -> None:
        if self.refuse(event):
            raise self.error
        self.events.append(event)


def test_a_recorder_gets_every_event_of_its_stream() -> None:
    with answering() as session:
        notes = [Notes() for _ in range(3)]
        streams = [session.start(ask(str(i)), note) for i, note in enumerate(notes)]
        for stream, note in zip(streams, notes, strict=True):
            stream.result(SOON)
            assert tuple(note.events) == stream.events
            assert {e.channel for e in note.events if isinstance(e, Chunk)} == {
                Channel.THINKING,
                Channel.ANSWER,
                Channel.MARKER,
            }


def test_a_recorder_gets_a_refusal_too() -> None:
    with Session(missing) as session:
        note = Notes()
        stream = session.start(ask(), note)
        stream.result(SOON)
        assert tuple(note.events) == stream.events


@pytest.mark.parametrize("error", [StoreError("full", remedy="Make room."), OSError("full")])
def test_a_recorder_that_fails_ends_its_own_request_only(error: Exception) -> None:
    engine = Faulty()
    with session_of(engine) as session:
        note = Notes(refuse=lambda event: isinstance(event, Chunk) and event.text == "1")
        note.error = error
        lost, kept = session.start(ask(), note), session.start(ask(), Notes())
        generation = lost.result(SOON)
        assert isinstance(generation.end, Failed)
        assert "full" in generation.end.error
        assert generation.end.remedy
        assert generation.text_of() == "<think>\n1"
        assert kept.result(SOON).text_of() == THOUGHT
        assert session.start(ask()).result(SOON).ok
    assert engine.dropped == [1]


def test_a_recorder_that_fails_at_the_end_loses_no_answer() -> None:
    with answering() as session:
        note = Notes(refuse=lambda event: isinstance(event, Finished))
        assert session.start(ask(), note).result(SOON).answer == "\\boxed{2}"


# --- replay ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        THOUGHT,
        "a <think>b</think> c <think>d</think> e",
        "open <think> and on",
        "Grüße\n</think>\n🙂 <thin",
    ],
)
def test_a_replayed_generation_equals_the_first(text: str) -> None:
    requests = [ask(mode=mode, max_tokens=most) for mode in Mode for most in (7, 500)]
    with answering(text) as session:
        first = [session.start(request).result(SOON) for request in requests]
    with Session(lambda: ScriptedEngine.replaying(first)) as session:
        again = [session.start(request).result(SOON) for request in requests]
    assert [one.events for one in again] == [one.events for one in first]
