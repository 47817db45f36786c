"""A generation's events as its metrics read them, and its tokens one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from workbench.records import Alternatives, Channel, Chunk, Event, Generation, Progress, Started

ANSWER = (Channel.ANSWER, Channel.RAW)  # what was never split is all answer


@dataclass(frozen=True, slots=True)
class Trace:
    """What all metrics are made of, gathered once a generation; times in seconds."""

    started: Started | None  # None: never left the queue
    prefilled: float | None  # end of the prefill; None: not reported, or not reached
    chunks: tuple[Chunk, ...]  # those with ids, in order
    answered: float | None  # first text of the answer that is not white space
    ended: float | None  # None: still going on

    @property
    def first(self) -> float | None:
        """Stamp of the first token."""
        return self.chunks[0].t if self.chunks else None

    @property
    def last(self) -> float | None:
        """Stamp of the last token."""
        return self.chunks[-1].t if self.chunks else None

    def count(self, *channels: Channel) -> int | None:
        """Sampled ids in some channels; ``None`` for a request that never left the queue."""
        if self.started is None:
            return None
        return sum(len(chunk.ids) for chunk in self.chunks if chunk.channel in channels)


@dataclass(frozen=True, slots=True)
class TokenTime:
    """One sampled token on the clock."""

    index: int  # from 0
    id: int
    t: float  # seconds since the request was submitted
    gap: float | None  # seconds since the token before; None for the first
    channel: Channel
    logprob: float | None  # natural log; None where not recorded
    alternatives: Alternatives | None  # most likely first; None where not recorded
    shared: bool  # a neighbour has the same stamp: one iteration, or text held back


def trace(generation: Generation) -> Trace:
    """What the metrics read of a generation, of one that is going on as far as it has come."""
    end = generation.end
    return Trace(
        started=next((e for e in generation.events if isinstance(e, Started)), None),
        prefilled=_prefilled(generation.events),
        chunks=tuple(chunk for chunk in generation.chunks() if chunk.ids),
        answered=_answered(generation.chunks()),
        ended=None if end is None else end.t,
    )


def token_times(generation: Generation) -> list[TokenTime]:
    """Every sampled token in order, with its stamp and the time since the one before."""
    chunks = trace(generation).chunks
    stamps = [chunk.t for chunk in chunks for _ in chunk.ids]
    rows: list[TokenTime] = []
    for chunk in chunks:
        logprobs = chunk.logprobs or (None,) * len(chunk.ids)
        alternatives = chunk.alternatives or (None,) * len(chunk.ids)
        for token, logprob, others in zip(chunk.ids, logprobs, alternatives, strict=True):
            index = len(rows)
            gap = chunk.t - stamps[index - 1] if index else None
            shared = chunk.t in (stamps[index - 1 : index] + stamps[index + 1 : index + 2])
            rows.append(
                TokenTime(index, token, chunk.t, gap, chunk.channel, logprob, others, shared)
            )
    return rows


def _prefilled(events: Sequence[Event]) -> float | None:
    """When the whole prompt had been read, as last reported before the first token."""
    before = takewhile(lambda event: not (isinstance(event, Chunk) and event.ids), events)
    whole = [e.t for e in before if isinstance(e, Progress) and e.done == e.total]
    return whole[-1] if whole else None


def _answered(chunks: Iterable[Chunk]) -> float | None:
    return next((c.t for c in chunks if c.channel in ANSWER and c.text.strip()), None)
