"""The yardstick: the same model in transformers, behind the engine protocol.

Prompts, sampling, stop strings and lengths are those of every engine; logits, key/value
cache and positions are transformers' own, and none of ExLlamaV2's code is in the way. It
runs one forward pass a request, which is simple and slow.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from workbench.engines.drawing import row_for
from workbench.engines.failures import failure
from workbench.engines.freeing import free_unused
from workbench.engines.prompts import opened, prompt_ids
from workbench.engines.reference_loading import import_library, load_model, resolve
from workbench.engines.tail import Tail, tail_for
from workbench.models.catalogue import locate
from workbench.models.folder import check
from workbench.models.template import chat_format
from workbench.models.tokenizer import Tokenizer
from workbench.records import (
    Chunk,
    EngineSpec,
    Event,
    Finished,
    Message,
    Progress,
    Request,
    Started,
)
from workbench.sampling import Drawn, draw

_CHUNK = 2048  # prompt tokens read in one step, as in the other engines


@dataclass(slots=True)
class _Live:
    """A request between ``submit`` and its last event."""

    ticket: int
    request: Request
    ids: list[int]  # of the prompt and the opening, then also the sampled ones
    prompt: int  # length of both
    room: int  # tokens it may generate
    tail: Tail
    submitted: float
    cache: Any  # transformers.DynamicCache
    given: list[Chunk]  # the opening's, until they are told
    read: int = 0  # tokens in the cache
    started: bool = False
    prefilled_at: float | None = None  # perf_counter when the prompt had been read
    prefill_told: bool = False

    @property
    def generated(self) -> int:
        return len(self.ids) - self.prompt


class ReferenceEngine:
    """One model in transformers, answering requests side by side.

    Args:
        spec: What to load. ``quantization`` fp32, fp16 or bf16 is what it computes in:
            default fp32 on a CPU, elsewhere that of the weights. ``cache_tokens`` bounds
            one request: each has a cache of its own.

    Raises:
        ModelError: The model folder cannot be loaded.
        EngineError: transformers is not installed, or cannot do what was asked here.
    """

    def __init__(self, spec: EngineSpec) -> None:
        folder = locate(spec.model, spec.revision)
        info = check(folder)
        self._library = import_library()
        self._tokenizer = Tokenizer.from_folder(folder)
        self._format = chat_format(folder, self._tokenizer)
        self._ends_at = frozenset(info.eos_ids)
        self._vocabulary = min(info.vocabulary, self._tokenizer.size)
        self.spec = replace(
            resolve(spec, folder, info),
            template=self._format.label,
            template_sha256=self._format.sha256,
        )
        self._longest = min(self.spec.context or 0, self.spec.cache_tokens or 0)
        self._model = load_model(self._library, folder, self.spec)
        self._live: dict[int, _Live] = {}
        self._cancelled: list[tuple[int, Event]] = []
        self._tickets = 0

    # --- the protocol ---------------------------------------------------------------------------

    def encode(self, messages: Sequence[Message], prefill: str = "") -> list[int]:
        """See ``Engine.encode``."""
        return self._format.encode(messages, prefill)

    def decode(self, ids: Sequence[int]) -> str:
        """See ``Engine.decode``."""
        return self._tokenizer.decode(ids)

    def submit(self, request: Request, *, submitted: float | None = None) -> int:
        """See ``Engine.submit``."""
        began = time.perf_counter() if submitted is None else submitted
        prompt = prompt_ids(self._format, request)
        ids, room = opened(prompt, request, self._longest, self._vocabulary)
        tail = tail_for(request.sampling, self._tokenizer)
        given = tail.give(request.opening)
        cache = self._library.DynamicCache()
        self._tickets += 1
        live = _Live(self._tickets, request, ids, len(ids), room, tail, began, cache, given)
        self._live[live.ticket] = live
        return live.ticket

    def step(self) -> list[tuple[int, Event]]:
        """See ``Engine.step``."""
        events, self._cancelled = self._cancelled, []
        running = list(self._live.values())[: self.spec.max_batch]
        began = time.perf_counter()
        outcomes = [self._outcome(live) for live in running]
        now = time.perf_counter()
        for live, outcome in zip(running, outcomes, strict=True):
            news = [*_start(live, began), *self._news(live, outcome, now)]
            events += [(live.ticket, event) for event in news]
        return events

    def cancel(self, ticket: int) -> None:
        """See ``Engine.cancel``."""
        live = self._live.pop(ticket, None)
        if live is not None:
            now = time.perf_counter()
            news = [*_start(live, now), *_ending(live, now, "cancelled")]
            self._cancelled += [(ticket, event) for event in news]

    def close(self) -> None:
        """See ``Engine.close``."""
        self._live.clear()
        self._model = None
        free_unused()

    # --- beyond the protocol --------------------------------------------------------------------

    @torch.inference_mode()
    def logits(self, ids: Sequence[int]) -> Tensor:
        """What the model says behind every id of a text, for comparing engines.

        Returns:
            float32 ``(len(ids), vocabulary)`` on the CPU.
        """
        row = torch.tensor([list(ids)], device=self.spec.device)
        logits: Tensor = self._model(input_ids=row, use_cache=False).logits
        return logits[0, :, : self._vocabulary].float().cpu()

    # --- one step -------------------------------------------------------------------------------

    def _outcome(self, live: _Live) -> Drawn | Exception | None:
        """The next token, ``None`` while the prompt is being read, or what went wrong."""
        try:
            return self._advance(live)
        except Exception as error:  # whatever it is, it is this request's alone
            return error

    @torch.inference_mode()
    def _advance(self, live: _Live) -> Drawn | None:
        last = len(live.ids) - 1
        if live.read < last:
            self._forward(self._model.model, live, min(live.read + _CHUNK, last))
        if live.read < last:
            return None
        if live.prefilled_at is None:
            self._synchronize()
            live.prefilled_at = time.perf_counter()
        logits = self._forward(self._model, live, len(live.ids)).logits[:, -1, : self._vocabulary]
        row = row_for(
            live.request,
            len(live.request.opening) + live.generated,
            lambda: torch.tensor(live.ids),
            self._ends_at,
            live.tail.forced,
        )
        return draw(logits, [row])

    def _forward(self, model: Any, live: _Live, end: int) -> Any:
        """Run the ids up to ``end`` that the cache does not hold yet."""
        ids = torch.tensor([live.ids[live.read : end]], device=self.spec.device)
        result = model(input_ids=ids, past_key_values=live.cache, use_cache=True)
        live.read = end
        return result

    def _synchronize(self) -> None:
        if str(self.spec.device).startswith("cuda"):
            torch.cuda.synchronize(self.spec.device)

    def _news(self, live: _Live, outcome: Drawn | Exception | None, now: float) -> list[Event]:
        """The events of one iteration of one request."""
        t = now - live.submitted
        if outcome is None:
            return [Progress(t, live.read, live.prompt)]
        news = _prefill_end(live)
        if isinstance(outcome, Exception):
            del self._live[live.ticket]
            return [*news, *_rest(live, t), failure(outcome, t)]
        token = outcome.ids[0]
        live.ids.append(token)
        stopped = token in self._ends_at
        if not stopped:
            chunk, stopped = live.tail.push(t, token, outcome.logprobs[0], outcome.alternatives[0])
            news.append(chunk)
        if stopped or live.generated >= live.room:
            del self._live[live.ticket]
            news += _ending(live, now, "stop" if stopped else "length")
        return news


def _start(live: _Live, now: float) -> list[Event]:
    if live.started:
        return []
    live.started = True
    return [Started(now - live.submitted, live.prompt)]


def _prefill_end(live: _Live) -> list[Event]:
    if live.prefill_told or live.prefilled_at is None:
        return []
    live.prefill_told = True
    t = live.prefilled_at - live.submitted
    return [Progress(t, live.prompt, live.prompt), *_given(live, t)]


def _ending(live: _Live, now: float, reason: Literal["stop", "length", "cancelled"]) -> list[Event]:
    t = now - live.submitted
    return [*_rest(live, t), Finished(t, reason)]


def _rest(live: _Live, t: float) -> list[Event]:
    given = _given(live, t)
    chunk = live.tail.flush(t)
    return [*given, *([chunk] if chunk else [])]


def _given(live: _Live, t: float) -> list[Event]:
    """The opening, once, as it is read."""
    chunks, live.given = live.given, []
    return [replace(chunk, t=t) for chunk in chunks]
