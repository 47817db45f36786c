"""Who is asked: the engines that ``--engine``, ``--model``, ``--endpoint`` and the like name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workbench.cli.ranges import names
from workbench.engines import named
from workbench.errors import InvalidInput
from workbench.records import EngineSpec

_REMOTE = "remote"


def engine_spec(kind: str, model: str, place: Mapping[str, Any]) -> EngineSpec:
    """One engine; an endpoint is asked for its model's name where none was given.

    Args:
        kind: Of the engine.
        model: A name or a folder.
        place: Fields of ``EngineSpec`` that the verb has; ``None``: its default.

    Raises:
        WorkbenchError: The endpoint was asked, and does not tell.
    """
    asked = {name: value for name, value in place.items() if value is not None}
    return named(EngineSpec(kind=kind, model=model, **asked))


def engine_specs(
    engines: Iterable[str] | None, models: Iterable[str] | None, place: Mapping[str, Any]
) -> list[EngineSpec]:
    """Every engine with every model; a folder's name may hold a comma.

    Args:
        engines: Kinds; default: exllama.
        models: Names or folders; default: demo, and at an endpoint the only one it has.
        place: As of ``engine_spec``. Where an endpoint and engines here are asked, each gets
            what is meant for it.

    Raises:
        InvalidInput: An endpoint without the engine that asks it.
        WorkbenchError: The endpoint was asked, and does not tell.
    """
    kinds = ["exllama"] if engines is None else names(engines)
    folders = [
        name
        for text in models or [EngineSpec().model]
        for name in ([text] if Path(text).exists() else names([text]))
    ]
    if place.get("endpoint") is not None and _REMOTE not in kinds:
        raise InvalidInput(
            "An endpoint was given, and no engine that asks it.", remedy="Add --engine remote."
        )
    mixed = len(set(kinds)) > 1
    return [
        engine_spec(kind, model, _of(kind, place) if mixed else place)
        for kind in kinds
        for model in folders
    ]


def _of(kind: str, place: Mapping[str, Any]) -> dict[str, Any]:
    """What of a place an engine of this kind is told beside others."""
    return {
        name: value for name, value in place.items() if (name == "endpoint") == (kind == _REMOTE)
    }
