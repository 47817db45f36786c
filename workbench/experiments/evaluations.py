"""Describe an evaluation: a benchmark asked as the model card asks it, in several modes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from workbench.errors import InvalidInput
from workbench.evaluation.benchmarks import BENCHMARKS, load
from workbench.evaluation.benchmarks import benchmark as benchmark_of
from workbench.evaluation.suites import suite
from workbench.experiments import axes as axis
from workbench.experiments.expectation import expected
from workbench.experiments.lengths import fitted
from workbench.experiments.sweeps import grid
from workbench.records import EngineSpec, Mode, Plan, Problem
from workbench.store import Store

MODES = (Mode.ON, Mode.OFF)  # what the model card has figures for
MAX_TOKENS = 32_768  # new tokens of an answer on the model card


def evaluate(
    benchmark: str = "arithmetic",
    *,
    modes: Mode | str | Iterable[Mode | str] = MODES,
    samples: int = 1,
    limit: int | None = None,
    seed: int = 0,
    max_tokens: int | None = MAX_TOKENS,
    data: str | Path | None = None,
    model: str | Iterable[str] = "demo",
    engine: str | EngineSpec | Iterable[str | EngineSpec] = "exllama",
    logprobs: bool = False,
    store: Store | None = None,
    **sampling: Any,
) -> Plan:
    """A benchmark's problems in every mode, as a plan.

    Prompts are the model card's templates, sampling is what the card recommends for the
    mode: temperature 0.6 and top-p 0.95 with reasoning on, greedy with it off. Where
    tokens are drawn every problem is asked ``samples`` times; a greedy mode is asked once,
    for its repeats would be copies. The seed of a (problem, sample) is made of the run's
    seed and its name, so neither modes, engines nor batching change what is asked or
    drawn, and two models or precisions are compared on the same items.

    Args:
        benchmark: One of ``benchmarks.BENCHMARKS``, or a file as ``suites.suite`` reads.
        modes: ``on``, ``off``, ``off_prefilled``.
        samples: Repeats of each problem in the modes that draw; the card has up to 16.
        limit: Only so many problems, spread over the benchmark; of a file the first ones.
        seed: Of the draws, of the problems of ``arithmetic``, and of the order of the
            options where a problem has such.
        max_tokens: Most new tokens of an answer; ``None``: what the context leaves, as
            also where so many do not fit beside the prompt. ``lengths.limits(plan)``
            says what came of it.
        data: The benchmark's file, instead of where it is got from.
        model: Catalogue names or folders.
        engine: Kinds of engines, or whole specifications (then ``model`` is ignored).
        logprobs: Record the log-probability of every token.
        store: Earlier runs, from which the cost is expected; default: those of this
            folder. It is only read.
        sampling: Fields of ``Sampling`` for all modes, e.g. ``temperature=0.6``; several
            values are an axis, as in a sweep.

    Returns:
        A plan of kind ``evaluation``. Its axes are the benchmark, the mode, whatever else
        has several values, the problems, and the samples where there are several.

    Raises:
        InvalidInput: No such benchmark, data that is not what it should be, or a value
            that cannot be.
    """
    repeats = axis.whole("samples", samples, 1)
    cells, varying = grid(
        _problems(benchmark, data, limit, seed),
        "evaluation",
        mode=modes,
        engines=axis.specs(engine, model),
        replicates=repeats,
        seed=seed,
        logprobs=logprobs,
        alternatives=0,
        axes={**sampling, "max_tokens": max_tokens},
    )
    asked = fitted(cells)
    return Plan("evaluation", asked, {"benchmark": (benchmark,)} | varying, expected(asked, store))


def _problems(
    name: str, data: str | Path | None, limit: int | None, seed: int
) -> Callable[[int], tuple[Problem, ...]]:
    """The problems of a sample: only where options change places another one is asked else.

    Raises:
        InvalidInput: There is no such benchmark or file, or it is not what it should be.
    """
    if name not in BENCHMARKS and Path(name).suffix:
        if data is not None:
            raise InvalidInput(
                f"{name} is a file, and {data} is another.", remedy="Name one of the two."
            )
        found = suite(name, limit, seed)
        return lambda sample: found
    if benchmark_of(name).permuted:
        return lambda sample: load(name, data, limit, seed, sample)
    first = load(name, data, limit, seed)
    return lambda sample: first
