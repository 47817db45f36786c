"""ExLlamaV2 behind the engine protocol: its dynamic generator in paged mode.

On a CUDA GPU its own kernels run, elsewhere the portable natives; the same
generator, page table, prefix cache and batching in both cases. No ExLlamaV2
object or dict leaves this room. What it does to ExLlamaV2's habits:

- attention is causal and proved so at load (``attention.py``);
- prompt and ``max_tokens`` are checked against context and cache before a job
  exists, which ExLlamaV2 does not do;
- every end-of-sequence id of the model stops a job, not only the first;
- each job has its own settings and its own counter-based randomness;
- times are read once an iteration, on one clock;
- an exception fails the requests that were live, and the next request works; memory
  that ran out in a batch fails none: fewer are decoded at once from then on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from workbench.engines import loading
from workbench.engines.base import LoadProgress
from workbench.engines.failures import failure
from workbench.engines.freeing import let_go, out_of_memory
from workbench.engines.native_sampling import NativeRows
from workbench.engines.prompts import opened, prompt_ids
from workbench.engines.rows import Rows
from workbench.engines.tail import Tail, tail_for
from workbench.errors import EngineError
from workbench.models.memory import PIECE
from workbench.models.template import chat_format
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


@dataclass(slots=True)
class _Live:
    """A request between ``submit`` and its last event."""

    ticket: int
    request: Request
    job: Any  # workbench.engines.jobs.Job
    prompt: int  # ids, the opening's included
    most: int  # tokens behind them
    tail: Tail
    submitted: float
    given: list[Chunk]  # the opening's, until they are told
    told: int = 0  # tokens drawn for it and told, the stop token too
    started: bool = False
    prefilled: bool = False
    waiting: list[Event] = field(default_factory=list)  # to be told in the next step


class ExllamaEngine:
    """One model, loaded, answering many requests at once.

    Args:
        spec: What to load; ``None`` fields are chosen here.
        progress: Told how far the loading is.

    Raises:
        ModelError: The model folder cannot be loaded safely.
        EngineError: ExLlamaV2 cannot run here, or its attention fails the self-test.
    """

    def __init__(self, spec: EngineSpec, progress: LoadProgress | None = None) -> None:
        sampled = NativeRows if spec.sampler == "native" else Rows
        self._rows = sampled(lambda ticket: self._live[ticket])
        self._loaded = loading.load(spec, self._rows.hooks(), progress)
        try:
            self._format = chat_format(self._loaded.folder, self._loaded.tokenizer)
        except BaseException:
            self._loaded.close()
            raise
        self.spec = replace(
            self._loaded.spec,
            template=self._format.label,
            template_sha256=self._format.sha256,
        )
        self._live: dict[int, _Live] = {}
        self._tickets = 0

    # --- the protocol ---------------------------------------------------------------------------

    def encode(self, messages: Sequence[Message], prefill: str = "") -> list[int]:
        """See ``Engine.encode``."""
        return self._format.encode(messages, prefill)

    def decode(self, ids: Sequence[int]) -> str:
        """See ``Engine.decode``."""
        return self._loaded.tokenizer.decode(ids)

    def submit(self, request: Request, *, submitted: float | None = None) -> int:
        """See ``Engine.submit``."""
        prompt = prompt_ids(self._format, request)
        tokenizer = self._loaded.tokenizer
        known = self._loaded.generator.vocabulary
        ids, most = opened(prompt, request, self._loaded.longest, known)
        tail = tail_for(request.sampling, tokenizer)
        given = tail.give(request.opening)
        self._tickets += 1
        job = self._loaded.job(self._tickets, ids, most)
        began = time.perf_counter() if submitted is None else submitted
        self._loaded.generator.enqueue(job)
        live = _Live(self._tickets, request, job, len(ids), most, tail, began, given)
        self._live[live.ticket] = live
        return self._tickets

    def step(self) -> list[tuple[int, Event]]:
        """See ``Engine.step``."""
        events = self._take_waiting()
        if not self._live:
            return events
        generator = self._loaded.generator
        began = time.perf_counter()
        try:
            with self._loaded.runtime.threads():
                results = generator.iterate()
        except Exception as error:  # anything may come out of native code
            return events + self._recover(error)
        now = time.perf_counter()
        for result in results:
            events += self._prompt_events(result, began, now)
        events += self._break(now)
        return events + self._sampled_events(generator.last, now)

    def cancel(self, ticket: int) -> None:
        """See ``Engine.cancel``."""
        live = self._live.get(ticket)
        if live is None or live.waiting:
            return
        self._loaded.generator.release(live.job)
        live.waiting = self._ending(live, time.perf_counter(), "cancelled")

    def close(self) -> None:
        """See ``Engine.close``."""
        self._live.clear()
        self._loaded.close()

    # --- beyond the protocol --------------------------------------------------------------------

    def logits(self, ids: Sequence[int], *, piece: int | None = None) -> Tensor:
        """What the model says behind every id of a text, for comparing engines.

        Args:
            ids: The text.
            piece: Ids read at once; default: as a prompt is read. 1 reads as decoding does,
                which is what shows how a quantised cache rounds.

        Returns:
            float32 ``(len(ids), vocabulary)`` on the CPU.

        Raises:
            EngineError: Requests are live: their cache is needed, and then forgotten.
        """
        if self._live:
            raise EngineError("Requests are being answered.", remedy="Wait for them to end.")
        return self._loaded.logits(ids, piece or PIECE)

    # --- one step -------------------------------------------------------------------------------

    def _take_waiting(self) -> list[tuple[int, Event]]:
        ended = [live for live in self._live.values() if live.waiting]
        for live in ended:
            del self._live[live.ticket]
        return [(live.ticket, event) for live in ended for event in live.waiting]

    def _prompt_events(
        self, result: dict[str, Any], began: float, now: float
    ) -> list[tuple[int, Event]]:
        """``Started`` and the prompt's progress, from one of the generator's dicts."""
        live = self._live[result["identifier"]]
        events: list[Event] = []
        if not live.started:
            live.started = True
            length = live.job.prompt_ids.shape[-1]
            events.append(Started(began - live.submitted, length, live.job.reused_tokens))
        reading = result["stage"] == "prefill" and not live.prefilled
        if reading and result["curr_progress"] < result["max_progress"]:
            total = live.job.prompt_ids.shape[-1]  # the generator leaves the last token out
            events.append(Progress(now - live.submitted, result["curr_progress"], total))
        return [(live.ticket, event) for event in events]

    def _sampled_events(self, tokens: Sequence[Any], now: float) -> list[tuple[int, Event]]:
        """The chunk of every id, and the end of the requests that ended."""
        events: list[tuple[int, Event]] = []
        for token in tokens:
            live = self._live.get(token.job.ticket)
            # None: its logits were unusable, or a stop string ended it before this id.
            if live is not None:
                events += [(live.ticket, event) for event in self._token_events(live, token, now)]
        return events

    def _token_events(self, live: _Live, token: Any, now: float) -> list[Event]:
        news: list[Event] = self._prefill_end(live)
        live.told += 1
        stopped = token.id in live.job.stop_tokens
        if not stopped:
            t = now - live.submitted
            chunk, stopped = live.tail.push(t, token.id, token.logprob, token.alternatives)
            news.append(chunk if token.draft is None else replace(chunk, draft=token.draft))
        if stopped or token.ended:
            self._loaded.generator.release(live.job)
            news += self._ending(live, now, "stop" if stopped else "length")
            del self._live[live.ticket]
        return news

    def _prefill_end(self, live: _Live) -> list[Event]:
        if live.prefilled:
            return []
        live.prefilled = True
        total = live.job.prompt_ids.shape[-1]
        t = live.job.prefilled_at - live.submitted
        return [Progress(t, total, total), *_given(live, t)]

    def _ending(self, live: _Live, now: float, reason: Any) -> list[Event]:
        t = now - live.submitted
        start: list[Event] = [] if live.started else [Started(t, live.job.prompt_ids.shape[-1])]
        return [*start, *_rest(live, t), Finished(t, reason)]

    def _recover(self, error: Exception) -> list[tuple[int, Event]]:
        """Leave the generator usable; end the requests that cannot go on.

        Memory that ran out with several under way ends none: from now on half as many are
        decoded at once, and each goes on with its next token, for which everything before
        is read once more. With one under way it ends that one, not those that wait. Any
        other error ends them all.
        """
        generator = self._loaded.generator
        active = [job.ticket for job in generator.active_jobs]
        generator.reset()
        self._loaded.runtime.forget()
        let_go(error)
        self._rows.broken.clear()
        failed = [ticket for ticket, live in self._live.items() if not live.waiting]
        if active and out_of_memory(error):
            generator.max_batch_size = max(1, len(active) // 2)
            failed = active if len(active) == 1 else []
        now = time.perf_counter()
        events: list[tuple[int, Event]] = []
        for ticket in failed:
            events += _failing(self._live.pop(ticket), error, now)
        for ticket in dict.fromkeys([*active, *self._live]):  # in the order of their turns
            self._again(ticket)
        return events

    def _again(self, ticket: int) -> None:
        """Queue a live request once more, behind what it has told."""
        live = self._live.get(ticket)
        if live is None or live.waiting:
            return
        old, told = live.job, live.told
        ids = old.sequences[0].sequence_ids.torch()[0, : live.prompt + told].tolist()
        live.job = self._loaded.job(ticket, ids, live.most - told)
        live.job.tokens, live.job.numbers = told, old.numbers
        self._loaded.generator.enqueue(live.job)

    def _break(self, now: float) -> list[tuple[int, Event]]:
        """Fail the requests whose logits were unusable in this step."""
        events: list[tuple[int, Event]] = []
        for ticket, error in self._rows.broken.items():
            live = self._live.pop(ticket, None)
            if live is not None:
                self._loaded.generator.discard(live.job)
                events += [(ticket, event) for event in self._prefill_end(live)]
                events += _failing(live, error, now)
        self._rows.broken.clear()
        return events


def _failing(live: _Live, error: Exception, now: float) -> list[tuple[int, Event]]:
    t = now - live.submitted
    return [(live.ticket, event) for event in (*_rest(live, t), failure(error, t))]


def _rest(live: _Live, t: float) -> list[Event]:
    """The opening, if it was not told yet, and the text of ids that was still kept back."""
    given = _given(live, t)
    chunk = live.tail.flush(t)
    return [*given, *([chunk] if chunk else [])]


def _given(live: _Live, t: float) -> list[Event]:
    """The opening, once, as it is read."""
    chunks, live.given = live.given, []
    return [replace(chunk, t=t) for chunk in chunks]
