"""What happens: the one kind of thing that flows through the house.

Times are seconds from the submission of the request, on one monotonic clock
(``time.perf_counter``). Token counts are exact ids, never re-tokenised text; what a remote
endpoint counted stands in an event of its own, ``Usage``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Channel(StrEnum):
    """Where a chunk's text belongs."""

    RAW = "raw"  # as an engine emits it, not split yet
    THINKING = "thinking"  # between the think tags
    ANSWER = "answer"  # everything a reader is meant to see
    MARKER = "marker"  # the think tags themselves, counted in neither


@dataclass(frozen=True, slots=True)
class Started:
    """The request left the queue."""

    t: float
    # Read before the first is drawn, the request's opening included.
    prompt_tokens: int | None  # None: whoever answers shows no ids, of the prompt or of the text
    cached_tokens: int | None = 0  # prompt tokens whose keys and values were already in the cache


@dataclass(frozen=True, slots=True)
class Progress:
    """Prompt tokens read so far; ``done == total`` marks the end of the prefill."""

    t: float
    done: int
    total: int


Alternatives = tuple[tuple[int, float], ...]  # (id, log-probability), most likely first


@dataclass(frozen=True, slots=True)
class Chunk:
    """Text and the ids that were sampled for it.

    A chunk may hold several ids (text was held back and released together) or
    none (the rest of a token whose id was counted in the chunk before). ``t`` is
    the end of the decode iteration that sampled the ids; with speculation one
    iteration brings several chunks, which share it.
    """

    t: float
    ids: tuple[int, ...]
    text: str
    channel: Channel = Channel.RAW
    logprobs: tuple[float, ...] | None = None  # natural log, of the model's own distribution
    alternatives: tuple[Alternatives, ...] | None = None  # one tuple an id
    forced: bool = (
        False  # not drawn: of the request's opening, or to close the thinking at its budget
    )
    draft: bool | None = None  # whether the id is what speculation proposed; None: nothing was


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as a remote endpoint counted them, ``None`` where it does not say.

    Most count the token that ends the turn as well.
    """

    t: float
    prompt_tokens: int | None
    output_tokens: int | None
    thinking_tokens: int | None = None  # of the output
    cached_tokens: int | None = None  # of the prompt


FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Finished:
    """The request ended as it should: at a stop token or string, at its length, or cancelled."""

    t: float
    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Failed:
    """The request ended with an error; what came before it is kept."""

    t: float
    error: str
    remedy: str


Event = Started | Progress | Chunk | Usage | Finished | Failed
End = Finished | Failed
