"""A latency run token by token: latency by position, and the gaps that stand out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.experiments.latency_stages import Lab, Reading, Setting, Stage, read
from workbench.experiments.run import Run
from workbench.metrics import token_times
from workbench.records import Channel

_BANDS = 40  # most stretches of positions
_SPREADS = 6.0  # spreads above the median at which a gap stands out …
_TIMES = 2.0  # … if it is so many times the median besides
_MAD = 1.4826  # median absolute deviation of a normal distribution -> its standard deviation

THRESHOLD = (
    f"A gap stands out when it is longer than the median of its stage by more than {_SPREADS:g} "
    f"spreads (1.4826 times the median absolute deviation) and at least {_TIMES:g} times as long."
)


@dataclass(frozen=True, slots=True)
class Band:
    """Gaps of a stretch of positions, over all requests of a stage; seconds."""

    first: int  # positions of the later tokens, both ends included; the first token is 0
    last: int
    count: int  # gaps
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float
    thinking: float  # share of the gaps that are before thinking tokens


def positions(run: Run | Lab, *, most: int = _BANDS) -> dict[Setting, tuple[Band, ...]]:
    """Inter-token latency by position: percentiles over all requests, in equal stretches.

    Args:
        run: Of a latency plan.
        most: Stretches at most.
    """
    return {stage.setting: tuple(_bands(stage, most)) for stage in read(run)}


@dataclass(frozen=True, slots=True)
class Outlier:
    """A gap that stands out, and the token it was waited for."""

    setting: Setting
    generation: int  # index in the run
    position: int  # of the token, from 0
    id: int
    text: str  # of its chunk, untrusted
    phase: str  # thinking, marker or answer
    gap: float  # seconds
    median: float  # seconds, of its stage
    because: str  # another request's prompt was read, or nothing that the run tells


def outliers(run: Run | Lab, *, most: int = 50) -> tuple[Outlier, ...]:
    """The gaps that stand out by ``THRESHOLD``, most times their median first.

    Args:
        run: Of a latency plan.
        most: At most so many.
    """
    lab = read(run)
    found = [
        (gap / median, stage, reading, place, median)
        for stage in lab
        for reading, place, gap, median in _long(stage)
    ]
    found.sort(key=lambda one: -one[0])
    return tuple(_outlier(lab, *one[1:]) for one in found[:most])


def counted(run: Run | Lab) -> tuple[int, int]:
    """How many gaps stand out, and how many there are."""
    lab = read(run)
    every = sum(len(reading.gaps) for stage in lab for reading in stage.good)
    return sum(1 for stage in lab for _ in _long(stage)), every


def _bands(stage: Stage, most: int) -> Iterator[Band]:
    good = [reading for reading in stage.good if len(reading.gaps)]
    if not good:
        return
    longest = max(len(reading.gaps) for reading in good)
    place = np.concatenate([np.arange(1, len(reading.gaps) + 1) for reading in good])
    gap = np.concatenate([reading.gaps for reading in good])
    thinks = np.concatenate([reading.thinking for reading in good])
    width = -(-longest // most)
    for first in range(1, longest + 1, width):
        inside = (place >= first) & (place < first + width)
        p5, p25, p50, p75, p95 = map(float, np.percentile(gap[inside], (5, 25, 50, 75, 95)))
        last = min(first + width - 1, longest)
        share = float(thinks[inside].mean())
        yield Band(first, last, int(inside.sum()), p5, p25, p50, p75, p95, share)


def _long(stage: Stage) -> Iterator[tuple[Reading, int, float, float]]:
    """Request, position of the token, gap, median of the stage."""
    pooled = np.concatenate([np.empty(0), *(reading.gaps for reading in stage.good)])
    if not pooled.size:
        return
    median = float(np.median(pooled))
    spread = _MAD * float(np.median(np.abs(pooled - median)))
    for reading in stage.good:
        long = (reading.gaps > median + _SPREADS * spread) & (reading.gaps >= _TIMES * median)
        for place in np.flatnonzero(long & (median > 0)):
            yield reading, int(place) + 1, float(reading.gaps[place]), median


def _outlier(lab: Lab, stage: Stage, reading: Reading, place: int, median: float) -> Outlier:
    generation = lab.run.generations[reading.index]
    time = token_times(generation)[place]
    texts = [chunk.text for chunk in generation.chunks() for _ in chunk.ids]
    return Outlier(
        setting=stage.setting,
        generation=reading.index,
        position=place,
        id=time.id,
        text=texts[place],
        phase=str(Channel.ANSWER if time.channel is Channel.RAW else time.channel),
        gap=float(reading.gaps[place - 1]),
        median=median,
        because=_because(stage, reading, place),
    )


def _because(stage: Stage, reading: Reading, place: int) -> str:
    """Whether a prompt of the same stage was being read between the two tokens."""
    if reading.submitted is None:
        return "unknown: moments were not kept"
    token = reading.stamps[place]
    before = reading.stamps[bisect_right(reading.stamps, token - 1e-12) - 1]
    begin, end = reading.submitted + before, reading.submitted + token
    others = [other for other in stage.readings if other.index != reading.index]
    if any(start < end and stop > begin for start, stop in _prefills(others)):
        return "another prompt was read"
    return "nothing in the run"


def _prefills(readings: Sequence[Reading]) -> Iterator[tuple[float, float]]:
    """When prompts were read, seconds since the run began."""
    for reading in readings:
        start, took = reading.metrics["queue_time"], reading.metrics["prefill_time"]
        if reading.submitted is not None and start is not None and took is not None:
            yield reading.submitted + start, reading.submitted + start + took
