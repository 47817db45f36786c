"""A stream as a page reads it: runs of text by channel, with offsets that show a lost message."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from workbench.printable import printable
from workbench.records import Channel, Chunk, Event, Failed, Finished, Generation, Started

Run = list[str]  # [channel's letter, text]

LETTER = {
    Channel.THINKING: "t",
    Channel.ANSWER: "a",
    Channel.RAW: "a",
    Channel.MARKER: "m",
}.__getitem__


class Followed(Protocol):
    """A stream, or what stands in for one."""

    def since(self, seen: int) -> Sequence[Event]:
        """The events from the one of this number on."""

    def snapshot(self) -> Generation:
        """The generation as far as it has come, its channels settled."""

    def cancel(self) -> None:
        """Stop it, if it is running."""


class Ended:
    """A generation that is there already, followed like a stream."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    def since(self, seen: int) -> Sequence[Event]:
        return self._generation.events[seen:]

    def snapshot(self) -> Generation:
        return self._generation

    def cancel(self) -> None:
        """There is nothing to stop."""


class Runs:
    """Text in stretches of one channel, neighbours of different ones; lengths in UTF-16 units."""

    def __init__(self, chunks: Iterable[Chunk] = ()) -> None:
        self._parts: list[tuple[str, list[str]]] = []
        self.length = 0
        for chunk in chunks:
            self.add(chunk)

    def add(self, chunk: Chunk) -> None:
        """Append a chunk's text, with every character that would act made visible."""
        text, letter = printable(chunk.text), LETTER(chunk.channel)
        if not text:
            return
        if not self._parts or self._parts[-1][0] != letter:
            self._parts.append((letter, []))
        self._parts[-1][1].append(text)
        self.length += units(text)

    def joined(self) -> list[Run]:
        return [[letter, "".join(parts)] for letter, parts in self._parts]

    def __bool__(self) -> bool:
        return bool(self._parts)


class Feed:
    """What has come of one stream; read by one thread, asked by any.

    Offsets count UTF-16 units, as the page's strings do.
    """

    def __init__(self, stream: Followed) -> None:
        self.stream = stream
        self._lock = threading.Lock()
        self._seen = 0
        self._whole, self._fresh = Runs(), Runs()
        self._sent = 0
        self._settled: Runs | None = None
        self._tokens = dict.fromkeys("tam", 0)
        self._times: dict[str, float | None] = dict.fromkeys(("first", "last", "answer"))
        self._started: Started | None = None
        self.end: Finished | Failed | None = None

    def read(self) -> bool:
        """Take in what is new; whether there was anything."""
        events = self.stream.since(self._seen)
        with self._lock:
            self._seen += len(events)
            for event in events:
                self._take(event)
        return bool(events)

    def delta(self) -> dict[str, Any] | None:
        """What has come since the last one; ``None`` if nothing has."""
        with self._lock:
            if not self._fresh:
                return None
            fresh, self._fresh = self._fresh, Runs()
            offset, self._sent = self._sent, self._whole.length
            return {"o": offset, "s": fresh.joined()} | self._counts()

    def snapshot(self) -> dict[str, Any]:
        """Everything so far; after the end, with the channels that hindsight gives."""
        if self.end is not None and self._settled is None:
            self._settled = Runs(self.stream.snapshot().chunks())
        with self._lock:
            runs = self._settled or self._whole
            return {"s": runs.joined(), "n": runs.length} | self._counts()

    def _take(self, event: Event) -> None:
        if isinstance(event, Started):
            self._started = event
        elif isinstance(event, Chunk):
            self._write(event)
        elif isinstance(event, Finished | Failed):
            self.end = event

    def _write(self, chunk: Chunk) -> None:
        letter = LETTER(chunk.channel)
        if chunk.ids:
            self._tokens[letter] += len(chunk.ids)
            self._times["last"] = chunk.t
            if self._times["first"] is None:
                self._times["first"] = chunk.t
        if letter == "a" and self._times["answer"] is None and chunk.text.strip():
            self._times["answer"] = chunk.t
        self._whole.add(chunk)
        self._fresh.add(chunk)

    def _counts(self) -> dict[str, Any]:
        started = self._started
        return {
            "tokens": dict(self._tokens),
            "times": dict(self._times),
            "prompt": None if started is None else started.prompt_tokens,
            "cached": None if started is None else started.cached_tokens,
        }


def units(text: str) -> int:
    """Length as JavaScript counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
