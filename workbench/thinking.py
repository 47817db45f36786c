"""A generation's text split into thinking, answer and the think tags between them.

Two steps. While tokens arrive, ``Splitter`` recognises ``<think>`` and ``</think>``
on the text (a tag may span several tokens) and sends every character to a channel
as early as it can be known. When the generation has ended, ``settle`` applies the
rules that need hindsight, and ``flags`` says what was unusual.

The model writes ``<think>`` itself, so both start outside thinking in every mode.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from workbench.records import Channel, Chunk, Event, Generation, Mode

OPEN = "<think>"
CLOSE = "</think>"
_TAG = re.compile(f"{OPEN}|{CLOSE}")
_BEGINNINGS = frozenset(tag[:size] for tag in (OPEN, CLOSE) for size in range(1, len(tag)))


class Splitter:
    """Cuts an engine's raw chunks at the think tags, while they arrive.

    Over all calls the texts join to the input's, every id is in exactly one chunk,
    and order, ``t``, log-probabilities and alternatives are kept:

    - A token that carries any character of a tag counts as a marker; the rest of
      its text goes out as a chunk without ids, in its own channel.
    - Text is held back only while it is the beginning of a tag, which is at most
      seven characters. A token of which a part is held keeps its id for that part.
    - A chunk of several ids that holds a ``<`` is taken apart, and its characters
      are dealt to the ids in equal shares: which id wrote which is not known here.
      Engines that want it exact emit one chunk an id.
    """

    def __init__(self) -> None:
        self._inside = False
        self._held: list[Chunk] = []  # their texts join to the beginning of a tag

    def feed(self, chunk: Chunk) -> list[Chunk]:
        """What is certain once ``chunk`` has arrived; possibly nothing."""
        if not self._held and "<" not in chunk.text:
            return [replace(chunk, channel=self._channel)]
        return [part for token in _tokens(chunk) for part in self._push(token)]

    def close(self) -> list[Chunk]:
        """What was held back: no tag will come of it."""
        held, self._held = self._held, []
        return [replace(token, channel=self._channel) for token in held]

    @property
    def thinking(self) -> bool:
        """Whether an opening tag has come that no closing one has followed."""
        return self._inside

    @property
    def held(self) -> int:
        """Ids of text held back: the text so far ends with what may become a tag."""
        return sum(len(chunk.ids) for chunk in self._held)

    @property
    def _channel(self) -> Channel:
        return Channel.THINKING if self._inside else Channel.ANSWER

    def _push(self, token: Chunk) -> Iterator[Chunk]:
        before = "".join(held.text for held in self._held)
        stretches = list(self._stretches(before + token.text))
        # "<" stands only at the start of a tag, so what was held has one fate: the first's.
        channel = stretches[0][1]
        if channel is None:
            self._held.append(token)
            return
        yield from (replace(held, channel=channel) for held in self._held)
        self._held = []
        stretches[0] = (stretches[0][0][len(before) :], channel)
        for part, channel in _divide(token, stretches):
            if channel is None:
                self._held = [part]
            else:
                yield replace(part, channel=channel)

    def _stretches(self, text: str) -> Iterator[tuple[str, Channel | None]]:
        """Stretches of one channel in order; ``None``: the beginning of a tag, perhaps."""
        start = 0
        for tag in _TAG.finditer(text):
            if tag.start() > start:
                yield text[start : tag.start()], self._channel
            yield tag[0], Channel.MARKER
            self._inside = tag[0] == OPEN
            start = tag.end()
        hold = _hold_from(text, start)
        if start < hold or not text:
            yield text[start:hold], self._channel
        if hold < len(text):
            yield text[hold:], None


def _hold_from(text: str, start: int) -> int:
    """Where the text begins that may still become a tag; its length if nowhere."""
    last = text.rfind("<", start)
    return last if last >= 0 and text[last:] in _BEGINNINGS else len(text)


def _tokens(chunk: Chunk) -> Iterator[Chunk]:
    """A chunk taken apart into chunks of one id, its characters dealt in equal shares."""
    count = len(chunk.ids)
    if not count:
        yield chunk
    size = len(chunk.text)
    for i in range(count):
        text = chunk.text[size * i // count : size * (i + 1) // count]
        yield _part(chunk, text, slice(i, i + 1))


def _divide(
    token: Chunk, stretches: Sequence[tuple[str, Channel | None]]
) -> Iterator[tuple[Chunk, Channel | None]]:
    """The token's part in each stretch; its id goes to the marker, else to the last part."""
    parts = [part for part in stretches if part[0]] or stretches[:1]
    channels = [channel for _, channel in parts]
    marked = Channel.MARKER in channels
    owner = channels.index(Channel.MARKER) if marked else len(parts) - 1
    for i, (text, channel) in enumerate(parts):
        yield _part(token, text, slice(None) if i == owner else slice(0, 0)), channel


def _part(chunk: Chunk, text: str, ids: slice) -> Chunk:
    logprobs, alternatives = chunk.logprobs, chunk.alternatives
    return replace(
        chunk,
        text=text,
        ids=chunk.ids[ids],
        logprobs=None if logprobs is None else logprobs[ids],
        alternatives=None if alternatives is None else alternatives[ids],
        draft=chunk.draft if chunk.ids[ids] else None,
    )


# --- with hindsight -----------------------------------------------------------------------------


def settle(events: Sequence[Event], mode: Mode) -> tuple[Event, ...]:
    """The events of a whole generation with the channels that hindsight gives them.

    Thinking runs from the first opening tag to the last closing one (to the end, if
    an opening tag follows that), tags left out. With reasoning on, a closing tag
    that nothing opened makes everything before it thinking; with reasoning off only
    text behind an opening tag is ever thinking, and only as far as tags that were
    open close. Text before the first opening tag stays answer.

    Pure, and a second time changes nothing.

    Args:
        events: Events whose chunks a ``Splitter`` has cut.
        mode: The arm that was asked for.
    """
    begin, end = _thinking_span(_tags(_text(events)), mode)
    settled: list[Event] = []
    position = 0
    for event in events:
        if isinstance(event, Chunk):
            settled.append(_settled(event, inside=begin <= position <= end))
            position += len(event.text)
        else:
            settled.append(event)
    return tuple(settled)


@dataclass(frozen=True, slots=True)
class Flags:
    """What was unusual about a generation's thinking; all false for a plain one."""

    incomplete: bool  # an opening tag was never closed: there is no answer
    leaked: bool  # reasoning was off and an opening tag came all the same
    orphan_close: bool  # a closing tag that nothing opened
    reopened: bool  # more than one opening tag
    preamble: bool  # text before the opening tag, which counts as answer
    empty_thinking: bool  # a closed block with nothing in it; valid with reasoning on
    forced_close: bool  # the engine closed it, at the budget; the model had not


def flags(generation: Generation) -> Flags:
    """The flags of a generation, of one that is still going on as far as it has come."""
    text, mode = _text(generation.events), generation.request.mode
    tags = _tags(text)
    begin, end = _thinking_span(tags, mode)
    opens = [tag for tag in tags if tag[0] == OPEN]
    incomplete = bool(tags) and tags[-1][0] == OPEN
    return Flags(
        incomplete=incomplete,
        leaked=bool(opens) and mode is not Mode.ON,
        orphan_close=len(_closing(tags, Mode.OFF)) < len(tags) - len(opens),
        reopened=len(opens) > 1,
        preamble=bool(opens) and begin == opens[0].end() and not _blank(text[: opens[0].start()]),
        empty_thinking=begin <= end and not incomplete and _blank(text[begin:end]),
        forced_close=_forced_close(generation, tags),
    )


def _text(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Chunk))


def _tags(text: str) -> list[re.Match[str]]:
    return list(_TAG.finditer(text))


def _blank(text: str) -> bool:
    return not _TAG.sub("", text).strip()


def _closing(tags: list[re.Match[str]], mode: Mode) -> list[re.Match[str]]:
    """The closing tags that may end the thinking: with reasoning off, those that close one."""
    before = [None, *(tag[0] for tag in tags)]
    return [
        tag
        for tag, last in zip(tags, before, strict=False)
        if tag[0] == CLOSE and (mode is Mode.ON or last == OPEN)
    ]


def _forced_close(generation: Generation, tags: list[re.Match[str]]) -> bool:
    """Whether a closing tag stands behind the first forced id: a cut-off one closes nothing."""
    position, given = 0, len(generation.request.opening)
    for chunk in generation.chunks():
        if chunk.forced and given <= 0:
            return any(tag[0] == CLOSE and tag.end() > position for tag in tags)
        given -= len(chunk.ids)
        position += len(chunk.text)
    return False


def _thinking_span(tags: list[re.Match[str]], mode: Mode) -> tuple[int, int]:
    """Positions where thinking begins and ends in the text; the end is -1 if there is none."""
    opens = [tag for tag in tags if tag[0] == OPEN]
    closes = _closing(tags, mode)
    if not opens and not closes:
        return 0, -1
    orphaned = mode is Mode.ON and tags[0][0] == CLOSE
    begin = 0 if orphaned else opens[0].end()
    return begin, sys.maxsize if tags[-1][0] == OPEN else closes[-1].start()


def _settled(chunk: Chunk, *, inside: bool) -> Chunk:
    channel = Channel.THINKING if inside else Channel.ANSWER
    if chunk.channel in (Channel.MARKER, channel):
        return chunk
    return replace(chunk, channel=channel)
