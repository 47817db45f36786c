"""A latency run read stage by stage: its requests, their moments, the gaps between their tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from workbench import metrics
from workbench.errors import InvalidInput
from workbench.experiments.axes import WARM_UP, value_of
from workbench.experiments.energy import energies
from workbench.experiments.run import Run
from workbench.experiments.stored import StoredGenerations
from workbench.metrics import TokenTime, token_times
from workbench.metrics.trace import ANSWER
from workbench.records import Cell, Channel, EngineSpec, Generation, Plan

Seconds = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Setting:
    """What the requests of one stage have in common."""

    side: str  # engine, model, or what else tells the plan's engines apart; "" for one alone
    prompt_tokens: int  # asked for
    output_tokens: int  # asked for
    concurrency: int  # requests under way at once
    cached: bool  # whether the same prompts had been asked just before

    def __str__(self) -> str:
        parts = [self.side] if self.side else []
        parts.append(f"{self.prompt_tokens:,} + {self.output_tokens:,} tokens")
        parts.append(f"{self.concurrency} at once")
        return " · ".join(parts + (["cached"] if self.cached else []))


@dataclass(frozen=True, slots=True)
class Reading:
    """One request of a stage. Moments are seconds since its submission."""

    index: int  # of its cell in the plan
    ok: bool  # ended by itself or at its length
    submitted: float | None  # seconds since the run began; None: not kept
    metrics: Mapping[str, float | None]  # as ``metrics.measure`` has them
    stamps: Seconds  # (n,) of its tokens
    gaps: Seconds  # (n - 1,) from each token to the next, see ``token_gaps``
    thinking: Mask  # (n - 1,) whether the later token is thinking
    answer: Mask  # (n - 1,) whether it is answer
    energy: float | None = None  # joules on the GPU; None: not measured

    @property
    def steps(self) -> Seconds:
        """Between decode iterations that brought tokens: AIPerf's inter-chunk latencies."""
        return np.diff(np.unique(self.stamps))


@dataclass(frozen=True, slots=True)
class Stage:
    """The requests of one setting, in the plan's order; cells not reached are missing."""

    setting: Setting
    readings: tuple[Reading, ...]

    @property
    def good(self) -> tuple[Reading, ...]:
        """Those that ended as they should: all that figures rest on."""
        return tuple(reading for reading in self.readings if reading.ok)

    @property
    def duration(self) -> float | None:
        """Seconds from the first submission to the last end; ``None``: moments were not kept."""
        begins = [reading.submitted for reading in self.good]
        ends = [_end(reading) for reading in self.good]
        known = [begin for begin in begins if begin is not None]
        if not known or len(known) < len(begins):
            return None
        return max(end for end in ends if end is not None) - min(known)


@dataclass(frozen=True, slots=True)
class Lab:
    """A latency run, read once; what figures, tables and plots are made of."""

    run: Run
    stages: tuple[Stage, ...]  # in the plan's order, those without a request left out
    warm_ups: int  # requests that are in no stage

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)


def read(run: Run | Lab) -> Lab:
    """A run of a latency plan, stage by stage; what has been read is returned as it is.

    Raises:
        InvalidInput: The run is of another kind of plan.
    """
    if isinstance(run, Lab):
        return run
    if run.plan.kind != "latency":
        raise InvalidInput(
            f"Run {run.id} is of a {run.plan.kind} plan.",
            remedy="Make one with workbench.experiments.latency.latency(…).",
        )
    submitted, joules = _submissions(run), energies(run.generations)
    found: dict[Setting, list[Reading]] = {}
    warm_ups = 0
    for index, setting in enumerate(settings(run.plan)):
        if index not in run.generations:
            continue
        if setting is None:
            warm_ups += 1
        else:
            reading = _reading(
                index, run.generations[index], submitted.get(index), joules.get(index)
            )
            found.setdefault(setting, []).append(reading)
    return Lab(run, tuple(Stage(s, tuple(all_)) for s, all_ in found.items()), warm_ups)


def settings(plan: Plan) -> list[Setting | None]:
    """The stage of every cell; ``None`` for a warm-up."""
    names = sides(plan)
    return [_setting(cell, names[cell.spec]) for cell in plan.cells]


def sides(plan: Plan) -> dict[EngineSpec, str]:
    """What tells the engines of a plan apart, in words; nothing where there is one."""
    specs = list(dict.fromkeys(cell.spec for cell in plan.cells))
    told = [asdict(spec) for spec in specs]
    differ = [name for name in (told[0] if told else {}) if len({one[name] for one in told}) > 1]
    return {
        spec: " · ".join(str(one[name]) for name in differ if one[name] is not None)
        for spec, one in zip(specs, told, strict=True)
    }


def prompt_name(prompt: int, output: int, concurrency: int, number: int, group: str) -> str:
    """The id of a prompt: its length first, which ``settings`` reads again."""
    stage = f"{prompt}-{output}-{concurrency}"
    return f"{stage}-warm-up-{number}" if group == WARM_UP else f"{stage}-{number}"


def token_gaps(times: Sequence[TokenTime]) -> Seconds:
    """Seconds from each token to the next, ``(n - 1,)``.

    Tokens with one stamp (one iteration brought them, or their text was held back and
    released together) share the time since the token before them equally.
    """
    gaps: list[float] = []
    before: float | None = None
    for stamp, group in groupby(times, key=lambda time: time.t):
        size = len(list(group))
        if before is not None:
            gaps += [(stamp - before) / size] * size
        elif size > 1:
            gaps += [0.0] * (size - 1)  # the first token has none before it
        before = stamp
    return np.array(gaps, np.float64)


def _submissions(run: Run) -> dict[int, float | None]:
    """When each request was submitted, seconds since the run began, as the store has it."""
    if not isinstance(run.generations, StoredGenerations):
        return {}
    return {row.index: row.metrics.get("submitted") for row in run.generations.rows()}


def _setting(cell: Cell, side: str) -> Setting | None:
    if cell.problem is None or cell.problem.group == WARM_UP:
        return None
    return Setting(
        side=side,
        prompt_tokens=value_of(cell, "prompt_tokens"),
        output_tokens=value_of(cell, "output_tokens") or 0,
        concurrency=cell.concurrency or 1,
        cached=value_of(cell, "cached"),
    )


def _reading(
    index: int, generation: Generation, submitted: float | None, energy: float | None
) -> Reading:
    times = token_times(generation)
    measured = metrics.measure(generation)
    later = [time.channel for time in times[1:]]
    return Reading(
        index=index,
        ok=generation.ok,
        submitted=submitted,
        metrics=measured,
        stamps=np.array([time.t for time in times], np.float64),
        gaps=token_gaps(times),
        thinking=np.array([channel is Channel.THINKING for channel in later], np.bool_),
        answer=np.array([channel in ANSWER for channel in later], np.bool_),
        energy=energy,
    )


def _end(reading: Reading) -> float | None:
    latency = reading.metrics["request_latency"]
    return None if latency is None or reading.submitted is None else reading.submitted + latency
