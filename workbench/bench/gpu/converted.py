"""The embedded model as EXL2 beside transformers: quantised kernels on checkable answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.bench.gpu import parity
from workbench.bench.gpu.bed import Bed
from workbench.bench.gpu.divergence import ids_apart, logits_apart
from workbench.bench.sides import answers
from workbench.engines.conversion.job import planned
from workbench.engines.conversion.running import convert

_BITS = 6.0  # a weight


def converted(bed: Bed) -> Iterator[tuple[str, Any]]:
    """Convert it, unless that was done before, and compare; what differs is the rounding's.

    A conversion takes longer than a rehearsal on a CPU, which leaves it out.
    """
    if bed.job.rehearsal:
        yield "left_out", "a conversion takes longer than a rehearsal"
        return
    folder = bed.job.models / f"demo-exl2-{_BITS}"
    bed.clear()
    began = time.perf_counter()
    if not (folder / "config.json").is_file():
        convert(planned("demo", folder, bits=_BITS, device=bed.device), lambda step: None)
        yield "conversion_seconds", time.perf_counter() - began
    yield from compared(bed, folder)


def compared(bed: Bed, folder: Path) -> Iterator[tuple[str, Any]]:
    """The model of a folder beside the unquantised one: greedy answers, and logits behind them."""
    asked = parity.asked(bed)
    plain = bed.engine(parity.spec(bed, "fp16"))
    said = answers(plain, asked)
    ids = parity.texts(plain, asked, said)
    engine = bed.engine(replace(parity.spec(bed, "fp16"), model=str(folder)))
    yield "quantization", engine.spec.quantization
    yield "greedy", ids_apart(answers(engine, asked), said)
    ours = [engine.logits(text) for text in ids]
    with closing(parity.reference(bed, None)) as reference:
        theirs = [reference.logits(text) for text in ids]
    yield "teacher_forced", logits_apart(ours, theirs)
