"""``workbench latency``: how fast prompts are read and tokens come, stage by stage."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench import experiments
from workbench.cli.guard import MENDABLE, complain, kept, stopped
from workbench.cli.output import console, print_json, table
from workbench.cli.places import engine_specs
from workbench.cli.ranges import names, numbers
from workbench.errors import InvalidInput
from workbench.experiments import Run
from workbench.experiments.latency import latency as plan_latency
from workbench.experiments.latency_figures import (
    StageFigures,
    aiperf_json,
    figures,
    goodput,
    objectives_of,
    stage_figures,
)
from workbench.experiments.latency_stages import Lab, read
from workbench.experiments.latency_tokens import THRESHOLD, outliers
from workbench.experiments.latency_words import conclusion
from workbench.experiments.progress import bar
from workbench.pages.numbers import seconds
from workbench.printable import one_line
from workbench.records import Failed, Plan
from workbench.store import Store

_LEGEND = (
    "TTFT: time to first token, median and 99th percentile; ITL: inter-token latency, median; "
    "tok/s, req/s: of all requests together; prefill/s: (prompt - cached) / TTFT, median."
)
_SHOWN = 10  # outliers in the table; --json has more
_TOKEN = 16  # characters of an outlier's text


def latency(
    *,
    prompt_tokens: str,
    output_tokens: str,
    concurrency: str,
    requests: int,
    cached: bool,
    mode: str,
    thinking_tokens: int | None,
    models: Sequence[str] | None,
    engines: Sequence[str] | None,
    place: Mapping[str, Any],
    goodput: str | None,
    seed: int,
    as_json: bool,
) -> int:
    """Ask, time, keep; the exit code."""
    bounds = _objectives(goodput) if goodput else {}
    plan = plan_latency(
        prompt_tokens=_counts("--prompt-tokens", prompt_tokens),
        output_tokens=_counts("--output-tokens", output_tokens),
        concurrency=_counts("--concurrency", concurrency),
        requests=requests,
        cached=cached,
        mode=mode,
        engine=engine_specs(engines, models, place),
        seed=seed,
        thinking_tokens=thinking_tokens,
    )
    out = console(as_json)
    begun: list[str] = []
    try:
        run = _run(plan, out, begun)
    except KeyboardInterrupt:
        return stopped(kept(begun[0] if begun else None))
    lab = read(run)
    show(lab, bounds, out)
    if lab.stages:
        out.print(Text(f"Kept as run {run.id}"))
    if as_json:
        print_json(document(lab, bounds))
    return _verdict(run)


def document(lab: Lab, objectives: Mapping[str, float]) -> dict[str, Any]:
    """The whole run in AIPerf's shape, then ``run``, ``stages`` in the same shape, ``outliers``.

    A stage is ``{"side", "prompt_tokens", "output_tokens", "concurrency",
    "cached", "energy_per_token" (joules), "metrics": {…}}``. Times of outliers are
    milliseconds, like AIPerf's.
    """
    stages = [
        {
            "side": stage.setting.side or None,
            "prompt_tokens": stage.setting.prompt_tokens,
            "output_tokens": stage.setting.output_tokens,
            "concurrency": stage.setting.concurrency,
            "cached": stage.setting.cached,
            "energy_per_token": stage_figures(stage).energy_per_token,
            "metrics": aiperf_json(lab, stage, objectives or None),
        }
        for stage in lab
    ]
    long = [
        {
            "stage": str(one.setting),
            "generation": one.generation,
            "position": one.position,
            "id": one.id,
            "text": one.text,
            "phase": one.phase,
            "gap": 1000 * one.gap,
            "median": 1000 * one.median,
            "because": one.because,
        }
        for one in outliers(lab)
    ]
    whole: dict[str, Any] = dict(aiperf_json(lab, objectives=objectives or None))
    told = {"run": lab.run.id, "warm_up_requests": lab.warm_ups, "objectives": dict(objectives)}
    return whole | told | {"stages": stages, "outliers": long, "outlier_threshold": THRESHOLD}


def _run(plan: Plan, out: Console, begun: list[str]) -> Run:
    out.print(Text(str(plan)), soft_wrap=True)
    progress = bar("latency") if sys.stderr.isatty() else None
    with Store() as store:
        return experiments.execute(plan, store=store, progress=progress, begun=begun.append)


def show(lab: Lab, objectives: Mapping[str, float], out: Console) -> None:
    """The stages, the gaps that stand out, and what that says; nothing where nothing ended."""
    found = [one for one in figures(lab) if one.requests]
    if not found:
        return
    out.print(_stages(lab, found, objectives))
    out.print(Text(_LEGEND))
    long = outliers(lab, most=_SHOWN)
    if long:
        out.print(Text(f"\n{THRESHOLD}"))
        heads = ("stage", "request", "token", "text", "phase", "gap", "median", "meanwhile")
        rows = (
            (
                one.setting,
                one.generation,
                one.position,
                repr(one_line(one.text, _TOKEN)),
                one.phase,
                seconds(one.gap),
                seconds(one.median),
                one.because,
            )
            for one in long
        )
        out.print(table(heads, rows, right=(1, 2, 5, 6)))
    out.print(Text(f"\n{conclusion(lab, objectives)}"))


def _stages(lab: Lab, found: Sequence[StageFigures], objectives: Mapping[str, float]) -> Table:
    """A row a stage: medians, and rates of the whole; columns that say nothing are left out."""
    met = {one.setting: one for one in goodput(lab, **objectives)} if objectives else {}
    heads = (
        "",
        "prompt",
        "answer",
        "at once",
        "cached",
        "TTFT",
        "p99",
        "ITL",
        "request",
        "tok/s",
        "req/s",
        "prefill/s",
        "J/tok",
        "good/s",
        "failed",
    )
    rows = []
    several = len({one.setting.output_tokens for one in found}) > 1
    for one in found:
        setting, good = one.setting, met.get(one.setting)
        rows.append(
            (
                setting.side or None,
                setting.prompt_tokens,
                setting.output_tokens if several else None,
                setting.concurrency,
                _rounded(one["cached_tokens"]["p50"]),
                seconds(one["time_to_first_token"]["p50"]),
                seconds(one["time_to_first_token"]["p99"]),
                seconds(one["inter_token_latency"]["p50"]),
                seconds(one["request_latency"]["p50"]),
                _rounded(one.output_token_throughput),
                _rounded(one.request_throughput),
                _rounded(one["prefill_throughput"]["p50"]),
                _rounded(one.energy_per_token),
                None if good is None else _rounded(good.per_second),
                one.failed or None,
            )
        )
    said = [place for place in range(len(heads)) if any(row[place] is not None for row in rows)]
    chosen = [[row[place] for place in said] for row in rows]
    return table([heads[place] for place in said], chosen, right=range(1, len(said)))


def _rounded(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"


def _counts(option: str, text: str) -> list[int]:
    """``1,2,4`` or ``128:1024:128`` as whole numbers."""
    return cast(list[int], numbers(text, option, whole=True))


def _objectives(text: str) -> dict[str, float]:
    """``ttft=0.5,itl=0.05`` as bounds by metric."""
    bounds: dict[str, float] = {}
    for part in names([text]):
        name, _, bound = part.partition("=")
        try:
            bounds[name.strip()] = float(bound)
        except ValueError:
            raise InvalidInput(
                f"{part!r} is no objective.", remedy="Write --goodput ttft=0.5,itl=0.05 (seconds)."
            ) from None
    return objectives_of(bounds)


def _verdict(run: Run) -> int:
    """Say what failed, each sentence once; nothing but failures is a failure."""
    ends = [one.end for _, one in sorted(run.generations.items())]
    failed = [end for end in ends if isinstance(end, Failed)]
    for sentence in dict.fromkeys(f"{end.error} {end.remedy}" for end in failed):
        complain(sentence)
    return MENDABLE if failed and len(failed) == len(ends) else 0
