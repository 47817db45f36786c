"""The embedded model beside transformers on this device: greedy ids, logits, every cache."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from torch import Tensor

from workbench.bench.gpu.bed import Bed, attempt
from workbench.bench.gpu.divergence import ids_apart, logits_apart
from workbench.bench.sides import answers
from workbench.chat import conversation
from workbench.engines import proof
from workbench.engines.exllama import ExllamaEngine
from workbench.engines.reference import ReferenceEngine
from workbench.evaluation.problems import arithmetic_suite
from workbench.records import EngineSpec, Message, Mode, Request, Sampling

_PIECE = 1  # ids read at once: a piece's own keys are not rounded yet when it attends to them


def parity(bed: Bed) -> Iterator[tuple[str, Any]]:
    """Greedy decoding, then teacher-forced logits: of half precision itself, and of each cache.

    The demo is trained, so its answers can be right or wrong; random weights have near
    ties everywhere, and say nothing here.
    """
    asked = _requests(bed.sizes.texts, bed.sizes.answer)
    engine = bed.engine(_spec(bed, "fp16"))
    yield "attention", {"name": engine.spec.attention, "worst": _proven(engine)}
    said = answers(engine, asked)
    ids = [[*engine.encode(*conversation(one)), *of] for one, of in zip(asked, said, strict=True)]
    ours = [engine.logits(text) for text in ids]
    with closing(_reference(bed, None)) as reference:
        yield "greedy", ids_apart(said, answers(reference, asked))
        theirs = [reference.logits(text) for text in ids]
    yield "teacher_forced", logits_apart(ours, theirs)
    if not bed.job.rehearsal:
        with closing(_reference(bed, "fp32")) as exact:
            wide = [exact.logits(text) for text in ids]
        yield "ours_beside_fp32", logits_apart(ours, wide)
        yield "transformers_beside_fp32", logits_apart(theirs, wide)
    for cache in bed.sizes.caches:
        bed.check_time()
        yield f"cache_{cache}", attempt(partial(_of_cache, bed, cache, ids, theirs))
    gc.collect()


def _requests(count: int, most: int) -> list[Request]:
    modes = list(Mode)
    return [
        Request((Message("user", problem.prompt),), modes[i % 3], Sampling(max_tokens=most))
        for i, problem in enumerate(arithmetic_suite(count))
    ]


def _spec(bed: Bed, cache: str) -> EngineSpec:
    return EngineSpec(device=bed.device, context=2048, cache=cache, cache_tokens=16_384)


def _reference(bed: Bed, precision: str | None) -> ReferenceEngine:
    spec = EngineSpec(kind="reference", device=bed.device, quantization=precision)
    return ReferenceEngine(spec)


def _proven(engine: ExllamaEngine) -> float:
    """The largest difference that the proof of the attention finds, in standard deviations."""
    generator = engine._loaded.generator
    worst = proof.self_test(generator.model, generator.cache, generator.vocabulary)
    generator.reset()  # two pages of its cache were overwritten
    return worst


def _of_cache(
    bed: Bed, cache: str, ids: Sequence[Sequence[int]], theirs: Sequence[Tensor]
) -> dict[str, Any]:
    """Read token by token, as decoding does: what is read back is what the cache kept."""
    engine = bed.engine(_spec(bed, cache))
    some = slice(None, None, 4)
    read = [engine.logits(text, piece=_PIECE) for text in ids[some]]
    return logits_apart(read, theirs[some]) | {"cache": engine.spec.cache}
