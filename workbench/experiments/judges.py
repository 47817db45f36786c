"""Who judges: a model here or an endpoint, its name and version, and whether it judges itself."""

from __future__ import annotations

from pathlib import PurePath
from urllib.parse import urlsplit

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
        model: What the endpoint calls the model, where it is an endpoint.
        device: Where a model runs.
        context: Longest prompt and judgment of one request, tokens.

    Raises:
        InvalidInput: An endpoint without a model, or a model with two names.
    """
    if "://" not in judge:
        if model is not None:
            raise InvalidInput(
                f"The judge is {judge!r} and {model!r} at once.",
                remedy="A second name is for an endpoint: --judge http://… --judge-model NAME.",
            )
        return EngineSpec(kind=engine, model=judge, device=device, context=context)
    if model is None:
        raise InvalidInput(
            "An endpoint may have several models.", remedy="Name one: --judge-model NAME."
        )
    return EngineSpec(kind="remote", model=model, endpoint=judge, context=context)


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
    the same one behind an endpoint, or at another precision, are one.
    """
    if one.weights_sha256 and one.weights_sha256 == other.weights_sha256:
        return True
    return _called(one) == _called(other)


def _called(spec: EngineSpec) -> str:
    known = CATALOGUE.get(spec.model)
    name = (known.repository if known else None) or spec.model
    return PurePath(name).name.casefold()


def _host(endpoint: str) -> str:
    """Of the URL only where it leads: the rest may hold a key."""
    parts = urlsplit(endpoint)
    return parts.hostname or "an endpoint"
