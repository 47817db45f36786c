"""Describe an evaluation: a benchmark asked as the model card asks it, in several modes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from workbench.errors import InvalidInput
from workbench.evaluation.benchmarks import BENCHMARKS, load
from workbench.evaluation.benchmarks import benchmark as benchmark_of
from workbench.evaluation.suites import suite
from workbench.experiments import axes as axis
from workbench.experiments.expectation import expected
from workbench.experiments.follow_ups import linked
from workbench.experiments.lengths import fitted
from workbench.experiments.sweeps import grid
from workbench.records import Cell, EngineSpec, Mode, Plan, Problem
from workbench.store import Store

MODES = (Mode.ON, Mode.OFF)  # what the model card has figures for
MAX_TOKENS = 32_768  # new tokens of an answer on the model card
CARD, OWN = "card", "benchmark"  # whose temperatures

Asked = Callable[[int], tuple[Problem, ...]]  # the problems of a sample, by its number
Cells = tuple[tuple[Cell, ...], dict[str, tuple[Any, ...]]]  # and the axes they lie on


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
    temperatures: str = CARD,
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
            Of ``mtbench`` so many questions, of two turns each.
        seed: Of the draws, of the problems of ``arithmetic``, and of the order of the
            options where a problem has such.
        max_tokens: Most new tokens of an answer; ``None``: what the context leaves, as
            also where so many do not fit beside the prompt. ``lengths.limits(plan)``
            says what came of it.
        data: The benchmark's file, instead of where it is got from.
        model: Catalogue names or folders.
        engine: Kinds of engines, or whole specifications (then ``model`` is ignored).
        logprobs: Record the log-probability of every token.
        temperatures: ``card``, or ``benchmark``: those that its own authors set for each
            group of problems, in every mode (MT-Bench). The other settings stay the card's.
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
    asked = _problems(benchmark, data, limit, seed)
    specs = axis.specs(engine, model)
    repeats = axis.whole("samples", samples, 1)

    def cells_of(chosen: Asked, **drawn: Any) -> Cells:
        return grid(
            chosen,
            "evaluation",
            mode=modes,
            engines=specs,
            replicates=repeats,
            seed=seed,
            logprobs=logprobs,
            alternatives=0,
            axes={**sampling, **drawn, "max_tokens": max_tokens},
        )

    if temperatures == CARD:
        cells, varying = cells_of(asked)
    else:
        by_group = _temperatures(benchmark, temperatures, sampling)
        cells, varying = _by_temperature(asked, by_group, cells_of)
    fits = fitted(cells)
    return Plan("evaluation", fits, {"benchmark": (benchmark,)} | varying, expected(fits, store))


def _temperatures(benchmark: str, chosen: str, sampling: Mapping[str, Any]) -> Mapping[str, float]:
    """The temperature of each group of the benchmark's problems.

    Raises:
        InvalidInput: It has none of its own, or another temperature is given too.
    """
    if chosen != OWN:
        raise InvalidInput(
            f"There are no temperatures {chosen!r}.", remedy=f"Choose {CARD} or {OWN}."
        )
    if sampling.get("temperature") is not None:
        raise InvalidInput(
            "A temperature is given, and the benchmark's own are wanted.",
            remedy="Give one of the two.",
        )
    known = BENCHMARKS[benchmark].temperatures if benchmark in BENCHMARKS else None
    if known is None:
        raise InvalidInput(
            f"{benchmark} has no temperatures of its own.", remedy="Give --temperature or none."
        )
    return known


def _by_temperature(
    asked: Asked, by_group: Mapping[str, float], cells_of: Callable[..., Cells]
) -> Cells:
    """The grids of the problems of equal temperature, one after the other."""
    cells: list[Cell] = []
    varying: dict[str, tuple[Any, ...]] = {}
    for temperature in sorted({by_group[one.group] for one in asked(0)}):
        groups = {name for name, own in by_group.items() if own == temperature}

        def chosen(sample: int, groups: Set[str] = groups) -> tuple[Problem, ...]:
            return tuple(one for one in asked(sample) if one.group in groups)

        own, varying = cells_of(chosen, temperature=temperature)
        cells += own
    every = tuple(one.id for one in asked(0))
    return linked(cells), varying | {"temperatures": (OWN,), "problem": every}


def _problems(name: str, data: str | Path | None, limit: int | None, seed: int) -> Asked:
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
