"""What is asked: messages, reasoning mode, sampling, and of which engine."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from workbench.errors import InvalidInput

Role = Literal["system", "user", "assistant"]


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
    min_tokens: int = 0  # new tokens before which the model cannot end its turn
    thinking_tokens: int | None = None  # thinking tokens at which it is closed; None: never
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
        _check_count("min-tokens", self.min_tokens, 0, "0 lets the model end when it likes.")
        _check_count("thinking-tokens", self.thinking_tokens, 0, "Leave it out for no limit.")
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise InvalidInput(
                f"min-tokens is {self.min_tokens} and max-tokens {self.max_tokens}.",
                remedy="Give a max-tokens of at least min-tokens.",
            )
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
    opening: tuple[int, ...] = ()  # ids with which the answer begins: given, not drawn

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

    kind: str = "exllama"  # exllama | reference | remote | scripted
    model: str = "demo"  # a catalogue name, a folder, or a name that the endpoint knows
    revision: str | None = None  # hub revision, where the model has one
    quantization: str | None = None  # fp16, bf16, fp32, gptq-4bit, exl2-4.0bpw …
    device: str | None = None  # cpu, cuda:0
    context: int | None = None  # longest prompt + completion of one request, tokens
    cache: str = "fp16"  # element type of the key/value cache
    cache_tokens: int | None = None  # size of the cache that all live requests share, tokens
    max_batch: int = 64  # most requests decoded together
    attention: str | None = None  # which attention code runs
    sampler: str = "exact"  # exact: workbench.sampling; native: ExLlamaV2's own
    speculation: str | None = None  # ngram, or the model that drafts: a name or a folder
    draft_tokens: int | None = None  # most ids that speculation proposes a step
    template: str | None = None  # whose chat template is used, and whether the two agree
    template_sha256: str | None = None  # of the model folder's chat template
    weights_sha256: str | None = None  # of the weight files, in name order
    synthetic: bool = False  # the weights are made for tests or measuring, not Nemotron's
    endpoint: str | None = None  # base URL of a remote engine, e.g. http://localhost:8000/v1
    server: str | None = None  # what the endpoint says of itself: owner, weights, version


def _check_range(
    name: str, value: float, low: float, high: float, remedy: str, *, open_low: bool = False
) -> None:
    inside = low < value <= high if open_low else low <= value <= high
    if math.isfinite(value) and inside:
        return
    bounds = f"{'above' if open_low else 'at least'} {low:g}"
    if not math.isfinite(value):
        bounds = f"a finite number, {bounds}"
    if math.isfinite(high):
        bounds += f" and at most {high:g}"
    raise InvalidInput(f"{name} is {value}; it must be {bounds}.", remedy=remedy)


def _check_count(name: str, value: int | None, least: int, remedy: str, most: int = 2**31) -> None:
    if value is None or least <= value <= most:
        return
    bounds = f"at least {least}" if value < least else f"at most {most:,}"
    raise InvalidInput(f"{name} is {value}; it must be {bounds}.", remedy=remedy)
