"""Memory at the longest context, of each cache type, beside what the memory plan says.

Measured twice: when the model is loaded, and at the peak of a request at the context's end:
the last piece of its prompt is read and one token is drawn, behind a cache that is as long
as it gets. What stands in the cache does not change what that takes, so nothing is read
before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from workbench.bench.gpu.bed import Bed, attempt
from workbench.bench.gpu.sizes import MAIN
from workbench.engines.exllama import ExllamaEngine
from workbench.models.fitting import subject
from workbench.models.memory import CONTEXT, PAGE, PIECE, MemoryPlan, Use
from workbench.records import EngineSpec, Sampling
from workbench.sampling import Row, draw


def footprint(bed: Bed) -> Iterator[tuple[str, Any]]:
    """One load a cache type, of the full context and one request."""
    model = bed.model(MAIN)
    for cache in bed.sizes.caches:
        bed.check_time()
        yield f"cache_{cache}", attempt(partial(_of_cache, bed, model, cache))


def error(predicted: int, measured: int | None) -> float | None:
    """How far a prediction lies off, relative to what was measured; above 0: too high."""
    return None if not measured else predicted / measured - 1


def _of_cache(bed: Bed, model: str, cache: str) -> dict[str, Any]:
    tokens = bed.sizes.context // PAGE * PAGE
    spec = EngineSpec(
        model=model,
        device=bed.device,
        context=tokens,
        cache=cache,
        cache_tokens=tokens,
        max_batch=1,
    )
    plan = subject(model).plan(Use(tokens, tokens, cache, 1))
    bed.clear()
    meter = _Meter(bed.device)
    engine = bed.engine(spec)
    loaded = meter.now()
    at_the_end(engine, tokens)
    peak, beside = meter.peak(), meter.beside()
    bed.clear()
    return _told(plan, loaded, peak) | {
        "context": tokens,
        "left_after_closing_bytes": meter.now(),
        "cuda_context_bytes": beside,
        "cuda_context_predicted_bytes": CONTEXT,
    }


def _told(plan: MemoryPlan, loaded: int | None, peak: int | None) -> dict[str, Any]:
    return {
        "predicted": plan.parts(),
        "predicted_loaded_bytes": plan.loaded,
        "loaded_bytes": loaded,
        "loaded_error": error(plan.loaded, loaded),
        "predicted_peak_bytes": plan.total,
        "peak_bytes": peak,
        "peak_error": error(plan.total, peak),
    }


@torch.inference_mode()
def at_the_end(engine: ExllamaEngine, tokens: int) -> None:
    """Read the last piece of a prompt of so many tokens, and draw the token behind it.

    Args:
        engine: With nothing under way; its cache is forgotten afterwards.
        tokens: Of the whole request, as many as the cache holds.
    """
    generator, runtime = engine._loaded.generator, engine._loaded.runtime
    table = torch.arange(tokens // PAGE, dtype=torch.int32)[None]
    piece = min(PIECE, tokens - PAGE)
    with runtime.threads():
        for start, count in ((tokens - 1 - piece, piece), (tokens - 1, 1)):
            lengths = torch.tensor([start], dtype=torch.int32)
            result = generator.model.forward_chunk(
                input_ids=torch.ones((1, count), dtype=torch.long),
                attn_params=generator.get_paged_params(1, table, lengths, count),
                cache=generator.cache,
                preprocess_only=count > 1,
            )
        row = Row(Sampling(temperature=0.6, top_p=0.95), 0)
        draw(result["logits"][:, -1, : generator.vocabulary].nan_to_num(), [row])
    generator.reset()


class _Meter:
    """Bytes that torch has allocated on a GPU since here; ``None`` on a CPU."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._before = 0 if device == "cpu" else int(torch.cuda.memory_allocated(device))
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats(device)

    def now(self) -> int | None:
        if self._device == "cpu":
            return None
        return int(torch.cuda.memory_allocated(self._device)) - self._before

    def peak(self) -> int | None:
        if self._device == "cpu":
            return None
        return int(torch.cuda.max_memory_allocated(self._device)) - self._before

    def beside(self) -> int | None:
        """What the card has in use and torch has not: CUDA's context, code, other processes."""
        if self._device == "cpu":
            return None
        free, total = torch.cuda.mem_get_info(self._device)
        return int(total - free) - int(torch.cuda.memory_reserved(self._device))
