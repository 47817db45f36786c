"""Does the same greedy request give the same ids, alone time after time, and in a batch?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from workbench.bench.gpu.bed import Bed
from workbench.bench.gpu.divergence import ids_apart
from workbench.bench.gpu.sizes import MAIN
from workbench.bench.gpu.speed import spec_of
from workbench.bench.sides import answers
from workbench.bench.workload import Prompts
from workbench.engines.base import Engine
from workbench.records import EngineSpec


def repeats(bed: Bed) -> Iterator[tuple[str, Any]]:
    """The embedded model, which is trained, and the large one, whose random weights are not.

    Random weights make near ties of many tokens, so theirs is the harder case. The first
    request reads its prompt, the later ones find it in the cache: that is how it is used.
    """
    small = bed.engine(EngineSpec(device=bed.device, context=2048, cache_tokens=16_384))
    yield "demo", _repeated(bed, small)
    bed.check_time()
    large = bed.engine(spec_of(bed, bed.endless(bed.model(MAIN))))
    yield MAIN, _repeated(bed, large)


def _repeated(bed: Bed, engine: Engine) -> dict[str, Any]:
    count, several = bed.sizes.repeats, bed.sizes.several
    request, *others = Prompts(bed.sizes.tokens).take(several)
    (first,) = answers(engine, [request])
    alone = [answers(engine, [request])[0] for _ in range(count - 1)]
    copies = answers(engine, [request] * several)
    return {
        "tokens": len(first),
        "alone": _apart(first, alone),
        f"in_a_batch_of_{several}_others": _apart(first, [answers(engine, [request, *others])[0]]),
        f"{several}_at_once": _apart(first, copies),
    }


def _apart(first: Sequence[int], later: Sequence[Sequence[int]]) -> dict[str, Any]:
    return ids_apart(later, [first] * len(later))
