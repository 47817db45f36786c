"""The axes of a plan: what varies from cell to cell, read from what a caller gives."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import fields
from itertools import islice
from math import prod
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

from workbench.errors import InvalidInput
from workbench.evaluation.problems import as_problem
from workbench.records import Cell, EngineSpec, Mode, Problem, Sampling

MOST = 1_000_000  # values of an axis, and requests of a plan

UNCACHED, CACHED, WARM_UP = "uncached", "cached", "warm-up"  # groups of the latency lab's problems

SETTINGS: Mapping[str, str] = MappingProxyType(
    {f.name: str(f.type) for f in fields(Sampling) if f.name not in ("seed", "stop")}
)
"""The settings that can be swept, and the types of their values."""


def value_of(cell: Cell, axis: str, values: Sequence[Any] = ()) -> Any:
    """Where a cell of a plan stands on one of the plan's axes.

    Args:
        cell: One of ``plan.cells``.
        axis: A name of ``plan.axes``.
        values: The axis's values, ``plan.axes[axis]``; they tell whether engines are
            told apart by their kind or by their whole specification.

    Raises:
        InvalidInput: A cell has no such axis.
    """
    match axis:
        case "mode":
            return str(cell.request.mode)
        case "problem":
            return cell.problem.id if cell.problem else None
        case "sample" | "concurrency":
            return getattr(cell, axis)
        case "prompt_tokens" | "output_tokens" | "cached":
            return _of_lab(cell, axis)
        case "engine":
            whole = any(isinstance(value, EngineSpec) for value in values)
            return cell.spec if whole else cell.spec.kind
    for record in (cell.request.sampling, cell.spec):
        if hasattr(record, axis):
            return getattr(record, axis)
    raise InvalidInput(f"A cell has no {axis!r}.", remedy="Use a name of the plan's axes.")


def _of_lab(cell: Cell, axis: str) -> int | bool | None:
    """Where a cell of the latency lab stands; the ids of its problems begin with the length."""
    if axis == "output_tokens":
        return cell.request.sampling.max_tokens
    name, group = (cell.problem.id, cell.problem.group) if cell.problem else ("", None)
    length = name.partition("-")[0]
    return group == CACHED if axis == "cached" else int(length) if length.isdecimal() else None


def several(name: str, given: object) -> list[Any]:
    """One value or an iterable of them as a list of different values, in their order.

    Raises:
        InvalidInput: No values, too many, one of them twice, or a collection without an order.
    """
    if isinstance(given, Mapping | Set):
        kind = type(given).__name__
        raise InvalidInput(f"{name} is a {kind}, which has no order.", remedy="Give a list.")
    single = isinstance(given, str | bytes) or not isinstance(given, Iterable)
    values = [given] if single else list(islice(given, MOST + 1))  # type: ignore[call-overload]
    if not values:
        raise InvalidInput(
            f"{name} has no values.",
            remedy="Give at least one; a range must go from its smaller to its larger end.",
        )
    if len(values) > MOST:
        raise InvalidInput(f"{name} has more than {MOST:,} values.", remedy="Give fewer.")
    return values


def once(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """The values, each of which stands once.

    Raises:
        InvalidInput: One stands twice.
    """
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise InvalidInput(f"{name} has {_shown(twice[0])} twice.", remedy="Give each value once.")
    return tuple(values)


def problems(given: str | Problem | Iterable[str | Problem]) -> list[Problem]:
    """Questions as problems with different names.

    Raises:
        InvalidInput: Nothing to ask, no question, or two problems of one name.
    """
    if not isinstance(given, str | Problem | Iterable):
        raise InvalidInput(
            f"There is nothing to ask in {given!r}.", remedy="Give prompts, or problems."
        )
    listed = [given] if isinstance(given, str | Problem) else list(islice(given, MOST + 1))
    asked = [as_problem(prompt, number) for number, prompt in enumerate(listed, start=1)]
    if not asked:
        raise InvalidInput("There is nothing to ask.", remedy="Give at least one prompt.")
    twice = [name for name, count in Counter(p.id for p in asked).items() if count > 1]
    if twice:
        raise InvalidInput(
            f"Two problems are called {min(twice)!r}.", remedy="Give every problem its own id."
        )
    return asked


def modes(given: Iterable[Mode | str]) -> list[Mode]:
    """Names of modes as modes, as often as they are given.

    Raises:
        InvalidInput: An unknown mode, or none.
    """
    named = [given] if isinstance(given, str) else list(given)
    unknown = [str(mode) for mode in named if str(mode) not in list(Mode)]
    if unknown or not named:
        raise InvalidInput(
            f"There is no mode {unknown[0]!r}." if unknown else "No mode was chosen.",
            remedy=f"Choose from {', '.join(Mode)}.",
        )
    return [Mode(mode) for mode in named]


def settings(given: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The values of every setting; one that is ``None`` where that says nothing is left out.

    ``None`` is a value of ``max_tokens`` and ``thinking_tokens``: no limit.

    Raises:
        InvalidInput: An unknown setting, or a value that it cannot have.
    """
    unknown = sorted(given.keys() - SETTINGS.keys())
    if unknown:
        raise InvalidInput(
            f"Sampling has no setting {unknown[0]!r} that can vary.",
            remedy=f"Known: {', '.join(sorted((*SETTINGS, 'mode', 'model', 'engine')))}.",
        )
    return {
        name: once(name, [_setting(name, one) for one in several(name, values)])
        for name, values in given.items()
        if values is not None or "None" in SETTINGS[name]
    }


def specs(engine: object, model: object) -> tuple[EngineSpec, ...]:
    """The engines of a plan, the models of one kind together.

    Raises:
        InvalidInput: Neither names nor specifications, or one of them twice.
    """
    engines, models = several("engine", engine), several("model", model)
    whole = [one for one in engines if isinstance(one, EngineSpec)]
    if whole and (len(whole) < len(engines) or len(models) > 1):
        raise InvalidInput(
            "Engines are given by name and as specifications at once.",
            remedy="Give names of engines and models, or only specifications (EngineSpec).",
        )
    if whole:
        return once("engine", whole)
    kinds = once("engine", [_name("engine", one) for one in engines])
    names = once("model", [_name("model", one) for one in models])
    return tuple(EngineSpec(kind=kind, model=name) for kind in kinds for name in names)


def spec_axes(engines: Sequence[EngineSpec]) -> dict[str, tuple[Any, ...]]:
    """What the engines differ in, as axes on which each has a place of its own."""
    differ = {
        field.name: tuple(dict.fromkeys(getattr(spec, field.name) for spec in engines))
        for field in fields(EngineSpec)
    }
    differ = {name: values for name, values in differ.items() if len(values) > 1}
    if prod(map(len, differ.values())) != len(engines):
        return {"engine": tuple(engines)}
    return {"engine" if name == "kind" else name: values for name, values in differ.items()}


def whole(name: str, value: object, least: int) -> int:
    """A whole number of at least so much.

    Raises:
        InvalidInput: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise _wrong(name, value, "a whole number")
    if value < least:
        raise InvalidInput(
            f"{name} is {value}; it must be at least {least}.", remedy=f"Try {max(least, 1)}."
        )
    return operator.index(value)


def _setting(name: str, value: object) -> int | float | None:
    """A value of a setting as a plain number; ``Sampling`` itself says what is out of range."""
    if value is None and "None" in SETTINGS[name]:
        return None
    what = "a number" if "float" in SETTINGS[name] else "a whole number"
    if isinstance(value, bool):
        raise _wrong(name, value, what)
    try:
        number = _plain(value, real="float" in SETTINGS[name])
    except (TypeError, OverflowError):
        raise _wrong(name, value, what) from None
    checked: dict[str, Any] = {name: number}
    Sampling(**checked)
    return number


def _plain(value: object, *, real: bool) -> int | float:
    """A number of any library as Python's own, -0.0 as 0."""
    if real and isinstance(value, Real):
        return float(value) + 0.0
    if isinstance(value, Integral):
        return operator.index(value)
    raise TypeError


def _name(axis: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(axis, value, "a name")
    return value


def _wrong(name: str, value: object, what: str) -> InvalidInput:
    return InvalidInput(
        f"{name} has the value {_shown(value)}; it must be {what}.",
        remedy=f"Give {what}, or a list of such.",
    )


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, Real | Mode) else repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
