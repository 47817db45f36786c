"""Records <-> JSON: the only room that knows JSON.

A record is an object of its fields, tuples are arrays, enums their values. Two
things carry a tag, ``"type"``, because their kind cannot be told from where they
stand: events (``"chunk"``) and the values of a plan's axes that are not numbers,
texts or arrays (``{"type": "mode", "value": "on"}``).

What is read may have been written by another version. Unknown keys are ignored
and missing ones take their defaults, so a newer writer may add fields; an unknown
``"type"``, a wrong type of value and a value out of range are refused.

Every float survives bit for bit (NaN aside, which no record holds). A chunk's
infinite log-probabilities, for which JSON has no number, are the texts
``"Infinity"`` and ``"-Infinity"``. Lone surrogates survive as escapes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, TypeVar, get_args

import msgspec

from workbench.errors import InvalidInput
from workbench.records import (
    Cell,
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Expected,
    Generation,
    Message,
    Mode,
    Plan,
    Problem,
    Request,
    Sampling,
    Score,
)

Record = (
    Message
    | Sampling
    | Request
    | EngineSpec
    | Event
    | Generation
    | Problem
    | Cell
    | Expected
    | Plan
    | Score
)

T = TypeVar("T")

_EVENTS: Mapping[str, type[Event]] = MappingProxyType(
    {kind.__name__.lower(): kind for kind in get_args(Event)}
)
_CHUNK_NUMBERS = ("logprobs", "alternatives")
_AXIS_KINDS: Mapping[str, type[Any]] = MappingProxyType(
    {
        kind.__name__.lower(): kind
        for kind in (Channel, EngineSpec, Message, Mode, Problem, Request, Sampling)
    }
)


# --- text -----------------------------------------------------------------------------------------


def dumps(value: Any) -> str:
    """JSON on one line, in ASCII.

    Raises:
        InvalidInput: Something JSON cannot hold, such as NaN.
    """
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"A value cannot be written as JSON: {error}.",
            remedy="Use text, finite numbers, true, false, None, lists and string-keyed mappings.",
        ) from None


def loads(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        InvalidInput: Not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged("JSON", str(error)) from None


# --- records --------------------------------------------------------------------------------------


def to_json(record: Record) -> dict[str, Any]:
    """A record as what ``dumps`` takes.

    Raises:
        InvalidInput: An axis of a plan holds something that is no number, text,
            tuple, enum or record of the workbench.
    """
    match record:
        case Generation():
            return {
                "request": to_json(record.request),
                "spec": to_json(record.spec),
                "events": [to_json(event) for event in record.events],
            }
        case Plan():
            return {
                "kind": record.kind,
                "axes": {
                    name: [_axis_value(value) for value in values]
                    for name, values in record.axes.items()
                },
                "cells": [to_json(cell) for cell in record.cells],
                "expected": None if record.expected is None else to_json(record.expected),
            }
        case Chunk():
            numbers = {name: _escaped(getattr(record, name)) for name in _CHUNK_NUMBERS}
            return {"type": "chunk"} | _fields(record) | numbers
    tag = type(record).__name__.lower()
    return ({"type": tag} if tag in _EVENTS else {}) | _fields(record)


def from_json(kind: type[T], data: Any) -> T:
    """The record of ``kind`` that ``to_json`` made ``data`` of.

    Raises:
        InvalidInput: ``data`` is not such a record; the message says where.
    """
    if kind in _EVENTS.values():
        event = event_from_json(data)
        if not isinstance(event, kind):
            raise _damaged(kind.__name__, f"it is of type {type(event).__name__}")
        return event
    if kind not in (Generation, Plan):
        return _convert(kind, data)
    try:
        record: Any = (_generation if kind is Generation else _plan)(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(kind.__name__, f"{type(error).__name__} {error}") from None
    assert isinstance(record, kind)
    return record


def event_from_json(data: Any) -> Event:
    """The event of any kind that ``to_json`` made ``data`` of.

    Raises:
        InvalidInput: ``data`` is not an event, or of an unknown ``"type"``.
    """
    tag = data.get("type") if isinstance(data, Mapping) else None
    kind = _EVENTS.get(tag) if isinstance(tag, str) else None
    if kind is None:
        raise _damaged("event", f"its type is {tag!r}, known are {', '.join(_EVENTS)}")
    if kind is Chunk:
        numbers = {name: _unescaped(data[name]) for name in _CHUNK_NUMBERS if name in data}
        data = {**data, **numbers}
    return _convert(kind, data)


# --- how ------------------------------------------------------------------------------------------


def _fields(record: Record) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = msgspec.to_builtins(record, enc_hook=_plain)
    except TypeError as error:
        raise InvalidInput(
            f"A {type(record).__name__} cannot be written: {error}.",
            remedy="Give its fields values of the types that workbench.records names.",
        ) from None
    return fields


def _convert(kind: type[T], data: Any) -> T:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise _damaged(kind.__name__, str(error)) from None


def _plain(value: Any) -> Any:
    """Numbers of other libraries, such as numpy's, as Python's own."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"{value!r} is of type {type(value).__name__}")


def _generation(data: Any) -> Generation:
    return Generation(
        request=from_json(Request, data["request"]),
        spec=from_json(EngineSpec, data["spec"]),
        events=tuple(event_from_json(event) for event in data["events"]),
    )


def _plan(data: Any) -> Plan:
    return Plan(
        kind=_convert(str, data["kind"]),
        axes={
            name: tuple(_axis_value_from(value) for value in values)
            for name, values in data["axes"].items()
        },
        cells=tuple(_convert(Cell, cell) for cell in data["cells"]),
        expected=_convert(Expected | None, data.get("expected")),  # type: ignore[arg-type]
    )


def _axis_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_axis_value(item) for item in value]
    tag = type(value).__name__.lower()
    if _AXIS_KINDS.get(tag) is type(value):
        return {"type": tag, "value": msgspec.to_builtins(value, enc_hook=_plain)}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    try:
        return _plain(value)
    except TypeError as error:
        raise InvalidInput(
            f"A plan cannot be stored: {error}.",
            remedy="Use numbers, texts, tuples, modes and records of the workbench in its axes.",
        ) from None


def _axis_value_from(data: Any) -> Any:
    if isinstance(data, list | tuple):
        return tuple(_axis_value_from(item) for item in data)
    if not isinstance(data, Mapping):
        return data
    tag = data["type"]
    if tag not in _AXIS_KINDS:
        raise _damaged("value of an axis", f"its type is {tag!r}")
    return _convert(_AXIS_KINDS[tag], data["value"])


def _escaped(value: Any) -> Any:
    """Nested numbers with the infinite ones as text."""
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    return value


def _unescaped(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_unescaped(item) for item in value]
    return float(value) if value in ("Infinity", "-Infinity") else value


def _damaged(what: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"The data is not a valid {what}: {why}.",
        remedy="It is damaged or of a newer version of the workbench: update, or restore it.",
    )
