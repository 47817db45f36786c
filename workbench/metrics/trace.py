"""A generation's events as its metrics read them, and its tokens one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from workbench.records import (
    Alternatives,
    Channel,
    Chunk,
    Event,
    Generation,
    Progress,
    Started,
    Usage,
)

ANSWER = (Channel.ANSWER, Channel.RAW)  # what was never split is all answer


@dataclass(frozen=True, slots=True)
class Trace:
    """What all metrics are made of, gathered once a generation; times in seconds."""

    started: Started | None  # None: never left the queue
    prefilled: float | None  # end of the prefill; None: not reported, or not reached
    chunks: tuple[Chunk, ...]  # those with ids, in order; where ids are unseen, those with text
    answered: float | None  # first text of the answer that is not white space
    ended: float | None  # None: still going on
    usage: Usage | None = None  # what a remote endpoint counted
    given: int = 0  # chunks at the begin that were given with the request

    @property
    def drawn(self) -> tuple[Chunk, ...]:
        """The chunks that took time: all but those given."""
        return self.chunks[self.given :]

    @property
    def exact(self) -> bool:
        """Whether ids were seen, so that tokens can be counted."""
        return self.started is not None and self.started.prompt_tokens is not None

    @property
    def first(self) -> float | None:
        """Stamp of the first token that was drawn."""
        return self.drawn[0].t if self.drawn else None

    @property
    def last(self) -> float | None:
        """Stamp of the last token that was drawn."""
        return self.drawn[-1].t if self.drawn else None

    @property
    def prompt(self) -> int | None:
        """Tokens of the prompt."""
        known = self.started if self.exact else self.usage
        return known.prompt_tokens if known else None

    @property
    def cached(self) -> int | None:
        """Tokens of the prompt that were in the cache already."""
        known = self.started if self.exact else self.usage
        return known.cached_tokens if known else None

    def count(self, *channels: Channel) -> int | None:
        """Tokens in some channels; ``None`` for a request that never left the queue."""
        if self.exact:
            return sum(len(chunk.ids) for chunk in self.chunks if chunk.channel in channels)
        return _counted(self.usage, self.chunks, frozenset(channels)) if self.usage else None


@dataclass(frozen=True, slots=True)
class TokenTime:
    """One sampled token on the clock."""

    index: int  # from 0
    id: int
    t: float  # seconds since the request was submitted
    gap: float | None  # seconds since the token before; None for the first that was drawn
    channel: Channel
    logprob: float | None  # natural log; None where not recorded
    alternatives: Alternatives | None  # most likely first; None where not recorded
    shared: bool  # a neighbour has the same stamp: one iteration, or text held back


def trace(generation: Generation) -> Trace:
    """What the metrics read of a generation, of one that is going on as far as it has come."""
    end = generation.end
    started = next((e for e in generation.events if isinstance(e, Started)), None)
    unseen = started is not None and started.prompt_tokens is None
    chunks = tuple(one for one in generation.chunks() if (one.text if unseen else one.ids))
    return Trace(
        started=started,
        prefilled=_prefilled(generation.events),
        chunks=chunks,
        answered=_answered(generation.chunks()),
        ended=None if end is None else end.t,
        usage=next((e for e in generation.events if isinstance(e, Usage)), None),
        given=_given(chunks, len(generation.request.opening)),
    )


def token_times(generation: Generation) -> list[TokenTime]:
    """Every token in order, with its stamp and the time since the one before.

    Those of the request's opening share a stamp, and have no gap.
    """
    given = len(generation.request.opening)
    chunks = [chunk for chunk in trace(generation).chunks if chunk.ids]
    stamps = [chunk.t for chunk in chunks for _ in chunk.ids]
    last, rows = len(stamps) - 1, list[TokenTime]()
    for chunk in chunks:
        t, channel = chunk.t, chunk.channel
        logprobs = chunk.logprobs or (None,) * len(chunk.ids)
        alternatives = chunk.alternatives or (None,) * len(chunk.ids)
        for token, logprob, others in zip(chunk.ids, logprobs, alternatives, strict=True):
            i = len(rows)
            gap = t - stamps[i - 1] if i > given else None
            shared = (i > 0 and stamps[i - 1] == t) or (i < last and stamps[i + 1] == t)
            rows.append(TokenTime(i, token, t, gap, channel, logprob, others, shared))
    return rows


def _prefilled(events: Sequence[Event]) -> float | None:
    """When the whole prompt had been read, as last reported before the first token."""
    before = takewhile(lambda event: not (isinstance(event, Chunk) and event.ids), events)
    whole = [e.t for e in before if isinstance(e, Progress) and e.done == e.total]
    return whole[-1] if whole else None


def _given(chunks: Sequence[Chunk], tokens: int) -> int:
    """How many chunks the opening's tokens are; the splitter leaves every id in a chunk."""
    for number, chunk in enumerate(chunks):
        if tokens <= 0:
            return number
        tokens -= len(chunk.ids)
    return len(chunks) if chunks and tokens <= 0 else 0


def _counted(usage: Usage, chunks: Iterable[Chunk], channels: frozenset[Channel]) -> int | None:
    """What an endpoint's counts say of some channels; it tells no tags, and thinking seldom."""
    if channels == frozenset(Channel):
        return usage.output_tokens
    plain = all(chunk.channel in ANSWER for chunk in chunks)  # nothing but answer was shown
    hidden = usage.thinking_tokens or 0
    if channels == {Channel.THINKING}:
        return hidden if hidden or plain else None
    if not plain:
        return None
    if channels == {Channel.MARKER}:
        return 0
    return None if usage.output_tokens is None else usage.output_tokens - hidden


def _answered(chunks: Iterable[Chunk]) -> float | None:
    return next((c.t for c in chunks if c.channel in ANSWER and c.text.strip()), None)
