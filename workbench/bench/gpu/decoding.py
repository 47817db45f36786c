"""Decode steps of many requests together, timed one by one, their prompts not counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from workbench import telemetry
from workbench.bench.gpu.bed import Bed
from workbench.engines.base import Engine
from workbench.errors import EngineError
from workbench.experiments.latency_prompts import PromptWriter
from workbench.models.memory import PAGE
from workbench.records import Chunk, Event, Failed, Finished, Message, Mode, Request, Sampling

_WARM = 4  # steps that are not timed
_SLACK = 64  # tokens that an early request may decode while late prompts are being read
_STEPS = 100_000  # more than any start takes


@dataclass(frozen=True, slots=True)
class Steps:
    """Decode steps with every request taking part."""

    requests: int
    seconds: tuple[float, ...]  # of each step
    tokens: int  # of all requests in all steps
    context: float  # tokens behind a request, in the middle of it
    joules: float | None = None  # a token, of the whole card; None: its driver does not tell

    def as_json(self) -> dict[str, Any]:
        """Rates and times; a step's time is the median."""
        whole = sum(self.seconds)
        return {
            "requests": self.requests,
            "tokens_per_second": self.tokens / whole,
            "step_seconds": median(self.seconds),
            "steps": len(self.seconds),
            "tokens": self.tokens,
            "context_tokens": self.context,
            "joules_per_token": self.joules,
        }


def length(bed: Bed) -> int:
    """Tokens that a request takes in the cache, in whole pages."""
    needed = bed.sizes.behind + bed.sizes.steps + _WARM + _SLACK
    return -(-needed // PAGE) * PAGE


def requests(
    writer: PromptWriter,
    prompt: int,
    count: int,
    most: int,
    *,
    first: int = 0,
    sampling: Sampling | None = None,
) -> list[Request]:
    """Requests whose prompts have exactly so many tokens, each unlike the others.

    Args:
        writer: Of the model.
        prompt: Tokens.
        count: How many.
        most: Tokens that each may generate.
        first: Number of the first prompt.
        sampling: Default: greedy.
    """
    drawn = sampling or Sampling()
    settings = Sampling(drawn.temperature, drawn.top_p, max_tokens=most, seed=drawn.seed)
    texts = (writer.write(prompt, first + number) for number in range(count))
    return [Request((Message("user", text),), Mode.ON, settings) for text in texts]


def steps(
    engine: Engine, asked: Sequence[Request], *, prompt: int, count: int, seconds: float
) -> Steps:
    """Time decode steps of requests that all take part.

    Args:
        engine: Whose answers do not end by themselves.
        asked: The requests.
        prompt: Tokens of each prompt.
        count: Steps at most.
        seconds: And no more of them after so long.

    Raises:
        EngineError: They do not all fit at once, or one of them failed or ended.
    """
    with together(engine, asked, prompt) as batch, telemetry.watch(engine.spec.device) as readings:
        before = batch.tokens
        times = _timed(batch.step, count, seconds)
        tokens = batch.tokens - before
    behind = prompt + (before + tokens / 2) / len(asked)
    return Steps(len(asked), tuple(times), tokens, behind, readings.energy_per_token(tokens))


@contextmanager
def together(engine: Engine, asked: Sequence[Request], prompt: int) -> Iterator[Batch]:
    """Requests that all decode; they are cancelled at the end.

    Args:
        engine: Whose answers do not end by themselves.
        asked: The requests.
        prompt: Tokens of each prompt.

    Raises:
        EngineError: They do not all fit at once, or one of them failed or ended.
    """
    _refuse_too_many(engine, asked, prompt)
    batch = Batch(engine, asked)
    try:
        batch.start()
        for _ in range(_WARM):
            batch.step()
        yield batch
    finally:
        batch.cancel()


def _timed(step: Callable[[], None], count: int, seconds: float) -> list[float]:
    times: list[float] = []
    while len(times) < count and sum(times) < seconds:
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return times


def _refuse_too_many(engine: Engine, asked: Sequence[Request], prompt: int) -> None:
    pages = sum(-(-(prompt + (one.sampling.max_tokens or 0)) // PAGE) for one in asked)
    cache, most = (engine.spec.cache_tokens or 0) // PAGE, engine.spec.max_batch
    if pages > cache or len(asked) > most:
        raise EngineError(
            f"{len(asked)} requests at once need {pages * PAGE:,} tokens of cache, and "
            f"{cache * PAGE:,} fit beside the model.",
            remedy="Take a GPU with more memory.",
        )


class Batch:
    """Requests under way together."""

    def __init__(self, engine: Engine, asked: Sequence[Request]) -> None:
        self._engine = engine
        self._told = {engine.submit(request): 0 for request in asked}  # tokens of each

    @property
    def tokens(self) -> int:
        """Of all of them, so far."""
        return sum(self._told.values())

    def start(self) -> None:
        """Until each has its first token."""
        for _ in range(_STEPS):
            if all(self._told.values()):
                return
            self.step()
        raise EngineError("Requests did not start.", remedy="Report what `bench gpu` wrote.")

    def step(self) -> None:
        """One iteration.

        Raises:
            EngineError: One of them failed or ended.
        """
        for ticket, event in self._engine.step():
            self._take(ticket, event)

    def cancel(self) -> None:
        """End all that are left."""
        for ticket in self._told:
            self._engine.cancel(ticket)
        while self._engine.step():
            pass

    def _take(self, ticket: int, event: Event) -> None:
        if isinstance(event, Chunk):
            self._told[ticket] += len(event.ids)
        if isinstance(event, Failed):
            raise EngineError(event.error, remedy=event.remedy)
        if isinstance(event, Finished):
            raise EngineError(
                "A request ended before its steps were timed.", remedy="Time fewer steps."
            )
