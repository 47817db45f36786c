"""The session: one worker thread that owns an engine, and any number of callers.

An engine is not thread-safe and its work holds the interpreter for long
stretches, so exactly one thread touches it: it opens the engine, submits,
steps, cancels and closes. Callers get a ``Stream`` at once. Commands are looked
at between two iterations, so a Stop takes effect within one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Protocol

from workbench.engines import Engine, LoadProgress, let_go, open_engine
from workbench.errors import EngineError, WorkbenchError
from workbench.records import Chunk, EngineSpec, Event, Failed, Finished, Request
from workbench.stream import Stream
from workbench.thinking import Splitter


class Recorder(Protocol):
    """Whoever keeps a generation's events as they come; must return quickly."""

    def append(self, event: Event) -> None:
        """Keep one event."""


@dataclass(slots=True)
class _Live:
    stream: Stream
    recorder: Recorder | None
    splitter: Splitter = field(default_factory=Splitter)
    ticket: int | None = None
    cancelled: bool = False


class Session:
    """Requests in, streams out.

    Args:
        engine: A specification to open, or a function that opens an engine; it is
            called on the worker thread.
        progress: Told there how far the loading of a model is, see ``engines.LoadProgress``.

    The engine opens in the background: an error in opening it is raised by ``spec``
    and is the ``Failed`` event of every request.
    """

    def __init__(
        self,
        engine: EngineSpec | Callable[[], Engine] | None = None,
        *,
        progress: LoadProgress | None = None,
    ) -> None:
        asked = engine or EngineSpec()
        opens = _opening(asked, progress) if isinstance(asked, EngineSpec) else asked
        self._open: Callable[[], Engine] = opens
        self._asked = asked if isinstance(asked, EngineSpec) else EngineSpec(kind="custom")
        self._commands: deque[tuple[str, _Live]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._live: dict[int, _Live] = {}
        self._by_stream: dict[Stream, _Live] = {}
        self._engine: Engine | None = None
        self._problem: WorkbenchError | None = None
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._work, name="workbench-engine", daemon=True)
        self._thread.start()

    # --- callers ----------------------------------------------------------------------------------

    @property
    def spec(self) -> EngineSpec:
        """The open engine's specification; waits until it is open.

        Raises:
            WorkbenchError: The engine could not be opened.
        """
        self._opened.wait()
        if self._problem is not None:
            raise self._problem
        assert self._engine is not None
        return self._engine.spec

    def start(self, request: Request, recorder: Recorder | None = None) -> Stream:
        """Ask; returns at once.

        Args:
            request: What is asked.
            recorder: Gets every event of the stream.

        Raises:
            EngineError: The session is closed.
        """
        stream = Stream(request, self._known_spec, self._cancel)
        with self._wake:
            if self._closing:
                raise EngineError("The session is closed.", remedy="Open a new one.")
            live = _Live(stream, recorder)
            self._by_stream[stream] = live
            self._commands.append(("submit", live))
            self._wake.notify()
        return stream

    def close(self) -> None:
        """Cancel what is running, free the model, end the thread; safe to call twice."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _cancel(self, stream: Stream) -> None:
        with self._wake:
            live = self._by_stream.get(stream)
            if live is not None:
                self._commands.append(("cancel", live))
                self._wake.notify()

    def _known_spec(self) -> EngineSpec:
        return self._engine.spec if self._engine is not None else self._asked

    # --- the worker thread ------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._engine = self._open()
        except WorkbenchError as error:
            let_go(error)
            self._problem = error
        except Exception as error:  # a library's; the user is told, the thread goes on answering
            let_go(error)
            self._problem = _unexpected("The engine could not be opened", error)
        self._opened.set()
        while self._take_commands():
            self._step()
        self._shut()

    def _take_commands(self) -> bool:
        """Carry out what callers asked; sleeps when there is nothing to do."""
        with self._wake:
            while not (self._commands or self._live or self._closing):
                self._wake.wait()
            commands, self._commands = self._commands, deque()
        for command, live in commands:
            if command == "submit":
                self._submit(live)
            else:
                self._stop(live)
        return not self._closing

    def _submit(self, live: _Live) -> None:
        if self._problem is not None or self._engine is None:
            self._refuse(live, self._problem)
            return
        try:
            live.ticket = self._engine.submit(live.stream.request, submitted=live.stream.submitted)
        except WorkbenchError as error:
            self._refuse(live, error)
        except Exception as error:
            self._refuse(live, _unexpected("The request could not be started", error))
        else:
            self._live[live.ticket] = live

    def _stop(self, live: _Live) -> None:
        if live.ticket is None or live.ticket not in self._live or self._engine is None:
            return
        try:
            self._engine.cancel(live.ticket)
        except Exception as error:
            self._refuse(live, _unexpected("The request could not be cancelled", error))

    def _abandon(self, live: _Live) -> None:
        """Cancel a request whose end is told here; a broken engine may not be able to."""
        if live.ticket is not None and self._engine is not None:
            with suppress(Exception):
                self._engine.cancel(live.ticket)

    def _step(self) -> None:
        if not self._live or self._engine is None:
            return
        try:
            events = self._engine.step()
        except Exception as error:  # an engine's own handling failed: nothing it holds can go on
            problem = _unexpected("The engine failed", error)
            for live in list(self._live.values()):
                self._abandon(live)
                self._refuse(live, problem)
            return
        news: dict[int, list[Event]] = {}
        for ticket, event in events:
            news.setdefault(ticket, []).append(event)
        for ticket, brought in news.items():
            if ticket in self._live:
                self._deliver(self._live[ticket], brought)

    def _deliver(self, live: _Live, events: Sequence[Event]) -> None:
        """Split the texts, keep the events, tell the readers."""
        split = [part for event in events for part in _split(live.splitter, event)]
        problem = _record(live, split)
        if problem is not None and not isinstance(split[-1], Finished | Failed):
            self._abandon(live)
            t = split[-1].t
            split += [*live.splitter.close(), Failed(t, problem.message, problem.remedy)]
        if split and isinstance(split[-1], Finished | Failed):
            self._by_stream.pop(live.stream, None)
            if live.ticket is not None:
                self._live.pop(live.ticket, None)
        live.stream.extend(split)

    def _refuse(self, live: _Live, error: WorkbenchError | None) -> None:
        told = error or EngineError("The session is closed.", remedy="Open a new one.")
        t = time.perf_counter() - live.stream.submitted
        self._deliver(live, [Failed(t, told.message, told.remedy)])

    def _shut(self) -> None:
        """End every stream, so that no reader waits for ever, and free the engine."""
        for live in list(self._live.values()):
            self._stop(live)
        self._step()  # the engine ends them itself, so that text it held back is not lost
        for live in list(self._by_stream.values()):
            t = time.perf_counter() - live.stream.submitted
            self._deliver(live, [Finished(t, "cancelled")])
        if self._engine is not None:
            self._engine.close()


def _opening(spec: EngineSpec, progress: LoadProgress | None) -> Callable[[], Engine]:
    if progress is None:
        return partial(open_engine, spec)
    return partial(open_engine, spec, progress)


def _record(live: _Live, events: Sequence[Event]) -> WorkbenchError | None:
    """Hand events to the recorder, and say why if it cannot keep them; then it is left alone."""
    if live.recorder is None:
        return None
    try:
        for event in events:
            live.recorder.append(event)
    except WorkbenchError as error:
        problem = error
    except Exception as error:  # whatever keeps the events; the other requests go on
        problem = _unexpected("The generation could not be recorded", error)
    else:
        return None
    live.recorder = None
    return problem


def _split(splitter: Splitter, event: Event) -> list[Event]:
    if isinstance(event, Chunk):
        return list(splitter.feed(event))
    if isinstance(event, Finished | Failed):
        return [*splitter.close(), event]
    return [event]


def _unexpected(what: str, error: Exception) -> EngineError:
    lines = str(error).strip().splitlines()
    return EngineError(
        f"{what}: {type(error).__name__}: {lines[0] if lines else 'no message'}",
        remedy="`workbench doctor` shows what this machine has; if it recurs, report it.",
    )
