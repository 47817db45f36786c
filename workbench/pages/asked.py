"""What a plan sets out to do, as a table: arms, settings, axes, and how many requests that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from workbench.experiments.arms import arm_names
from workbench.experiments.grid import coordinates
from workbench.pages.numbers import count, seconds
from workbench.pages.page import Page, render
from workbench.printable import one_line
from workbench.records import Cell, EngineSpec, Plan, Sampling

_GROUPS = 8  # named in one line
_VALUES = 12  # of an axis named in one line
_LONGEST = 60  # characters of a value
_WITHIN = ("problem", "sample")  # axes along which a grid cell's generations lie
_NEUTRAL = Sampling()


def asked(plan: Plan) -> Page:
    """What a plan sets out to do: how many requests, and each arm's prompt and sampling."""
    modes = {
        arm: cell.request.mode for arm, cell in zip(arm_names(plan.cells), plan.cells, strict=True)
    }
    told = samplings(plan)
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
        note=" ".join(_notes(plan)),
    )


def axes(plan: Plan) -> dict[str, str]:
    """The axes that a grid cell has a place on, with their values in words."""
    named = {name: values for name, values in plan.axes.items() if name not in _WITHIN}
    return {name.replace("_", "-"): _listed(values) for name, values in named.items()}


def samplings(plan: Plan) -> dict[str, str]:
    """The sampling of each arm in words; a setting that varies within it has all its values."""
    found: dict[str, list[Cell]] = {}
    for arm, cell in zip(arm_names(plan.cells), plan.cells, strict=True):
        found.setdefault(arm, []).append(cell)
    return {arm: _sampling(cells) for arm, cells in found.items()}


def _sampling(cells: Iterable[Cell]) -> str:
    """Greedy, or the settings of the draw; neutral settings are left out."""
    every = list(dict.fromkeys(cell.request.sampling for cell in cells))
    told = []
    for field in fields(Sampling):
        values = tuple(dict.fromkeys(getattr(sampling, field.name) for sampling in every))
        if field.name == "seed" or values == (getattr(_NEUTRAL, field.name),):
            continue
        told.append(f"{field.name.replace('_', '-')} {_listed(values, ' / ')}")
    greedy = all(sampling.temperature == 0 for sampling in every)
    return ", ".join((["greedy"] if greedy else []) + told)


def _notes(plan: Plan) -> Iterator[str]:
    yield _counted(plan)
    if plan.kind != "compare" and (varying := axes(plan)):
        told = "; ".join(f"{name} {values}" for name, values in varying.items())
        yield f"Axes: {told}."
    if plan.expected is not None:
        time = seconds(plan.expected.seconds)
        took = f" and {time}" if time else ""
        tokens = f"{plan.expected.output_tokens:,.0f} tokens"
        basis = count(plan.expected.basis, "earlier answer")
        yield f"By {basis} it was expected to take {tokens}{took}."


def _counted(plan: Plan) -> str:
    """``36 requests to demo on exllama: 12 problems (easy 4, medium 4, hard 4) in 3 arms.``"""
    specs = dict.fromkeys(f"{cell.spec.model} on {cell.spec.kind}" for cell in plan.cells)
    problems = {cell.problem.id: cell.problem for cell in plan.cells if cell.problem is not None}
    requests = f"{count(len(plan), 'request')} to {', '.join(specs) or 'nobody'}"
    if plan.kind == "latency":  # whose problems are prompts of a length, and repeat one another
        return f"{requests}: {count(len(problems), 'prompt')}, warm-ups among them."
    groups = Counter(problem.group for problem in problems.values() if problem.group)
    parts = ", ".join(f"{one_line(group, 40)} {n}" for group, n in groups.most_common(_GROUPS))
    parts += ", …" if len(groups) > _GROUPS else ""
    arms = len(set(arm_names(plan.cells)))
    grid = len({tuple(place.values()) for place in coordinates(plan)})
    where = count(arms, "arm") if grid <= arms else f"{count(grid, 'combination')} of settings"
    return (
        f"{requests}: {count(len(problems), 'problem')}{f' ({parts})' if parts else ''} in {where}."
    )


def _listed(values: Iterable[Any], between: str = ", ") -> str:
    every = [_value(value) for value in values]
    shown = every if len(every) <= _VALUES else [*every[:_VALUES], f"… {len(every)} in all"]
    return between.join(shown)


def _value(value: Any) -> str:
    if isinstance(value, EngineSpec):
        return one_line(f"{value.model} on {value.kind}", _LONGEST)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return one_line("none" if value is None else str(value), _LONGEST)
