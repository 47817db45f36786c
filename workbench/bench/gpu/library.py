"""ExLlamaV2 in this process: what it runs on, and how long its import takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from workbench.bench.gpu.bed import Bed
from workbench.engines import natives


def library(bed: Bed) -> Iterator[tuple[str, Any]]:
    """The first import, a build of the extension included where there is none yet.

    It comes before everything else, so that no other section's time goes into a build.
    """
    began = time.perf_counter()
    runtime = natives.load(bed.device)
    yield "import_seconds", time.perf_counter() - began
    yield "device", runtime.device
    yield "attention", runtime.attention
