"""The nouns of the workbench: frozen, slotted, comparable, free of behaviour that costs.

One kind of thing flows through the house: *events*. An engine emits them, the
session splits and forwards them, the store keeps them, and everything else
(text, latency, scores) is a pure function of the list. A value that is not
defined is ``None``, never 0 and never NaN.

Times are seconds from the submission of the request, on one monotonic clock
(``time.perf_counter``). Token counts are exact ids, never re-tokenised text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from workbench.errors import EngineError, InvalidInput

Role = Literal["system", "user", "assistant"]


class Channel(StrEnum):
    """Where a chunk's text belongs."""

    RAW = "raw"  # as an engine emits it, not split yet
    THINKING = "thinking"  # between the think tags
    ANSWER = "answer"  # everything a reader is meant to see
    MARKER = "marker"  # the think tags themselves, counted in neither


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn; the law is ``workbench.sampling``.

    Raises:
        InvalidInput: A value outside its range.
    """

    temperature: float = 0.0  # 0 is greedy: the most likely token, no draw
    top_p: float = 1.0  # mass of the nucleus, in (0, 1]; 1 keeps every token
    top_k: int = 0  # most likely tokens kept before the nucleus; 0 keeps all
    min_p: float = 0.0  # least probability relative to the most likely token, in [0, 1]
    repetition_penalty: float = 1.0  # > 0; 1 leaves the logits alone
    max_tokens: int | None = None  # most new tokens; None: what the context leaves
    seed: int = 0  # key of the draw, with the token's position
    stop: tuple[str, ...] = ()  # strings that end the answer; not part of the text

    def __post_init__(self) -> None:
        _check_range("temperature", self.temperature, 0.0, math.inf, "0 is greedy; try 0.6.")
        _check_range("top-p", self.top_p, 0.0, 1.0, "Try 0.95; 1 keeps every token.", open_low=True)
        _check_range("min-p", self.min_p, 0.0, 1.0, "0 switches it off.")
        _check_range(
            "repetition penalty",
            self.repetition_penalty,
            0.0,
            math.inf,
            "1 is none.",
            open_low=True,
        )
        _check_count("top-k", self.top_k, 0, "0 switches it off.")
        _check_count("max-tokens", self.max_tokens, 1, "Leave it out for no limit.")
        _check_count("seed", self.seed, 0, "Use a whole number from 0 to 2^64 - 1.", most=2**64 - 1)
        if any(not text for text in self.stop):
            raise InvalidInput("A stop string is empty.", remedy="Leave it out.")


class Mode(StrEnum):
    """The arms of a comparison: reasoning on, off, or off with an empty think block prefilled."""

    ON = "on"
    OFF = "off"
    OFF_PREFILLED = "off_prefilled"

    @property
    def system_prompt(self) -> str:
        """The exact system turn of the model card; nothing else may stand in it."""
        return "detailed thinking on" if self is Mode.ON else "detailed thinking off"

    @property
    def prefill(self) -> str:
        """Text that opens the assistant's turn and is part of the prompt."""
        return "<think>\n</think>" if self is Mode.OFF_PREFILLED else ""

    @property
    def recommended(self) -> Sampling:
        """The model card's sampling: 0.6 / 0.95 with reasoning on, greedy with it off."""
        return Sampling(temperature=0.6, top_p=0.95) if self is Mode.ON else Sampling()


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked of an engine.

    Raises:
        InvalidInput: No user turn, or an empty one.
    """

    messages: tuple[Message, ...]
    mode: Mode = Mode.ON
    sampling: Sampling = field(default_factory=Sampling)
    label: str = ""  # free text for tables and logs
    logprobs: bool = False  # record the log-probability of every sampled token
    alternatives: int = 0  # record so many most likely candidates a token

    def __post_init__(self) -> None:
        users = [message for message in self.messages if message.role == "user"]
        if not users or not users[-1].text.strip():
            raise InvalidInput("The prompt is empty.", remedy="Write a question.")
        _check_count("alternatives", self.alternatives, 0, "0 records none.", most=1000)


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine is asked to be; an open engine's ``spec`` has every field resolved.

    ``None`` in a request means "choose for me".
    """

    kind: str = "exllama"  # exllama | reference | scripted
    model: str = "demo"  # a catalogue name or a folder
    revision: str | None = None  # hub revision, where the model has one
    quantization: str | None = None  # fp16, bf16, fp32, gptq-4bit, exl2-4.0bpw …
    device: str | None = None  # cpu, cuda:0
    context: int | None = None  # longest prompt + completion of one request, tokens
    cache: str = "fp16"  # element type of the key/value cache
    cache_tokens: int | None = None  # size of the cache that all live requests share, tokens
    max_batch: int = 64  # most requests decoded together
    attention: str | None = None  # which attention code runs
    sampler: str = "exact"  # exact: workbench.sampling; native: ExLlamaV2's own
    template: str | None = None  # whose chat template is used, and whether the two agree
    template_sha256: str | None = None  # of the model folder's chat template
    weights_sha256: str | None = None  # of the weight files, in name order
    synthetic: bool = False  # the weights are made for tests or measuring, not Nemotron's


# --- events -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The request left the queue."""

    t: float
    prompt_tokens: int
    cached_tokens: int = 0  # prompt tokens whose keys and values were already in the cache


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
    the end of the decode iteration that sampled the ids.
    """

    t: float
    ids: tuple[int, ...]
    text: str
    channel: Channel = Channel.RAW
    logprobs: tuple[float, ...] | None = None  # natural log, of the model's own distribution
    alternatives: tuple[Alternatives, ...] | None = None  # one tuple an id


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


Event = Started | Progress | Chunk | Finished | Failed
End = Finished | Failed


# --- what is made of them -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Generation:
    """A request, who answered it, and every event; the chunks' channels are settled."""

    request: Request
    spec: EngineSpec
    events: tuple[Event, ...]

    def chunks(self, channel: Channel | None = None) -> Iterator[Chunk]:
        """The chunks in order, of one channel or of all."""
        for event in self.events:
            if isinstance(event, Chunk) and channel in (None, event.channel):
                yield event

    def text_of(self, channel: Channel | None = None) -> str:
        """The joined text of one channel, or everything that was generated."""
        return "".join(chunk.text for chunk in self.chunks(channel))

    @property
    def thinking(self) -> str:
        return self.text_of(Channel.THINKING).strip()

    @property
    def answer(self) -> str:
        return self.text_of(Channel.ANSWER).strip()

    @property
    def ids(self) -> tuple[int, ...]:
        """Every sampled id in order; the stop token is not among them."""
        return tuple(i for chunk in self.chunks() for i in chunk.ids)

    @property
    def end(self) -> End | None:
        """The last event when the request has ended, else ``None``."""
        last = self.events[-1] if self.events else None
        return last if isinstance(last, Finished | Failed) else None

    @property
    def finish_reason(self) -> str | None:
        """``stop``, ``length``, ``cancelled``, ``failed``; ``None`` while it has not ended."""
        end = self.end
        if isinstance(end, Finished):
            return end.reason
        return "failed" if isinstance(end, Failed) else None

    @property
    def ok(self) -> bool:
        return isinstance(self.end, Finished) and self.finish_reason != "cancelled"

    def raise_for_failure(self) -> Generation:
        """Itself, for chaining.

        Raises:
            EngineError: The generation ended with ``Failed``.
        """
        end = self.end
        if isinstance(end, Failed):
            raise EngineError(end.error, remedy=end.remedy)
        return self


@dataclass(frozen=True, slots=True)
class Problem:
    """A question, with its answer when there is one."""

    id: str
    prompt: str
    answer: str | None = None
    group: str = ""  # difficulty or subject, for tables


@dataclass(frozen=True, slots=True)
class Cell:
    """One request of a plan."""

    spec: EngineSpec
    request: Request
    problem: Problem | None = None
    sample: int = 0  # number of the repeat of the same problem and settings


@dataclass(frozen=True, slots=True)
class Plan:
    """What an experiment will do, described before it costs anything."""

    kind: str  # compare, sweep …
    cells: tuple[Cell, ...]
    axes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # what varies, and over what

    def __len__(self) -> int:
        return len(self.cells)

    def __str__(self) -> str:
        axes = " × ".join(
            f"{name} [{', '.join(map(str, values))}]" for name, values in self.axes.items()
        )
        specs = sorted({f"{cell.spec.model} on {cell.spec.kind}" for cell in self.cells})
        count = "1 request" if len(self) == 1 else f"{len(self)} requests"
        return f"{self.kind}: {count} to {', '.join(specs) or 'nobody'}; {axes or 'no axes'}"


@dataclass(frozen=True, slots=True)
class Score:
    """What a grader says of one generation."""

    problem: str  # the problem's id
    generation: int  # index of the generation in its run
    value: float | None  # 1 right, 0 wrong, None: there is nothing to grade against
    extracted: str | None  # what was read as the answer
    reason: str  # why, in a few words


def with_max_tokens(sampling: Sampling, room: int) -> Sampling:
    """The sampling with ``max_tokens`` resolved to at most ``room`` when it was left open."""
    if sampling.max_tokens is not None:
        return sampling
    return replace(sampling, max_tokens=max(room, 1))


def _check_range(
    name: str, value: float, low: float, high: float, remedy: str, *, open_low: bool = False
) -> None:
    inside = low < value <= high if open_low else low <= value <= high
    if math.isfinite(value) and inside:
        return
    bounds = f"{'above' if open_low else 'at least'} {low:g}"
    if math.isfinite(high):
        bounds += f" and at most {high:g}"
    raise InvalidInput(f"{name} is {value}; it must be {bounds}.", remedy=remedy)


def _check_count(name: str, value: int | None, least: int, remedy: str, most: int = 2**31) -> None:
    if value is None or least <= value <= most:
        return
    raise InvalidInput(f"{name} is {value}; it must be at least {least}.", remedy=remedy)
