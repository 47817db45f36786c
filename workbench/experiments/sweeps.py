"""Describe a sweep: every combination of settings, asked of every problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

from workbench.errors import InvalidInput
from workbench.experiments import axes as axis
from workbench.experiments.expectation import expected
from workbench.experiments.follow_ups import linked
from workbench.experiments.plans import request, seed_for
from workbench.records import Cell, EngineSpec, Mode, Plan, Problem, Sampling
from workbench.store import Store

_OF_A_DRAW = ("top_p", "top_k", "min_p")  # of no meaning where the most likely token is taken


def sweep(
    problems: str | Problem | Iterable[str | Problem],
    *,
    mode: Mode | str | Iterable[Mode | str] = "on",
    model: str | Iterable[str] = "demo",
    engine: str | EngineSpec | Iterable[str | EngineSpec] = "exllama",
    replicates: int = 1,
    seed: int = 0,
    logprobs: bool = False,
    alternatives: int = 0,
    store: Store | None = None,
    **axes: Any,
) -> Plan:
    """Every problem at every combination of settings, as a plan.

    Each of ``mode``, ``model``, ``engine`` and the settings of ``axes`` is one value or
    several. A setting that is left out is what the model card recommends for the mode.
    A (problem, repeat) has the same seed everywhere, so combinations differ in nothing
    but their settings. Where the temperature is 0, combinations that differ only in how
    a token is drawn (top-p, top-k, min-p) are one, asked once: its repeats would be copies.

    Args:
        problems: Questions, with or without an answer.
        mode: ``on``, ``off``, ``off_prefilled``.
        model: Catalogue names or folders.
        engine: Kinds of engines, or whole specifications (then ``model`` is ignored).
        replicates: Repeats of each problem where tokens are drawn.
        seed: Of the run.
        logprobs: Record the log-probability of every token.
        alternatives: Record so many candidates a token.
        store: Earlier runs, from which the cost is expected; default: those of this
            folder. It is only read.
        axes: Fields of ``Sampling`` (not ``seed``, not ``stop``), e.g.
            ``temperature=[0, 0.5, 1]``, ``thinking_tokens=[16, None]``.

    Returns:
        A plan of kind ``sweep``. Its axes are the mode, whatever else has several values,
        the problems, and the samples where there are several; its cells are in the order
        of the product of the axes, the last one fastest. What it is expected to take is
        ``None`` until something like it has been measured.

    Raises:
        InvalidInput: A value that cannot be, a value twice, nothing to ask, or more than
            a million requests.
    """
    asked = axis.problems(problems)
    cells, varying = grid(
        lambda sample: asked,
        "sweep",
        mode=mode,
        engines=axis.specs(engine, model),
        replicates=replicates,
        seed=seed,
        logprobs=logprobs,
        alternatives=alternatives,
        axes=axes,
    )
    return Plan("sweep", cells, varying, expected(cells, store))


def grid(
    problems: Callable[[int], Sequence[Problem]],
    what: str,
    *,
    mode: object,
    engines: Sequence[EngineSpec],
    replicates: int,
    seed: int,
    logprobs: bool,
    alternatives: int,
    axes: Mapping[str, Any],
) -> tuple[tuple[Cell, ...], dict[str, tuple[Any, ...]]]:
    """The cells of every combination, as ``sweep`` orders them, and the axes they lie on.

    Args:
        problems: Those of a sample, by its number: the same ids in the same order for
            every sample, their prompts may differ. One that follows another goes on with
            its conversation.
        what: The plan's name in errors.
        mode: One mode or several; the rest is as for ``sweep``.
        engines: Whom to ask.
        replicates: Repeats where tokens are drawn.
        seed: Of the run.
        logprobs: Record the log-probability of every token.
        alternatives: Record so many candidates a token.
        axes: Settings of the sampling, each one value or several.

    Raises:
        InvalidInput: As ``sweep``.
    """
    arms = axis.once("mode", axis.modes(axis.several("mode", mode)))
    settings = axis.settings(axes)
    repeats = axis.whole("replicates", replicates, 1)
    first = problems(0)
    count = _settings_count(arms, settings, repeats) * len(engines) * len(first)
    _refuse_too_many(what, count)
    asked = [first, *(problems(sample) for sample in range(1, repeats))]
    seeds = {(p.id, n): seed_for(seed, p.id, n) for p in first for n in range(repeats)}
    cells = tuple(
        Cell(spec, request(problem, arm, drawn, logprobs, alternatives), problem, sample)
        for spec in engines
        for arm, sampling in _combinations(arms, settings)
        for place in range(len(first))
        for sample in range(repeats if sampling.temperature > 0 else 1)
        for problem in (asked[sample][place],)
        for drawn in (replace(sampling, seed=seeds[problem.id, sample]),)
    )
    varying = axis.spec_axes(engines) | {"mode": tuple(map(str, arms))}
    varying |= {name: values for name, values in settings.items() if len(values) > 1}
    varying["problem"] = tuple(problem.id for problem in first)
    if repeats > 1:
        varying["sample"] = tuple(range(repeats))
    return linked(cells), varying


def _combinations(
    arms: Iterable[Mode], settings: Mapping[str, tuple[Any, ...]]
) -> Iterator[tuple[Mode, Sampling]]:
    """The grid without its repetitions; a greedy combination stands at the first of its places."""
    for arm in arms:
        known = set()
        for values in product(*settings.values()):
            chosen = dict(zip(settings, values, strict=True))
            sampling = replace(arm.recommended, **chosen)
            if sampling.temperature == 0:
                same = tuple(v for name, v in chosen.items() if name not in _OF_A_DRAW)
                if same in known:
                    continue
                known.add(same)
            yield arm, sampling


def _settings_count(
    arms: Iterable[Mode], settings: Mapping[str, tuple[Any, ...]], repeats: int
) -> int:
    """How often one problem is asked of one engine, without building anything."""
    sizes = {name: len(values) for name, values in settings.items() if name != "temperature"}
    draws = prod(sizes.pop(name, 1) for name in _OF_A_DRAW)
    total = 0
    for arm in arms:
        temperatures = settings.get("temperature", (arm.recommended.temperature,))
        greedy = sum(temperature == 0 for temperature in temperatures)
        total += greedy + (len(temperatures) - greedy) * draws * repeats
    return total * prod(sizes.values())


def _refuse_too_many(what: str, requests: int) -> None:
    if requests > axis.MOST:
        raise InvalidInput(
            f"The {what} has {requests:,} requests; at most {axis.MOST:,} are made.",
            remedy="Give fewer values, problems or replicates, or ask in parts.",
        )
