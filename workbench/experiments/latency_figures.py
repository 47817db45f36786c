"""Figures of a latency run, stage by stage, by AIPerf's definitions; goodput; AIPerf's JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from workbench.errors import InvalidInput
from workbench.experiments.energy import energy_per_token
from workbench.experiments.latency_stages import Lab, Reading, Seconds, Setting, Stage, read
from workbench.experiments.run import Run
from workbench.metrics import TABLE, Metric, percentiles

Statistics = Mapping[str, float | None]  # as ``metrics.percentiles`` names them

INTER_CHUNK = "inter_chunk_latency"
THINKING_GAP, ANSWER_GAP = "thinking_token_latency", "answer_token_latency"
SHORT: Mapping[str, str] = MappingProxyType(
    {
        "ttft": "time_to_first_token",
        "ttfo": "time_to_first_output_token",
        "itl": "inter_token_latency",
        "latency": "request_latency",
    }
)
"""Short names that objectives may have."""

_GAPS: Mapping[str, Callable[[Reading], Seconds]] = MappingProxyType(
    {
        INTER_CHUNK: lambda reading: reading.steps,
        THINKING_GAP: lambda reading: reading.gaps[reading.thinking],
        ANSWER_GAP: lambda reading: reading.gaps[reading.answer],
    }
)
_AIPERF_UNITS: Mapping[str, tuple[str, float]] = MappingProxyType(
    {"s": ("ms", 1000.0), "tokens": ("tokens", 1.0), "ratio": ("ratio", 1.0)}
)
_USER_RATES = ("prefill_throughput", "output_token_throughput_per_user")


@dataclass(frozen=True, slots=True)
class StageFigures:
    """What a stage came to. Requests that failed or were cancelled are in no other figure.

    ``None`` is undefined: no request ended well, or when they began was not kept.
    """

    setting: Setting
    requests: int  # that ended well
    failed: int
    short: int  # of those that ended well, with fewer tokens than asked for
    duration: float | None  # seconds, first submission to last end
    output_token_throughput: float | None  # tokens/s: all tokens over the duration
    request_throughput: float | None  # requests/s
    energy_per_token: float | None  # joules on the GPU, prompts included; None: not measured
    statistics: Mapping[str, Statistics]
    """Distributions by name: every metric of ``metrics.TABLE`` over the requests, and over
    all gaps of all requests ``inter_chunk_latency``, ``thinking_token_latency`` and
    ``answer_token_latency`` (gaps before tokens of either channel). Seconds, tokens."""

    def __getitem__(self, name: str) -> Statistics:
        return self.statistics[name]


def figures(run: Run | Lab) -> tuple[StageFigures, ...]:
    """Every stage of a latency run, in the plan's order.

    Raises:
        InvalidInput: The run is of another kind of plan.
    """
    return tuple(stage_figures(stage) for stage in read(run))


def stage_figures(stage: Stage) -> StageFigures:
    """The figures of one stage."""
    good, duration = stage.good, stage.duration
    tokens = [reading.metrics["output_tokens"] or 0 for reading in good]
    spent = zip(good, tokens, strict=True)
    return StageFigures(
        setting=stage.setting,
        requests=len(good),
        failed=len(stage.readings) - len(good),
        short=sum(count < stage.setting.output_tokens for count in tokens),
        duration=duration,
        output_token_throughput=sum(tokens) / duration if duration else None,
        request_throughput=len(good) / duration if duration else None,
        energy_per_token=energy_per_token((reading.energy, n) for reading, n in spent),
        statistics=_statistics(good),
    )


def _statistics(good: Sequence[Reading]) -> dict[str, Statistics]:
    found: dict[str, Statistics] = {
        metric.name: percentiles(reading.metrics[metric.name] for reading in good)
        for metric in TABLE
    }
    for name, gaps in _GAPS.items():
        pooled = np.concatenate([np.empty(0), *(gaps(reading) for reading in good)])
        found[name] = percentiles(pooled.tolist())
    return found


# --- goodput ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Goodput:
    """Requests of a stage that met every objective."""

    setting: Setting
    good: int
    requests: int  # all of the stage, failed ones too: they meet nothing
    per_second: float | None  # good ones over the stage's duration; None: duration unknown

    @property
    def share(self) -> float:
        return self.good / self.requests


def goodput(run: Run | Lab, **objectives: float) -> tuple[Goodput, ...]:
    """Requests a second that meet all objectives, stage by stage.

    A request meets an objective when its value is at most the bound; of a rate, at
    least. One whose value is undefined does not meet it.

    Args:
        run: Of a latency plan.
        objectives: Bounds by metric, in the metric's own unit (``metrics.TABLE``), e.g.
            ``time_to_first_token=0.5, inter_token_latency=0.05``: seconds. ``SHORT``
            names are known too.

    Raises:
        InvalidInput: No objective, an unknown metric, or a bound that nothing can meet.
    """
    bounds = objectives_of(objectives)
    return tuple(_goodput(stage, bounds) for stage in read(run))


def objectives_of(given: Mapping[str, float]) -> dict[str, float]:
    """Objectives under their metrics' full names.

    Raises:
        InvalidInput: As ``goodput`` says.
    """
    known = {metric.name: metric for metric in TABLE}
    bounds = {SHORT.get(name, name): bound for name, bound in given.items()}
    unknown = sorted(bounds.keys() - known.keys())
    if unknown or not bounds:
        raise InvalidInput(
            f"There is no metric {unknown[0]!r}." if unknown else "No objective was given.",
            remedy=f"Known: {', '.join([*SHORT, *known])}.",
        )
    for name, bound in bounds.items():
        if not bound > 0 or bound == float("inf"):
            raise InvalidInput(
                f"The objective for {name} is {bound:g} {known[name].unit}.",
                remedy="Give a bound above 0.",
            )
    return bounds


def _goodput(stage: Stage, bounds: Mapping[str, float]) -> Goodput:
    rates = {metric.name for metric in TABLE if metric.unit == "tokens/s"}

    def meets(reading: Reading) -> bool:
        values = ((reading.metrics[name], bound, name) for name, bound in bounds.items())
        return all(
            value is not None and (value >= bound if name in rates else value <= bound)
            for value, bound, name in values
        )

    good = sum(meets(reading) for reading in stage.good)
    duration = stage.duration
    return Goodput(stage.setting, good, len(stage.readings), good / duration if duration else None)


# --- AIPerf's shape -----------------------------------------------------------------------------


def aiperf_json(
    run: Run | Lab, stage: Stage | None = None, objectives: Mapping[str, float] | None = None
) -> dict[str, dict[str, Any]]:
    """A stage, or a whole run, in the shape of AIPerf's ``profile_export_aiperf.json``.

    ``{"time_to_first_token": {"unit": "ms", "count", "avg", "min", "max", "std", "p1" …
    "p99"}, …}``; values of a whole have ``unit`` and ``avg`` alone. Tags are AIPerf's;
    where a definition departs from AIPerf's, ``metrics.TABLE`` says how. What is undefined
    is left out, as AIPerf leaves it out. Warm-ups are in nothing.

    Args:
        run: Of a latency plan.
        stage: One of its stages; default: all requests together, and as the duration
            the sum of the stages' own.
        objectives: Adds ``goodput`` and ``good_request_count``, see ``goodput``.
    """
    lab = read(run)
    stages = lab.stages if stage is None else (stage,)
    good = [reading for one in stages for reading in one.good]
    statistics = _statistics(good)
    found = {
        metric.aiperf: _entry(_unit(metric), statistics[metric.name], good, metric.name)
        for metric in TABLE
        if metric.aiperf is not None
    }
    gaps = sum(len(reading.steps) for reading in good)
    found[INTER_CHUNK] = {"count": gaps} | _scaled(("ms", 1000.0), statistics[INTER_CHUNK])
    durations = [one.duration for one in stages]
    known = [duration for duration in durations if duration is not None]
    whole = sum(known) if len(known) == len(stages) and known else None
    found |= _whole(good, sum(len(one.readings) for one in stages), whole)
    if objectives:
        met = sum(_goodput(one, objectives_of(objectives)).good for one in stages)
        found["good_request_count"] = {"unit": "requests", "avg": met}
        found["goodput"] = {"unit": "requests/sec", "avg": met / whole if whole else None}
    return {tag: entry for tag, entry in found.items() if entry.get("avg") is not None}


def _unit(metric: Metric) -> tuple[str, float]:
    if metric.unit == "tokens/s":
        per_user = metric.name in _USER_RATES
        return ("tokens/sec/user" if per_user else "tokens/sec", 1.0)
    return _AIPERF_UNITS[metric.unit]


def _entry(
    unit: tuple[str, float], statistics: Statistics, good: Iterable[Reading], name: str
) -> dict[str, Any]:
    count = sum(reading.metrics[name] is not None for reading in good)
    return {"count": count} | _scaled(unit, statistics)


def _scaled(unit: tuple[str, float], statistics: Statistics) -> dict[str, Any]:
    name, factor = unit
    values = {key: None if v is None else factor * v for key, v in statistics.items()}
    return {"unit": name} | values


def _whole(good: Sequence[Reading], asked: int, duration: float | None) -> dict[str, Any]:
    """Values that are not one a request."""
    tokens = sum(reading.metrics["output_tokens"] or 0 for reading in good)
    return {
        "output_token_throughput": {
            "unit": "tokens/sec",
            "avg": tokens / duration if duration else None,
        },
        "request_throughput": {
            "unit": "requests/sec",
            "avg": len(good) / duration if duration else None,
        },
        "request_count": {"unit": "requests", "avg": len(good)},
        "error_request_count": {"unit": "requests", "avg": asked - len(good)},
        "benchmark_duration": {"unit": "sec", "avg": duration},
    }
