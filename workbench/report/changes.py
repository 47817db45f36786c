"""What is not as it was when a report was made: weights, engine, versions, machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.models.catalogue import locate
from workbench.models.weights import weights_sha256
from workbench.records import EngineSpec

Facts = Mapping[str, Any]

_ENGINE = (
    "device",
    "quantization",
    "attention",
    "speculation",
    "sampler",
    "cache",
    "context",
    "max_batch",
    "template_sha256",
    "weights_sha256",
)  # facts of an engine that may change what comes of a request
_MACHINE = ("python", "platform", "processor", "gpu")


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is not as it was; ``None``: it was not known, or not there."""

    what: str
    then: str | None
    now: str | None

    def __str__(self) -> str:
        return f"{self.what}: {self.then or 'nothing'} then, {self.now or 'nothing'} now"


def weights(then: Facts, specs: Mapping[EngineSpec, EngineSpec]) -> Iterator[Change]:
    """The models whose weights are not those that answered then.

    Args:
        then: A run's environment.
        specs: The specifications of its plan, and what stands for each here.
    """
    for model, here in {spec.model: here for spec, here in specs.items()}.items():
        told = [one.get("weights_sha256") for one in _engines(then) if one.get("model") == model]
        now = weights_sha256(locate(here.model, here.revision))
        known = sorted({str(one) for one in told if one})
        if known and now not in known:
            yield Change(f"weights of {model}", ", ".join(known), now)


def changes(then: Facts, now: Facts) -> Iterator[Change]:
    """What differs between the environments of two runs, the engines' facts first."""
    for number, (before, after) in enumerate(zip(_engines(then), _engines(now), strict=False)):
        several = f" of engine {number + 1}" if len(_engines(then)) > 1 else ""
        yield from _differing(_ENGINE, before, after, several)
    yield from _differing(_MACHINE, then, now)
    before, after = (facts.get("packages") or {} for facts in (then, now))
    yield from _differing(tuple(dict.fromkeys((*before, *after))), before, after)


def _differing(names: tuple[str, ...], then: Facts, now: Facts, of: str = "") -> Iterator[Change]:
    for name in names:
        before, after = then.get(name), now.get(name)
        if before != after:
            yield Change(name.replace("_", " ") + of, _told(before), _told(after))


def _told(value: Any) -> str | None:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return None if value is None else str(value)


def _engines(facts: Facts) -> list[Facts]:
    return [one for one in facts.get("engines") or [] if isinstance(one, Mapping)]
