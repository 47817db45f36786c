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
    questions = asked(bed)
    engine = bed.engine(spec(bed, "fp16"))
    yield "attention", {"name": engine.spec.attention, "worst": _proven(engine)}
    said = answers(engine, questions)
    ids = texts(engine, questions, said)
    ours = [engine.logits(text) for text in ids]
    with closing(reference(bed, None)) as transformers:
        yield "greedy", ids_apart(said, answers(transformers, questions))
        theirs = [transformers.logits(text) for text in ids]
    yield "teacher_forced", logits_apart(ours, theirs)
    if not bed.job.rehearsal:
        with closing(reference(bed, "fp32")) as exact:
            wide = [exact.logits(text) for text in ids]
        yield "ours_beside_fp32", logits_apart(ours, wide)
        yield "transformers_beside_fp32", logits_apart(theirs, wide)
    for cache in bed.sizes.caches:
        bed.check_time()
        yield f"cache_{cache}", attempt(partial(_of_cache, bed, cache, ids, theirs))
    gc.collect()


def asked(bed: Bed) -> list[Request]:
    """Sums to work out, greedily, the modes in turn."""
    most = bed.sizes.answer
    modes = list(Mode)
    return [
        Request((Message("user", problem.prompt),), modes[i % 3], Sampling(max_tokens=most))
        for i, problem in enumerate(arithmetic_suite(bed.sizes.texts))
    ]


def texts(
    engine: ExllamaEngine, questions: Sequence[Request], said: Sequence[Sequence[int]]
) -> list[list[int]]:
    """The ids of each prompt with those of its answer."""
    pairs = zip(questions, said, strict=True)
    return [[*engine.encode(*conversation(one)), *ids] for one, ids in pairs]


def spec(bed: Bed, cache: str) -> EngineSpec:
    """The embedded model with a cache of that type."""
    return EngineSpec(device=bed.device, context=2048, cache=cache, cache_tokens=16_384)


def reference(bed: Bed, precision: str | None) -> ReferenceEngine:
    """transformers with the embedded model; ``None``: in the precision of its weights."""
    return ReferenceEngine(EngineSpec(kind="reference", device=bed.device, quantization=precision))


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
    engine = bed.engine(spec(bed, cache))
    some = slice(None, None, 4)
    read = [engine.logits(text, piece=_PIECE) for text in ids[some]]
    return logits_apart(read, theirs[some]) | {"cache": engine.spec.cache}
