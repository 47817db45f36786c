"""Describe: what an experiment will ask, before it costs anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from workbench.errors import InvalidInput
from workbench.experiments import axes as axis
from workbench.experiments.follow_ups import linked
from workbench.records import Cell, EngineSpec, Message, Mode, Plan, Problem, Request, Sampling

ARMS: tuple[Mode, ...] = tuple(Mode)


def compare(
    prompts: str | Problem | Iterable[str | Problem],
    *,
    modes: Iterable[Mode | str] = ARMS,
    model: str = "demo",
    engine: str | EngineSpec = "exllama",
    samples: int = 1,
    seed: int = 0,
    logprobs: bool = True,
    alternatives: int = 0,
    **sampling: Any,
) -> Plan:
    """Every prompt to every arm, as a plan.

    Each arm is sampled as the model card recommends for it, unless ``sampling``
    says otherwise. Each (problem, sample) has its own seed, made from ``seed`` and
    its name, so that neither order nor batching changes what is drawn; the arms of
    one problem share it. A greedy arm is asked once: its repeats would be copies.

    Args:
        prompts: Questions, with or without an answer.
        modes: The arms: ``on``, ``off``, ``off_prefilled``.
        model: A catalogue name or a folder.
        engine: An engine's kind, or a whole specification (then ``model`` is ignored).
        samples: Repeats of each problem in each arm that draws.
        seed: Of the run.
        logprobs: Record the log-probability of every token.
        alternatives: Record so many candidates a token.
        sampling: Fields of ``Sampling`` for all arms, e.g. ``temperature=0.6``.

    Raises:
        InvalidInput: A value that cannot be, or nothing to ask.
    """
    problems = axis.problems(prompts)
    arms = list(dict.fromkeys(axis.modes(modes)))
    spec = engine if isinstance(engine, EngineSpec) else EngineSpec(kind=engine, model=model)
    if samples < 1:
        raise InvalidInput(f"{samples} samples were asked for.", remedy="Ask for at least one.")
    cells = [
        Cell(spec, request(problem, arm, drawn, logprobs, alternatives), problem, sample, 1)
        for problem in problems
        for sample in range(samples)
        for arm in arms
        for drawn in (_sampling(arm, sampling, seed_for(seed, problem.id, sample)),)
        if sample == 0 or drawn.temperature > 0
    ]
    axes: dict[str, tuple[Any, ...]] = {"mode": tuple(map(str, arms))}
    axes["problem"] = tuple(problem.id for problem in problems)
    if samples > 1:
        axes["sample"] = tuple(range(samples))
    return Plan("compare", linked(cells), axes)


def seed_for(run_seed: int, problem: str, sample: int) -> int:
    """The seed of one (problem, sample): the first 8 bytes of a BLAKE2b over the three."""
    name = f"{run_seed}\x00{problem}\x00{sample}".encode("utf-8", errors="replace")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")


def _sampling(arm: Mode, asked: Mapping[str, Any], seed: int) -> Sampling:
    known = {field.name for field in fields(Sampling)} - {"seed"}
    unknown = sorted(asked.keys() - known)
    if unknown:
        raise InvalidInput(
            f"Sampling has no setting {unknown[0]!r}.", remedy=f"Known: {', '.join(sorted(known))}."
        )
    chosen = {name: value for name, value in asked.items() if value is not None}
    return replace(arm.recommended, seed=seed, **chosen)


def request(
    problem: Problem, arm: Mode, sampling: Sampling, logprobs: bool, alternatives: int
) -> Request:
    """A problem put to an arm."""
    return Request(
        (Message("user", problem.prompt),),
        arm,
        sampling,
        label=f"{problem.id} · {arm}",
        logprobs=logprobs,
        alternatives=alternatives,
    )
