"""Several runs beside one another: one table, what came of each, and their paired differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, Protocol

from workbench.errors import InvalidInput
from workbench.evaluation.statistics import (
    Difference,
    Estimate,
    Paired,
    accuracy,
    difference,
    mean,
    paired,
)
from workbench.records import Plan

if TYPE_CHECKING:
    import pandas as pd

SETTINGS = (
    "model",
    "engine",
    "mode",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "max_tokens",
    "min_tokens",
    "thinking_budget",
)  # what a request may differ in, as columns of a run's frame
_ENDED_WELL = ("stop", "length")
_Row = Mapping[str, Any]
_Place = tuple[Any, ...]  # values of settings


class Told(Protocol):
    """A run, or what a report tells of one (``experiments.evidence``)."""

    @property
    def id(self) -> str: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def environment(self) -> Mapping[str, Any]: ...

    def frame(self) -> pd.DataFrame: ...


@dataclass(frozen=True, slots=True)
class Side:
    """One combination of settings in one run; means over problems, with their intervals."""

    name: str  # of the run among those compared: A, B …
    run: str  # its id
    settings: Mapping[str, Any]  # those in which the sides differ
    generations: int
    failed: int  # ended with an error, were cancelled, or have not ended: left out of the rest
    accuracy: Estimate | None
    thinking_tokens: Estimate | None
    output_tokens: Estimate | None
    request_latency: Estimate | None  # seconds

    @property
    def label(self) -> str:
        return " · ".join([self.name, *(_setting(*one) for one in self.settings.items())])


@dataclass(frozen=True, slots=True)
class Gap:
    """One run minus the first, at the same settings, on the problems that both were asked."""

    name: str  # of the run
    first: str  # name of the first
    settings: Mapping[str, Any]  # the same in both, of those that vary within a run
    differing: Mapping[
        str, tuple[Any, Any]
    ]  # settings that are the runs': (the run's, the first's)
    accuracy: Paired | None
    output_tokens: Difference | None
    request_latency: Difference | None  # seconds


def together(runs: Iterable[Told]) -> pd.DataFrame:
    """Every generation of every run, one row each; the column ``run`` tells them apart.

    The columns are those of ``Run.frame``; what one of them does not know is missing.
    """
    import pandas as pd  # noqa: PLC0415

    frames = [run.frame().astype(object) for run in _different(runs)]
    return pd.concat(frames, ignore_index=True).infer_objects()


def sides(runs: Iterable[Told]) -> tuple[Side, ...]:
    """Every combination of settings in every run, run by run, in the order they were planned."""
    every = {name: _places(run) for name, run in named(runs).items()}
    shown = _varying(place for places in every.values() for place in places)
    return tuple(
        _side(name, place, rows, shown)
        for name, places in every.items()
        for place, rows in places.items()
    )


def gaps(runs: Iterable[Told]) -> tuple[Gap, ...]:
    """Each further run minus the first, wherever both were asked the same at the same settings.

    Settings that tell requests apart within one of the two must be equal; the others, such
    as the model of each, are what the runs differ in. A problem is the same when its
    id and its prompt are.
    """
    found: list[Gap] = []
    (first, ours), *others = [(name, _places(run)) for name, run in named(runs).items()]
    for name, theirs in others:
        inner = sorted({*_varying(ours), *_varying(theirs)}, key=SETTINGS.index)
        for place, rows in theirs.items():
            key = _values(place, inner)
            before = [one for one in ours if _values(one, inner) == key]
            if len(before) == 1:
                found += _gap((name, place, rows), (first, before[0], ours[before[0]]), inner)
    return tuple(found)


def named(runs: Iterable[Told]) -> dict[str, Told]:
    """The runs under short names, A, B …, in their order.

    Raises:
        InvalidInput: Fewer than two, or one of them twice.
    """
    every = _different(runs)
    if len(every) < 2:
        raise InvalidInput("There is nothing to compare.", remedy="Name at least two runs.")
    return {_letter(number): run for number, run in enumerate(every)}


def _different(runs: Iterable[Told]) -> list[Told]:
    every = list(runs)
    ids = [run.id for run in every]
    twice = [run for run in ids if ids.count(run) > 1]
    if twice:
        raise InvalidInput(f"Run {twice[0]} is named twice.", remedy="Name each run once.")
    return every


def _letter(number: int) -> str:
    """A … Z, then A2 …"""
    rounds, place = divmod(number, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(rounds + 1) if rounds else "")


# --- one run --------------------------------------------------------------------------------------


def _places(run: Told) -> dict[_Place, list[_Row]]:
    """The rows of each combination of settings; ``asked`` tells the problem with its prompt."""
    found: dict[_Place, list[_Row]] = {}
    for row in run.frame().to_dict("records"):
        known = {name: _plain(value) for name, value in row.items()}
        problem = run.plan.cells[int(known["index"])].problem
        known["asked"] = None if problem is None else f"{problem.id}\0{problem.prompt}"
        place = tuple(known.get(name) for name in SETTINGS)
        found.setdefault(place, []).append(known)
    return found


def _plain(value: Any) -> Any:
    """What pandas calls not a number as ``None``; whole numbers in a column of floats as whole."""
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    return value


def _varying(places: Iterable[_Place]) -> list[str]:
    """Settings that tell places apart; one that follows from those before it does not.

    A mode's own temperature follows from the mode.
    """
    every = set(places)
    names: list[str] = []
    for name in SETTINGS:
        finer = [*names, name]
        if len({_values(p, finer) for p in every}) > len({_values(p, names) for p in every}):
            names = finer
    return names


def _values(place: _Place, names: Iterable[str]) -> _Place:
    return tuple(place[SETTINGS.index(name)] for name in names)


def _side(name: str, place: _Place, rows: Sequence[_Row], shown: Sequence[str]) -> Side:
    good = [row for row in rows if row["finish_reason"] in _ENDED_WELL]
    return Side(
        name=name,
        run=str(rows[0]["run"]),
        settings=dict(zip(shown, _values(place, shown), strict=True)),
        generations=len(rows),
        failed=len(rows) - len(good),
        accuracy=accuracy(_by_problem(rows, "score")),
        thinking_tokens=mean(_by_problem(rows, "thinking_tokens")),
        output_tokens=mean(_by_problem(rows, "output_tokens")),
        request_latency=mean(_by_problem(rows, "request_latency")),
    )


def _by_problem(rows: Iterable[_Row], column: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        value = row.get(column)
        if row["finish_reason"] in _ENDED_WELL and row["asked"] is not None and value is not None:
            found.setdefault(row["asked"], []).append(float(value))
    return found


# --- two runs -------------------------------------------------------------------------------------

_Named = tuple[str, _Place, Sequence[_Row]]  # a run's name, settings, rows of them


def _gap(run: _Named, first: _Named, inner: Sequence[str]) -> list[Gap]:
    """The difference; none when they have no problem in common."""
    (name, place, rows), (first_name, first_place, first_rows) = run, first

    def both(column: str) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        return _by_problem(rows, column), _by_problem(first_rows, column)

    tokens = difference(*both("output_tokens"))
    if tokens is None:
        return []
    pairs = zip(SETTINGS, place, first_place, strict=True)
    gap = Gap(
        name=name,
        first=first_name,
        settings=dict(zip(inner, _values(place, inner), strict=True)),
        differing={one: (ours, theirs) for one, ours, theirs in pairs if ours != theirs},
        accuracy=paired(*both("score")),
        output_tokens=tokens,
        request_latency=difference(*both("request_latency")),
    )
    return [gap]


def _setting(name: str, value: Any) -> str:
    """``temperature 0.6``; a mode, a model and an engine say what they are themselves."""
    if name in ("model", "engine", "mode"):
        return str(value)
    return f"{name.replace('_', '-')} {'none' if value is None else value}"
