"""A generation's time and tokens, cut into the phases that figures colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from types import MappingProxyType

from workbench.metrics import TokenTime, token_times, trace
from workbench.records import Channel, Finished, Generation

_PHASE_OF: Mapping[Channel, str] = MappingProxyType(
    {
        Channel.THINKING: "thinking",
        Channel.MARKER: "think tags",
        Channel.ANSWER: "answer",
        Channel.RAW: "answer",
    }
)


@dataclass(frozen=True, slots=True)
class Token:
    """One sampled token: its time, and what a figure shows of it."""

    time: TokenTime
    phase: str
    text: str  # of its chunk, which may hold several tokens


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time in one phase."""

    phase: str
    begin: float  # seconds since the request was submitted
    end: float
    tokens: int  # sampled in it

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def tokens(generation: Generation) -> list[Token]:
    """Every sampled token in order."""
    texts = [chunk.text for chunk in generation.chunks() for _ in chunk.ids]
    return [
        Token(time, _PHASE_OF[time.channel], text)
        for time, text in zip(token_times(generation), texts, strict=True)
    ]


def segments(generation: Generation) -> list[Segment]:
    """The whole of a generation's time in order, without gaps; empty phases left out.

    A token's time is that from the token before it to its own: the first token is a
    phase of its own, after the prefill; the iteration that drew the stop token is
    the last.
    """
    return [segment for segment in _segments(generation) if segment.seconds > 0 or segment.tokens]


def _segments(generation: Generation) -> Iterator[Segment]:
    read = trace(generation)
    if read.started is None:
        return
    begun = read.started.t
    yield Segment("queue", 0.0, begun, 0)
    prefilled = begun if read.prefilled is None else read.prefilled
    yield Segment("prefill", begun, prefilled, 0)
    sampled = tokens(generation)
    if sampled:
        yield Segment("first token", prefilled, sampled[0].time.t, 1)
        yield from _runs(sampled)
    end = generation.end
    if isinstance(end, Finished):
        last, phase = (sampled[-1].time.t, sampled[-1].phase) if sampled else (prefilled, "prefill")
        yield Segment("stop token" if end.reason == "stop" else phase, last, end.t, 0)


def _runs(sampled: list[Token]) -> Iterator[Segment]:
    """Neighbouring tokens of one phase, from the second token on."""
    steps = [(before.time.t, token) for before, token in pairwise(sampled)]
    for phase, group in groupby(steps, key=lambda step: step[1].phase):
        run = list(group)
        yield Segment(phase, run[0][0], run[-1][1].time.t, len(run))
