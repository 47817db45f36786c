"""Tokens a second of one weight format, from one request to many, and what loading it takes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from workbench.bench.gpu.bed import Bed, attempt
from workbench.bench.gpu.decoding import length, requests, steps
from workbench.engines.base import Engine
from workbench.experiments.latency_prompts import PromptWriter
from workbench.models.fitting import Subject, subject
from workbench.models.memory import cache_bytes
from workbench.models.weights import read_weights
from workbench.records import EngineSpec, Mode


def speed(form: str, bed: Bed) -> Iterator[tuple[str, Any]]:
    """The load, then decode steps at every batch size."""
    folder = bed.endless(bed.model(form))
    if form in bed.made_in:
        yield "written_in_seconds", bed.made_in[form]
    spec = spec_of(bed, folder)
    engine = bed.engine(spec)
    of = subject(str(folder))
    yield "model", _model(folder, of, engine.spec)
    yield "load_seconds", bed.loaded_in
    writer = PromptWriter(spec, Mode.ON, 0)
    for batch in bed.sizes.batches:
        bed.check_time()
        yield f"batch_{batch}", attempt(partial(_rate, bed, engine, writer, of, batch))


def spec_of(bed: Bed, folder: Path) -> EngineSpec:
    """The engine that the largest batch asks for; sections that take it too share the load."""
    longest = max(*bed.sizes.prompts, length(bed)) + 2 * bed.sizes.tokens
    return bed.spec(folder, requests=max(bed.sizes.batches), tokens=length(bed), context=longest)


def bytes_read(of: Subject, cache: str, context: float) -> float:
    """Bytes that one decode step of one request has to read: the weights, and its keys and values.

    Args:
        of: The model; its embedding, of which a step reads one row, is not among the weights.
        cache: The cache's type.
        context: Tokens behind the request.
    """
    kind = "fp16" if cache == "fp32" else cache
    return of.weights + cache_bytes(of.shape, kind, 1) * context


def _rate(bed: Bed, engine: Engine, writer: PromptWriter, of: Subject, batch: int) -> Any:
    prompt = bed.sizes.behind
    asked = requests(writer, prompt, batch, length(bed) - prompt, first=1000 * batch)
    found = steps(
        engine, asked, prompt=prompt, count=bed.sizes.steps, seconds=bed.sizes.seconds
    ).as_json()
    if batch == 1:
        found["bytes_read"] = bytes_read(of, engine.spec.cache, found["context_tokens"])
    return found


def _model(folder: Path, of: Subject, spec: EngineSpec) -> dict[str, Any]:
    return {
        "quantization": of.quantization,
        "synthetic": spec.synthetic,
        "weight_bytes": of.weights,
        "file_bytes": read_weights(folder).bytes,
        "cache_tokens": spec.cache_tokens,
        "attention": spec.attention,
        "sampler": spec.sampler,
        "weights_sha256": spec.weights_sha256,
    }
