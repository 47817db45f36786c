"""What is compared: our engine and session, ExLlamaV2's own loop, transformers' ``generate``.

Each answers requests and says how many tokens came a second; loading is not timed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import torch

from workbench.bench.workload import Prompts, check_count
from workbench.engines import Engine, loading, open_engine
from workbench.engines.prompts import prompt_ids
from workbench.engines.reference_loading import import_library, load_model, resolve
from workbench.experiments.run import flags_of
from workbench.metrics import measure
from workbench.models.folder import check
from workbench.models.template import chat_format
from workbench.models.tokenizer import Tokenizer
from workbench.records import Cell, Chunk, EngineSpec, Failed, Finished, Plan, Request
from workbench.session import Session
from workbench.store import Recorder, Store

_MOST = 64  # requests at once
_TRIAL = 40  # tokens of a short answer


class Loop(Protocol):
    """A loaded model and a way of asking it."""

    def answer(self, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        """The ids generated for each request, all asked at once."""

    def close(self) -> None:
        """Free the model."""


def rate(loop: Loop, requests: Sequence[Request]) -> float:
    """Tokens a second over all requests, their prompts included in the time.

    Raises:
        EngineError: A request did not generate what it was asked for.
    """
    began = time.perf_counter()
    answers = loop.answer(requests)
    seconds = time.perf_counter() - began
    expected = sum(request.sampling.max_tokens or 0 for request in requests)
    check_count(sum(map(len, answers)), expected)
    return expected / seconds


def answers(engine: Engine, requests: Sequence[Request]) -> list[tuple[int, ...]]:
    """The ids that an engine generates for requests that are asked together."""
    ids: dict[int, list[int]] = {engine.submit(request): [] for request in requests}
    live = len(ids)
    while live:
        for ticket, event in engine.step():
            if isinstance(event, Chunk):
                ids[ticket] += event.ids
            elif isinstance(event, Finished | Failed):
                live -= 1
    return [tuple(one) for one in ids.values()]


class EngineLoop:
    """Our engine, submitted to and stepped as a session does; no thread, no store."""

    def __init__(self, spec: EngineSpec) -> None:
        self._engine = open_engine(spec)

    def answer(self, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        """See ``Loop``."""
        return answers(self._engine, requests)

    def close(self) -> None:
        """See ``Loop``."""
        self._engine.close()


class SessionLoop:
    """Requests through a session, as the workbench asks them; in a store, recorded.

    The session and the store are the caller's, who closes them.
    """

    def __init__(self, session: Session, store: Store | None = None) -> None:
        self._session = session
        self._store = store
        self._run = store.begin_run(Plan("bench", ()), {}) if store is not None else ""
        self._numbers = count()

    def answer(self, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        """See ``Loop``."""
        if self._store is None:
            streams = [self._session.start(request) for request in requests]
            return [stream.result().ids for stream in streams]
        recorders = [self._recorder(self._store, request) for request in requests]
        pairs = zip(requests, recorders, strict=True)
        streams = [self._session.start(request, recorder) for request, recorder in pairs]
        generations = [stream.result() for stream in streams]
        for generation, recorder in zip(generations, recorders, strict=True):
            recorder.finish(generation, measure(generation), flags_of(generation))
        return [generation.ids for generation in generations]

    def close(self) -> None:
        """See ``Loop``."""

    def _recorder(self, store: Store, request: Request) -> Recorder:
        cell = Cell(self._session.spec, request)
        return store.begin_generation(self._run, next(self._numbers), cell)


class BareLoop:
    """ExLlamaV2's generator, jobs and sampler as its examples use them, with nothing of ours.

    On a CPU it runs on the same portable natives and the same one thread, which is
    also what ExLlamaV2 sets.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self._loaded = loading.load(spec)
        self._format = chat_format(self._loaded.folder, self._loaded.tokenizer)
        library = self._loaded.runtime.library
        self._library: Any = import_module("exllamav2.generator")
        model = self._loaded.generator.model
        self._generator = self._library.ExLlamaV2DynamicGenerator(
            model=model,
            cache=self._loaded.generator.cache,
            tokenizer=library.ExLlamaV2Tokenizer(model.config),
            max_batch_size=_MOST,
            max_q_size=1,
        )

    def answer(self, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        """See ``Loop``."""
        ids: list[list[int]] = [[] for _ in requests]
        for number, request in enumerate(requests):
            self._generator.enqueue(self._job(number, request))
        with self._loaded.runtime.threads():
            while self._generator.num_remaining_jobs():
                for result in self._generator.iterate():
                    if "token_ids" in result:
                        ids[result["identifier"]] += result["token_ids"][0].tolist()
        return [tuple(one) for one in ids]

    def close(self) -> None:
        """See ``Loop``."""
        self._generator = None
        self._loaded.close()

    def _job(self, number: int, request: Request) -> Any:
        return self._library.ExLlamaV2DynamicJob(
            input_ids=torch.tensor([prompt_ids(self._format, request)]),
            max_new_tokens=request.sampling.max_tokens,
            gen_settings=self._library.ExLlamaV2Sampler.Settings.greedy(),
            stop_conditions=[],
            identifier=number,
        )


class TransformersLoop:
    """``generate`` with a streamer that makes text of every token, one request at a time.

    On a CPU it gets the number of threads that suits it best here, one or all: a small
    model is often faster on one.
    """

    def __init__(self, spec: EngineSpec) -> None:
        folder = Path(spec.model)
        tokenizer = Tokenizer.from_folder(folder)
        self._format = chat_format(folder, tokenizer)
        self._library = import_library()
        resolved = resolve(spec, folder, check(folder))
        self._model = load_model(self._library, folder, resolved)
        self._tokenizer = self._library.AutoTokenizer.from_pretrained(folder)
        self._threads = torch.get_num_threads()
        if self._model.device.type == "cpu":
            self._threads = max({1, self._threads}, key=self._speed)

    def answer(self, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        """See ``Loop``."""
        with threads(self._threads):
            return [self._generate(request) for request in requests]

    def close(self) -> None:
        """See ``Loop``."""
        self._model = None

    def _speed(self, count: int) -> float:
        """The best rate of three short answers on so many threads."""
        self._threads = count
        return max(rate(self, Prompts(_TRIAL).take(1)) for _ in range(3))

    def _generate(self, request: Request) -> tuple[int, ...]:
        ids = prompt_ids(self._format, request)
        prompt = torch.tensor([ids], device=self._model.device)
        said: list[str] = []
        streamer = self._library.TextStreamer(self._tokenizer, skip_prompt=True)
        streamer.on_finalized_text = lambda text, stream_end=False: said.append(text)
        generated = self._model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            streamer=streamer,
            do_sample=False,
            max_new_tokens=request.sampling.max_tokens,
        )
        return tuple(generated[0, len(ids) :].tolist())


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many torch threads; the caller's number afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
