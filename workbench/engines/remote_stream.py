"""An endpoint's stream of server-sent events, read as the workbench's own.

``data`` cuts bytes into the events' data; ``Reading`` makes chunks of them. Token ids are
never known here: a chunk is a piece of text, and its ids are empty.

A server with a reasoning parser takes the think tags out of the text and sends what stood
between them apart (``reasoning_content``, ``reasoning``). The tags are put back, as pieces of
their own, so that such an answer is split, stored and graded like any other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, Literal

import msgspec

from workbench.engines.remote_trouble import broken_off, cut_short, ended_oddly, unreadable
from workbench.records import Chunk, Event, Finished, Usage
from workbench.thinking import CLOSE, OPEN

DONE = "[DONE]"
_LONGEST = 2**24  # bytes of one event


async def data(parts: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """The data of each event. One that the end of the stream cuts off is none.

    Raises:
        EngineError: An event without an end, or not in UTF-8.
    """
    held, lines = b"", list[bytes]()
    async for part in parts:
        *whole, held = (held + part).split(b"\n")
        for line in whole:
            field, _, value = line.removesuffix(b"\r").partition(b":")
            if field == b"data":
                lines.append(value.removeprefix(b" "))
            elif not field and not value and lines:  # an empty line, not a comment
                yield _text(b"\n".join(lines))
                lines = []
        if len(held) + sum(map(len, lines)) > _LONGEST:
            raise unreadable("an event without an end")


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise unreadable("an event that is not in UTF-8") from None


# --- what the events say --------------------------------------------------------------------------


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None  # the newer name; some send both, with the same text


class _Logprob(msgspec.Struct):
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_Logprob] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    completion_tokens_details: _Details | None = None
    prompt_tokens_details: _Details | None = None


class _Frame(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    object: str = ""


class Reading:
    """What one answer's stream has said so far."""

    def __init__(self) -> None:
        self._usage: _Usage | None = None
        self._reason: str | None = None
        self._thinking = False  # a tag was put back that none has closed

    @property
    def finished(self) -> bool:
        """Whether the endpoint has said why the answer ended."""
        return self._reason is not None

    def read(self, text: str, t: float) -> Iterator[Chunk]:
        """The chunks of one event.

        Args:
            text: Its data.
            t: When it came, seconds since the request was submitted.

        Raises:
            EngineError: It is none of the protocol's, or tells of an error.
        """
        frame = _frame(text)
        self._usage = frame.usage or self._usage
        for choice in frame.choices or ():
            if choice.index == 0:
                yield from self._chunks(choice, t)
                self._reason = choice.finish_reason or self._reason

    def end(self, t: float) -> tuple[Event, ...]:
        """The last events.

        Raises:
            EngineError: The stream is over and the answer is not, or ended as none should.
        """
        usage = () if self._usage is None else (_counts(self._usage, t),)
        if self._reason is None:
            raise cut_short()
        if self._reason not in ("stop", "length"):
            raise ended_oddly(self._reason)
        reason: Literal["stop", "length"] = "stop" if self._reason == "stop" else "length"
        return (*usage, Finished(t, reason))

    def _chunks(self, choice: _Choice, t: float) -> Iterator[Chunk]:
        delta = choice.delta or _Delta()
        thought = delta.reasoning_content or delta.reasoning or ""
        answer = delta.content or ""
        if thought and not self._thinking:
            self._thinking = True
            yield Chunk(t, (), OPEN)
        # A delta with both has one list of log-probabilities: they stay together.
        logprobs = _logprobs(choice)
        if thought:
            yield Chunk(t, (), thought, logprobs=() if answer and logprobs else logprobs)
        if answer and self._thinking:
            self._thinking = False
            yield Chunk(t, (), CLOSE)
        if answer:
            yield Chunk(t, (), answer, logprobs=logprobs)


def _frame(text: str) -> _Frame:
    try:
        frame = msgspec.json.decode(text, type=_Frame)
    except (msgspec.DecodeError, RecursionError):
        raise unreadable("an event that is not as the protocol has it") from None
    if frame.error is not None or frame.object == "error":
        raise broken_off(text.encode())
    return frame


def _logprobs(choice: _Choice) -> tuple[float, ...] | None:
    listed = choice.logprobs.content if choice.logprobs else None
    return tuple(one.logprob for one in listed) if listed else None


def _counts(usage: _Usage, t: float) -> Usage:
    output, prompt = usage.completion_tokens_details, usage.prompt_tokens_details
    return Usage(
        t,
        prompt_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        thinking_tokens=output.reasoning_tokens if output else None,
        cached_tokens=prompt.cached_tokens if prompt else None,
    )
