"""Seconds from asking to the first token, by the prompt's length, and the memory of the longest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

import torch

from workbench.bench.gpu.bed import Bed, attempt
from workbench.bench.gpu.decoding import requests
from workbench.bench.gpu.sizes import MAIN
from workbench.bench.gpu.speed import spec_of
from workbench.engines.base import Engine
from workbench.errors import EngineError
from workbench.experiments.latency_prompts import PromptWriter
from workbench.records import Chunk, Failed, Finished, Mode, Request

_LONG = 10_000  # tokens from which a prompt is read fewer times


def first_tokens(bed: Bed) -> Iterator[tuple[str, Any]]:
    """Each length several times, each time another prompt, so that no cache of prompts helps."""
    spec = spec_of(bed, bed.endless(bed.model(MAIN)))
    engine = bed.engine(spec)
    writer = PromptWriter(spec, Mode.ON, 2)
    for tokens in bed.sizes.prompts:
        bed.check_time()
        yield f"prompt_{tokens}", attempt(partial(_of_length, bed, engine, writer, tokens))


def _of_length(bed: Bed, engine: Engine, writer: PromptWriter, tokens: int) -> dict[str, Any]:
    rounds = bed.sizes.prompt_rounds if tokens < _LONG else 1
    asked = requests(writer, tokens, 1 + rounds, 2)
    before = _reset_peak(bed.device)
    warm, *times = (_first(engine, request) for request in asked)
    bed.check_time()
    return {
        "first_token_seconds": median(times),
        "least": min(times),
        "most": max(times),
        "rounds": rounds,
        "warming_up_seconds": warm,
        "prompt_tokens_per_second": tokens / median(times),
        "peak_bytes_beside_the_load": _peak(bed.device, before),
    }


def _first(engine: Engine, request: Request) -> float:
    """Seconds until the first token is there; the rest is waited for."""
    began = time.perf_counter()
    engine.submit(request, submitted=began)
    first: float | None = None
    while True:
        for _, event in engine.step():
            if isinstance(event, Failed):
                raise EngineError(event.error, remedy=event.remedy)
            if isinstance(event, Chunk) and event.ids and first is None:
                first = event.t
            if isinstance(event, Finished) and first is not None:
                return first


def _reset_peak(device: str) -> int:
    """Bytes that torch has allocated now; the highest is counted from here."""
    if device == "cpu":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return int(torch.cuda.memory_allocated(device))


def _peak(device: str, before: int) -> int | None:
    return None if device == "cpu" else int(torch.cuda.max_memory_allocated(device)) - before
