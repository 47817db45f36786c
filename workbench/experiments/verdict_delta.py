"""Two models or two precisions on the same problems: what the second costs, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any

from workbench.evaluation.statistics import Difference, difference
from workbench.experiments.run import Run
from workbench.experiments.wording import capital, change, number, signed
from workbench.records import Cell, EngineSpec

_ENDED_WELL = ("stop", "length")
_Asked = tuple[str, str]  # a problem's id and prompt
_Row = Mapping[str, Any]  # a generation, as ``Run.rows`` describes it


@dataclass(frozen=True, slots=True)
class Delta:
    """The second minus the first in one mode, on the problems that both were asked."""

    mode: str
    first: str  # what it is: model, precision, cache
    second: str
    right: Difference  # share of right answers
    tokens: Difference  # of an answer

    def __str__(self) -> str:
        sure = "" if self.right.sure else ", which chance can explain"
        tokens = self.tokens.estimate
        more = f"{number(abs(tokens.value))} tokens {'more' if tokens.value >= 0 else 'fewer'}"
        span = ""
        if tokens.low is not None and tokens.high is not None:
            span = f" (95% interval {signed(tokens.low)} to {signed(tokens.high)})"
        return (
            f"{capital(self.mode)}, {self.second} against {self.first} on "
            f"{self.right.estimate.count:,} problems: {change(self.right)} right{sure}; "
            f"an answer takes {more}{span}."
        )


def deltas(first: Run, second: Run | None = None) -> tuple[Delta, ...]:
    """What another model or precision changes, mode by mode; empty without a common problem.

    Problems are the same when id and prompt are; one whose options stand in another order in
    every sample has several prompts, and is one problem still. The difference is paired: each
    problem's mean over samples with the other engine minus that with the first.

    Args:
        first: What is held against, such as the run in full precision.
        second: The run of the other model or precision. Default: the further engines of
            ``first`` itself.
    """
    ours = _sides(first)
    theirs = ours[1:] if second is None else _sides(second)
    return tuple(
        delta
        for base in ours[:1]
        for other in theirs
        for mode in base.modes
        if (delta := _delta(mode, base, other)) is not None
    )


def told(found: Sequence[Delta]) -> str:
    """``deltas`` in words."""
    if not found:
        return "There is no second model or precision on the same problems."
    return " ".join(map(str, found))


@dataclass(frozen=True, slots=True)
class _Side:
    """One engine of a run."""

    name: str  # the run's id, to tell equal engines apart
    facts: Mapping[str, str]  # model, precision, cache, engine
    modes: Mapping[str, Mapping[_Asked, list[_Row]]]  # mode -> problem -> answers


def _sides(run: Run) -> list[_Side]:
    specs = list(dict.fromkeys(cell.spec for cell in run.plan.cells))
    every: dict[EngineSpec, dict[str, dict[_Asked, list[_Row]]]] = {spec: {} for spec in specs}
    for row in run.rows():
        cell = run.plan.cells[row["index"]]
        if row["finish_reason"] in _ENDED_WELL:
            modes = every[cell.spec].setdefault(str(cell.request.mode), {})
            modes.setdefault(_asked(cell), []).append(row)
    engines = run.environment.get("engines") or []
    opened = engines if len(engines) == len(specs) else [{}] * len(specs)
    return [
        _Side(run.id, _facts(asdict(spec), found), every[spec])
        for spec, found in zip(specs, opened, strict=True)
    ]


def _facts(asked: Mapping[str, Any], opened: Mapping[str, Any]) -> dict[str, str]:
    """Model, precision and cache: as they were when it ran, else as they were asked for."""

    def fact(name: str) -> str:
        return str(opened.get(name) or asked.get(name) or "unknown")

    return {
        "model": fact("model"),
        "precision": fact("quantization"),
        "cache": f"cache {fact('cache')}",
        "engine": fact("kind"),
    }


def _delta(mode: str, first: _Side, second: _Side) -> Delta | None:
    ours, theirs = first.modes[mode], second.modes.get(mode, {})
    common = ours.keys() & theirs.keys()

    def both(column: str) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        return _values(theirs, common, column), _values(ours, common, column)

    right = difference(*both("score"), share=True)
    tokens = difference(*both("output_tokens"))
    if right is None or tokens is None:
        return None
    return Delta(mode, *_names(first, second), right, tokens)


def _names(first: _Side, second: _Side) -> tuple[str, str]:
    """Each side by what the two differ in; by its run where they do not."""
    differ = [name for name in first.facts if first.facts[name] != second.facts[name]]
    if not differ:
        return first.name, second.name
    ours, theirs = (", ".join(side.facts[name] for name in differ) for side in (first, second))
    return ours, theirs


def _asked(cell: Cell) -> _Asked:
    return (cell.problem.id, cell.problem.prompt) if cell.problem else ("", "")


def _values(
    asked: Mapping[_Asked, Sequence[_Row]], common: Set[_Asked], column: str
) -> dict[str, list[float]]:
    """A column by problem, of the prompts that both have: a problem may have several."""
    found: dict[str, list[float]] = {}
    for key, rows in asked.items():
        known = [float(row[column]) for row in rows if row[column] is not None]
        if key in common and known:
            found.setdefault(key[0], []).extend(known)
    return found
