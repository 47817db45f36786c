"""A run as its conditions: requests to one engine, in one mode, with one sampling.

Inspect and lm-eval know one model and one configuration a file or a task. What a plan
asks in several ways is therefore several of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from workbench.experiments import Run
from workbench.records import Cell, EngineSpec, Mode, Sampling, Score

_UNSAFE = re.compile(r"[^A-Za-z0-9.]+")


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that has ended, however."""

    index: int  # of its cell in the plan
    cell: Cell
    row: Mapping[str, Any]  # how it went, as ``Run.rows`` tells it
    score: Score | None

    @property
    def problem(self) -> str:
        """The problem's id, or a name made of the place in the plan."""
        return problem_name(self.index, self.cell)


@dataclass(frozen=True, slots=True)
class Condition:
    """Requests that differ in nothing but problem, sample and seed."""

    name: str  # the mode, and what else tells it from the run's other conditions
    spec: EngineSpec  # as the engine was when it answered; as asked for, if nothing has been
    mode: Mode
    sampling: Sampling  # with seed 0: each sample has its own
    concurrency: int | None
    planned: tuple[str, ...]  # problems, in the plan's order
    samples: int  # most samples of a problem that the plan has
    answered: tuple[Answered, ...]  # in the plan's order

    @property
    def model(self) -> str:
        """The model's name, without the folders that it lies in."""
        return Path(self.spec.model).name or self.spec.model

    def by_problem(self) -> dict[str, list[Answered]]:
        """What was answered to each problem, in the plan's order."""
        found: dict[str, list[Answered]] = {}
        for one in self.answered:
            found.setdefault(one.problem, []).append(one)
        return found


_Key = tuple[EngineSpec, Mode, Sampling, int | None]


def conditions(run: Run) -> tuple[Condition, ...]:
    """The conditions of a run, in the order in which its plan comes to them."""
    members: dict[_Key, list[int]] = {}
    for index, cell in enumerate(run.plan.cells):
        members.setdefault(_key(cell), []).append(index)
    ended = {one.index: one for one in _answered(run)}
    names = _names(list(members))
    return tuple(
        _condition(run, name, key, own, ended)
        for name, (key, own) in zip(names, members.items(), strict=True)
    )


def problem_name(index: int, cell: Cell) -> str:
    """The id of a cell's problem; of one without, a name made of its place."""
    return cell.problem.id if cell.problem is not None else f"request-{index + 1}"


def _condition(
    run: Run, name: str, key: _Key, own: list[int], ended: Mapping[int, Answered]
) -> Condition:
    asked = [problem_name(index, run.plan.cells[index]) for index in own]
    answered = tuple(ended[index] for index in own if index in ended)
    spec = run.generations[answered[0].index].spec if answered else key[0]
    return Condition(
        name=name,
        spec=spec,
        mode=key[1],
        sampling=key[2],
        concurrency=key[3],
        planned=tuple(dict.fromkeys(asked)),
        samples=max(Counter(asked).values()),
        answered=answered,
    )


def _answered(run: Run) -> Iterator[Answered]:
    scores = {score.generation: score for score in run.scores}
    for row in run.rows():
        if row["finish_reason"] is not None:
            index = row["index"]
            yield Answered(index, run.plan.cells[index], row, scores.get(index))


def _key(cell: Cell) -> _Key:
    request = cell.request
    return cell.spec, request.mode, replace(request.sampling, seed=0), cell.concurrency


def _names(keys: list[_Key]) -> list[str]:
    """The mode, and every setting in which the keys of that mode differ; each name is another."""
    names: list[str] = []
    for key in keys:
        alike = [_settings(other) for other in keys if other[1] == key[1]]
        differing = [name for name in alike[0] if len({one[name] for one in alike}) > 1]
        name = "-".join([_UNSAFE.sub("-", str(key[1])), *_words(_settings(key), differing)])
        same = sum(known == name or known.startswith(f"{name}..") for known in names)
        names.append(f"{name}..{same + 1}" if same else name)  # they differ in other signs only
    return names


def _settings(key: _Key) -> dict[str, Any]:
    spec, _, sampling, concurrency = key
    drawn = {field.name: getattr(sampling, field.name) for field in fields(sampling)}
    asked = {field.name: getattr(spec, field.name) for field in fields(spec)}
    return drawn | asked | {"concurrency": concurrency}


def _words(settings: Mapping[str, Any], differing: list[str]) -> Iterator[str]:
    for name in differing:
        value = settings[name]
        text = Path(value).name if name == "model" else str(value)
        yield f"{_UNSAFE.sub('-', name)}-{_UNSAFE.sub('-', text).strip('-')}"
