"""Who judges: a model here or an endpoint, its name and version, and whether it judges itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from urllib.parse import urlsplit

from workbench.engines import named
from workbench.errors import InvalidInput
from workbench.models.catalogue import CATALOGUE
from workbench.records import EngineSpec

_DIGITS = 12  # of a checksum that tells weights apart


def judge_spec(
    judge: str,
    *,
    engine: str = "exllama",
    model: str | None = None,
    device: str | None = None,
    context: int | None = None,
) -> EngineSpec:
    """The engine that a judge's name means.

    Args:
        judge: A catalogue name or a folder, or the base URL of an OpenAI-compatible endpoint.
        engine: The kind, where it is a model.
        model: What the endpoint calls the model, where it is an endpoint; default: the only
            one that it has.
        device: Where a model runs.
        context: Longest prompt and judgment of one request, tokens.

    Raises:
        InvalidInput: A model with two names.
        WorkbenchError: The endpoint was asked for its model, and does not tell.
    """
    if "://" not in judge:
        if model is not None:
            raise InvalidInput(
                f"The judge is {judge!r} and {model!r} at once.",
                remedy="A second name is for an endpoint: --judge http://… --judge-model NAME.",
            )
        return EngineSpec(kind=engine, model=judge, device=device, context=context)
    there = EngineSpec(kind="remote", endpoint=judge, device=device, context=context)
    return named(there if model is None else replace(there, model=model))


def judge_name(spec: EngineSpec) -> str:
    """A judge with its version: the checksum of its weights, or what its endpoint says of it."""
    name = PurePath(spec.model).name if spec.endpoint is None else spec.model
    version = (spec.weights_sha256 or "")[:_DIGITS] or spec.revision or spec.server
    told = f"{name} {version}" if version else f"{name} of unknown version"
    place = spec.kind if spec.endpoint is None else _host(spec.endpoint)
    return f"{told} on {place}".replace(";", ",")  # which parts what a score says of its judge


def same_model(one: EngineSpec, other: EngineSpec) -> bool:
    """Whether two open engines hold the same model, as far as they tell.

    Equal checksums of weights are sure; without them names decide, so that a model here and
    the same one behind an endpoint, whatever that calls it, are one.
    """
    if one.weights_sha256 and one.weights_sha256 == other.weights_sha256:
        return True
    return bool(_called(one) & _called(other))


def _called(spec: EngineSpec) -> set[str]:
    """Its names: its own, and that of the weights that its endpoint says stand behind it."""
    known = CATALOGUE.get(spec.model)
    behind = [part for part in (spec.server or "").split(", ") if "/" in part]
    names = [(known.repository if known else None) or spec.model, *behind]
    return {PurePath(name).name.casefold() for name in names}


def _host(endpoint: str) -> str:
    """Of the URL only where it leads: the rest may hold a key."""
    parts = urlsplit(endpoint)
    return parts.hostname or "an endpoint"
