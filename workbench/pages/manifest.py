"""What a repeat of a run needs to know, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from workbench.experiments import Run
from workbench.experiments.energy import in_words
from workbench.experiments.evidence import evidence, pack
from workbench.pages.asked import axes, samplings
from workbench.pages.page import Page, render
from workbench.pages.tables import value

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
        "speculation": "speculation",
        "draft_tokens": "draft tokens a step, at most",
        "context": "context, tokens",
        "cache": "cache",
        "cache_tokens": "cache, tokens",
        "max_batch": "largest batch",
        "template": "chat template",
        "template_sha256": "chat template, SHA-256",
        "weights_sha256": "weights, SHA-256",
        "synthetic": "synthetic weights",
    }
)


def manifest(run: Run) -> Page:
    """Versions, engine, model with its hashes, axes, sampling, seeds, device, concurrency.

    For programs it carries the plan and the ids as well, see ``experiments.evidence``.
    """
    rows = [(name, text) for name, raw in _facts(run) if (text := value(raw)) is not None]
    return render(
        "table",
        "\n".join(f"{name}: {text}" for name, text in rows),
        {RUN_TYPE: pack(evidence(run))},
        label="Manifest",
        kind="wb-words",
        heads=[],
        rows=rows,
        note="",
    )


def _facts(run: Run) -> Iterator[tuple[str, object]]:
    yield "run", run.id
    yield "status", f"{run.status}, {len(run.generations)} of {len(run.plan)} generations"
    engines = run.environment.get("engines") or []
    for number, engine in enumerate(engines, start=1):
        part = f" {number}" if len(engines) > 1 else ""
        yield from ((title + part, _engine_fact(name, engine)) for name, title in _ENGINE.items())
    if run.plan.kind != "compare":
        yield from ((f"axis, {name}", values) for name, values in axes(run.plan).items())
    for arm, sampling in samplings(run.plan).items():
        yield f"sampling, {arm}", sampling
    yield "seeds", _seeds(run)
    yield "requests at once", _concurrency(run)
    yield from _resumed(run.environment)
    yield from _machine(run.environment)


def _engine_fact(name: str, engine: Mapping[str, Any]) -> object:
    """Synthetic weights are told in a sentence, others not at all."""
    if name == "synthetic":
        return "yes: made for trying and measuring, not Nemotron's" if engine.get(name) else None
    return engine.get(name)


def _seeds(run: Run) -> str:
    seeds = list(dict.fromkeys(cell.request.sampling.seed for cell in run.plan.cells))
    if not seeds:
        return "none"
    if len(seeds) == 1:
        return str(seeds[0])
    return f"{len(seeds)}, one a problem and sample, the same in every arm; the first is {seeds[0]}"


def _concurrency(run: Run) -> str | None:
    """The most there were, and what the stages asked for where they differ."""
    most = run.environment.get("concurrency")
    asked = dict.fromkeys(cell.concurrency for cell in run.plan.cells)
    if len(asked) < 2:
        return None if most is None else str(most)
    stages = ", ".join("as many as fit" if one is None else str(one) for one in asked)
    return f"{stages}, stage by stage" + ("" if most is None else f"; at most {most}")


def _resumed(environment: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """When the run was taken up again, and what was no longer as it had been."""
    times = environment.get("resumed")
    if not times:
        return
    yield "resumed", ", ".join(map(str, times))
    changed = environment.get("changed") or {}
    yield "changed since", "nothing" if not changed else None
    for name, (then, now) in changed.items():
        yield f"changed since, {name}", f"{value(then) or 'none'}, then {value(now) or 'none'}"


def _machine(environment: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "python", environment.get("python")
    yield "platform", environment.get("platform")
    yield "processor", environment.get("processor")
    gpu = environment.get("gpu")
    if gpu:
        yield "GPU", ", ".join(f"{name} {raw}" for name, raw in gpu.items())
    yield "taken on the GPU", in_words(environment)
    packages = environment.get("packages") or {}
    yield (
        "packages",
        ", ".join(f"{name} {version}" for name, version in packages.items() if version),
    )
