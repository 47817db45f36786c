"""Benchmarks by name: loaders, the model card's prompts, and the figures it publishes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from workbench.errors import InvalidInput
from workbench.evaluation.benchmarks.aime25 import AIME25
from workbench.evaluation.benchmarks.arithmetic import ARITHMETIC
from workbench.evaluation.benchmarks.benchmark import Asked, Benchmark, Source
from workbench.evaluation.benchmarks.gpqa import GPQA
from workbench.evaluation.benchmarks.gsm8k import GSM8K
from workbench.evaluation.benchmarks.math500 import MATH500
from workbench.evaluation.benchmarks.mtbench import MTBENCH
from workbench.records import Problem

BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {one.name: one for one in (MATH500, AIME25, GPQA, MTBENCH, GSM8K, ARITHMETIC)}
)

__all__ = ["BENCHMARKS", "Benchmark", "Source", "benchmark", "load"]


def benchmark(name: str) -> Benchmark:
    """A benchmark by its name.

    Raises:
        InvalidInput: There is none.
    """
    found = BENCHMARKS.get(name)
    if found is None:
        raise InvalidInput(
            f"There is no benchmark {name!r}.", remedy=f"Choose from {', '.join(BENCHMARKS)}."
        )
    return found


def load(
    name: str,
    data: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    sample: int = 0,
) -> tuple[Problem, ...]:
    """The problems of a benchmark, as the model card puts them.

    Args:
        name: One of ``BENCHMARKS``.
        data: The benchmark's file (JSON lines, CSV; of ``gpqa`` also the zip) instead of
            the hub's.
        limit: So many problems, spread evenly over the benchmark; default: all, and 30 of
            ``arithmetic``.
        seed: Of the problems of ``arithmetic``, and of the order of options.
        sample: Number of the repeat; in each the options stand in another order.

    Raises:
        InvalidInput: No such benchmark, a file that cannot be had, or is not the
            benchmark's: with the row and the reason.
    """
    path = None if data is None else Path(data).expanduser()
    return benchmark(name).load(Asked(path, limit, seed, sample))
