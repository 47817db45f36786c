"""A generation under way: an append-only list of events that anyone can follow.

Live and replay are the same thing: every reader iterates from the first event,
whenever it begins, and sees the same list.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence

from workbench.errors import EngineError
from workbench.records import EngineSpec, Event, Failed, Finished, Generation, Request
from workbench.thinking import settle

_POLL = 0.02  # seconds between looks in ``await``; the kernel's loop stays free meanwhile


class Stream:
    """Follow it (``for event in stream``), wait for it, await it, or cancel it.

    Args:
        request: What was asked.
        spec: Who answers, once known.
        cancel: Called with the stream when somebody cancels it.
    """

    def __init__(
        self, request: Request, spec: Callable[[], EngineSpec], cancel: Callable[[Stream], None]
    ) -> None:
        self.request = request
        self.submitted = time.perf_counter()
        self._spec = spec
        self._cancel = cancel
        self._events: list[Event] = []
        self._news = threading.Condition()
        self._ended = threading.Event()
        self._calls: list[Callable[[], None]] = []  # to be made once, at the end

    @property
    def done(self) -> bool:
        """Whether the last event is there."""
        return self._ended.is_set()

    @property
    def events(self) -> tuple[Event, ...]:
        """What has come so far."""
        return tuple(self._events)

    def since(self, seen: int) -> list[Event]:
        """The events after the first ``seen`` that have come so far; never waits."""
        return self._events[seen:]

    def cancel(self) -> None:
        """Stop the generation within one iteration; what was generated is kept."""
        if not self.done:
            self._cancel(self)

    def when_done(self, call: Callable[[], None]) -> None:
        """Have something called when the last event is there, at once if it is.

        It is called on the session's thread, which decodes for everybody: it must be quick.
        """
        with self._news:
            if not self.done:
                self._calls.append(call)
                return
        call()

    def __iter__(self) -> Iterator[Event]:
        """Every event from the first; an interrupt of the wait cancels the generation."""
        seen = 0
        while True:
            fresh = self._wait_beyond(seen)
            yield from fresh
            seen += len(fresh)
            if isinstance(fresh[-1], Finished | Failed):
                return

    def _wait_beyond(self, seen: int) -> list[Event]:
        try:
            with self._news:
                self._news.wait_for(lambda: len(self._events) > seen)
                return self._events[seen:]
        except KeyboardInterrupt:
            self.cancel()
            raise

    def result(self, timeout: float | None = None) -> Generation:
        """Wait for the end; an interrupt of the wait cancels the generation.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            EngineError: It took longer than ``timeout``; the generation goes on.
        """
        try:
            ended = self._ended.wait(timeout)
        except KeyboardInterrupt:
            self.cancel()
            raise
        if not ended:
            raise EngineError(
                f"The generation has not ended within {timeout:g} seconds.",
                remedy="Wait longer, or cancel it.",
            )
        return self.snapshot()

    def snapshot(self) -> Generation:
        """The generation as far as it has come, its channels settled."""
        return Generation(self.request, self._spec(), settle(self.events, self.request.mode))

    def __await__(self) -> Generator[object, None, Generation]:
        return self._wait().__await__()

    async def _wait(self) -> Generation:
        try:
            while not self.done:
                await asyncio.sleep(_POLL)
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.cancel()
            raise
        return self.snapshot()

    def extend(self, events: Sequence[Event]) -> None:
        """Append events; only whoever answers does, as a rule the session's worker."""
        calls: list[Callable[[], None]] = []
        with self._news:
            self._events.extend(events)
            if events and isinstance(events[-1], Finished | Failed):
                self._ended.set()
                calls, self._calls = self._calls, []
            self._news.notify_all()
        for call in calls:
            call()
