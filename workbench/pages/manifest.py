"""What was asked, and what a repeat of a run needs to know, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from workbench.experiments import Run
from workbench.experiments.arms import arm_names
from workbench.pages.numbers import count
from workbench.pages.page import Page, render
from workbench.pages.tables import value
from workbench.printable import one_line
from workbench.records import Plan, Sampling

_GROUPS = 8  # named in one line
RUN_TYPE = "application/vnd.workbench.run+json"  # names the run to whoever reads the notebook

_ENGINE = MappingProxyType(
    {
        "model": "model",
        "kind": "engine",
        "revision": "revision",
        "quantization": "quantization",
        "device": "device",
        "attention": "attention",
        "sampler": "sampler",
        "context": "context, tokens",
        "cache": "cache",
        "cache_tokens": "cache, tokens",
        "max_batch": "largest batch",
        "template": "chat template",
        "template_sha256": "chat template, SHA-256",
        "weights_sha256": "weights, SHA-256",
        "synthetic": "made for tests",
    }
)


def manifest(run: Run) -> Page:
    """Versions, engine, model with its hashes, sampling, seeds, device, concurrency."""
    rows = [(name, text) for name, raw in _facts(run) if (text := value(raw)) is not None]
    return render(
        "table",
        "\n".join(f"{name}: {text}" for name, text in rows),
        {RUN_TYPE: {"id": run.id}},
        label="Manifest",
        kind="wb-words",
        heads=[],
        rows=rows,
        note="",
    )


def asked(plan: Plan) -> Page:
    """What a plan sets out to do: how many requests, and each arm's prompt and sampling."""
    cells = dict(zip(arm_names(plan.cells), plan.cells, strict=True))
    modes = {arm: cell.request.mode for arm, cell in cells.items()}
    told = {arm: _told(sampling) for arm, sampling in _samplings(plan).items()}
    return render(
        "table",
        str(plan),
        label="What was asked",
        kind="wb-words",
        heads=["arm", "system prompt", "the answer begins with", "sampling"],
        rows=[
            [arm, mode.system_prompt, mode.prefill.replace("\n", "↵") or None, told[arm]]
            for arm, mode in modes.items()
        ],
        note=_counted(plan),
    )


def _counted(plan: Plan) -> str:
    """``36 requests to demo on exllama: 12 problems (easy 4, medium 4, hard 4) in 3 arms.``"""
    specs = dict.fromkeys(f"{cell.spec.model} on {cell.spec.kind}" for cell in plan.cells)
    problems = {cell.problem.id: cell.problem for cell in plan.cells if cell.problem is not None}
    groups = Counter(problem.group for problem in problems.values() if problem.group)
    parts = ", ".join(f"{one_line(group, 40)} {n}" for group, n in groups.most_common(_GROUPS))
    parts += ", …" if len(groups) > _GROUPS else ""
    arms = len(set(arm_names(plan.cells)))
    return (
        f"{count(len(plan), 'request')} to {', '.join(specs) or 'nobody'}: "
        f"{count(len(problems), 'problem')}{f' ({parts})' if parts else ''} "
        f"in {count(arms, 'arm')}."
    )


def _facts(run: Run) -> Iterator[tuple[str, object]]:
    yield "run", run.id
    yield "status", f"{run.status}, {len(run.generations)} of {len(run.plan)} generations"
    engines = run.environment.get("engines") or []
    for number, engine in enumerate(engines, start=1):
        part = f" {number}" if len(engines) > 1 else ""
        yield from ((title + part, engine.get(name)) for name, title in _ENGINE.items())
    for arm, sampling in _samplings(run.plan).items():
        yield f"sampling, {arm}", _told(sampling)
    yield "seeds", _seeds(run)
    yield "requests at once", run.environment.get("concurrency")
    yield from _machine(run.environment)


def _samplings(plan: Plan) -> dict[str, Sampling]:
    """The sampling of each arm; all of its cells have the same, but for the seed."""
    found: dict[str, Sampling] = {}
    for arm, cell in zip(arm_names(plan.cells), plan.cells, strict=True):
        found.setdefault(arm, cell.request.sampling)
    return found


def _told(sampling: Sampling) -> str:
    """Greedy, or the settings of the draw; neutral settings are left out."""
    settings = asdict(sampling)
    neutral = asdict(Sampling())
    parts = [
        f"{name.replace('_', '-')} {raw}"
        for name, raw in settings.items()
        if name != "seed" and raw != neutral[name]
    ]
    return ", ".join((["greedy"] if sampling.temperature == 0 else []) + parts)


def _seeds(run: Run) -> str:
    seeds = list(dict.fromkeys(cell.request.sampling.seed for cell in run.plan.cells))
    if not seeds:
        return "none"
    if len(seeds) == 1:
        return str(seeds[0])
    return f"{len(seeds)}, one a problem and sample, the same in every arm; the first is {seeds[0]}"


def _machine(environment: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "python", environment.get("python")
    yield "platform", environment.get("platform")
    yield "processor", environment.get("processor")
    gpu = environment.get("gpu")
    if gpu:
        yield "GPU", ", ".join(f"{name} {raw}" for name, raw in gpu.items())
    packages = environment.get("packages") or {}
    yield (
        "packages",
        ", ".join(f"{name} {version}" for name, version in packages.items() if version),
    )
