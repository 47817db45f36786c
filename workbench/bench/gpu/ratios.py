"""Ratios side by side, in turns: other loops, ExLlamaV2's sampler, recording, speculation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from workbench.bench import generation
from workbench.bench import sampling as law
from workbench.bench.figures import Figure, Goal, Side, compared
from workbench.bench.generation import Options
from workbench.bench.gpu.bed import Bed
from workbench.bench.gpu.sizes import MAIN
from workbench.bench.sides import EngineLoop, Loop, rate
from workbench.bench.workload import Prompts, endless
from workbench.records import Request

_PROMPT = 128  # tokens that a prompt of ``Prompts`` has at most
_SAMPLER = (Goal("at most", 1.03), Goal("at most", 1.05))  # alone, and several at once


def bare(bed: Bed) -> Iterator[tuple[str, Any]]:
    """Our engine's loop beside ExLlamaV2's generator as its examples use it."""
    yield from _figures(bed, generation.engine(_options(bed, MAIN)), Goal("at least", 0.98))


def transformers(bed: Bed) -> Iterator[tuple[str, Any]]:
    """Our engine's loop beside transformers' ``generate``, both on the fp16 weights."""
    yield from _figures(bed, generation.transformers(_options(bed, "fp16")), Goal("at least", 2))


def recording(bed: Bed) -> Iterator[tuple[str, Any]]:
    """A session with store and log-probabilities beside one without."""
    yield from _figures(bed, generation.recording(_options(bed, MAIN)), Goal("at most", 1.02))


def sampler(bed: Bed) -> Iterator[tuple[str, Any]]:
    """The exact sampler beside ExLlamaV2's own, drawing as the model card recommends.

    Then the law alone on logits of the 8B's vocabulary, beside a sort of all of them.
    """
    with endless(bed.model(MAIN)) as folder:
        spec = _options(bed, MAIN).on(folder)
        native = replace(spec, sampler="native")
        with closing(EngineLoop(spec)) as ours, closing(EngineLoop(native)) as theirs:
            for count, goal in zip((1, bed.sizes.several), _SAMPLER, strict=True):
                bed.check_time()
                figure = compared(
                    f"sampler_{count}",
                    f"the exact sampler, by ExLlamaV2's; {count} at once",
                    "ms/token",
                    (_drawing(bed, ours, count), _drawing(bed, theirs, count)),
                    rounds=bed.sizes.rounds,
                    goal=goal,
                )
                yield figure.name, figure.as_json()
    bed.check_time()
    rows = (1, bed.sizes.several)
    yield "law", law.measure(rows=rows, device=bed.device, seconds=bed.sizes.law)


def _figures(bed: Bed, measured: Iterator[Figure], goal: Goal) -> Iterator[tuple[str, Any]]:
    for figure in measured:
        yield figure.name, replace(figure, goal=goal).as_json()
        bed.check_time()


def _options(bed: Bed, form: str) -> Options:
    """An engine for as many requests as a ratio asks at once: two of them are open together."""
    bed.clear()
    model = bed.model(form)
    most = max(16, bed.sizes.several)
    fitting = bed.spec(model, requests=most, tokens=_PROMPT + bed.sizes.tokens)
    return Options(fitting, rounds=bed.sizes.rounds, tokens=bed.sizes.tokens)


def _drawing(bed: Bed, loop: Loop, count: int) -> Side:
    """Milliseconds a token of new prompts each time, drawn as their mode recommends."""
    prompts = Prompts(bed.sizes.tokens)
    return lambda: 1e3 / rate(loop, [_drawn(one) for one in prompts.take(count)])


def _drawn(request: Request) -> Request:
    most = request.sampling.max_tokens
    return replace(request, sampling=replace(request.mode.recommended, max_tokens=most))
