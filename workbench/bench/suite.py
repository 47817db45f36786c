"""All benchmarks by name, and running some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

import torch

from workbench.bench import generation, sampling, store, sweeping
from workbench.bench.figures import Figure
from workbench.bench.generation import Options
from workbench.bench.grading import GRADINGS, grading
from workbench.bench.sides import threads
from workbench.bench.startup import startup
from workbench.bench.watching import watching
from workbench.errors import InvalidInput
from workbench.records import EngineSpec

Rows = list[dict[str, Any]]  # figures of one side alone, with the units in their names
Result = Figure | Rows
Bench = Callable[[Options], Iterator[Result]]

BENCHES: Mapping[str, Bench] = MappingProxyType(
    {
        "engine": generation.engine,
        "transformers": generation.transformers,
        "batch": generation.batch,
        "recording": generation.recording,
        "watching": watching,
        "context": generation.context,
        "sweep": sweeping.sweep_bench,
        "startup": lambda options: startup(options.rounds),
        "sampling": lambda options: iter([_sampling(options)]),
        "grading": lambda options: grading(GRADINGS if options.rounds > 3 else 500, options.rounds),
        "store": lambda options: iter([[store.measure(10_000 if options.rounds > 3 else 1_000)]]),
    }
)


FURTHER = "workbench.benches"  # entry points of packages that bring benchmarks of their own


def names() -> tuple[str, ...]:
    """All benchmarks, in the order in which they run."""
    return (*BENCHES, *sorted(entry_points(group=FURTHER).names))


def options(model: str, device: str | None, *, quick: bool) -> Options:
    """What to measure with: quick is a look, not a measurement."""
    spec = EngineSpec(model=model, device=device)
    return Options(spec, rounds=3, tokens=60) if quick else Options(spec)


def run(chosen: Iterable[str], options: Options) -> Iterator[tuple[str, Result]]:
    """Run benchmarks in the order of ``names``, each result as it comes, with its name.

    Raises:
        InvalidInput: An unknown name.
    """
    wanted = list(chosen) or list(BENCHES)
    unknown = [name for name in wanted if name not in names()]
    if unknown:
        raise InvalidInput(
            f"There is no benchmark {unknown[0]!r}.", remedy=f"Choose from {', '.join(names())}."
        )
    for name in names():
        if name in wanted:
            yield from ((name, result) for result in _bench(name)(options))


def _bench(name: str) -> Bench:
    if name in BENCHES:
        return BENCHES[name]
    (found,) = entry_points(group=FURTHER, name=name)
    loaded: Bench = found.load()
    return loaded


def _sampling(options: Options) -> Rows:
    """The law on one thread, as the engine calls it on a CPU."""
    device = options.spec.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
    with threads(1):
        return sampling.measure(device=device, seconds=0.2 if options.rounds > 3 else 0.02)
