"""A sweep's form as a plan: lists of settings, typed into fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from workbench.errors import InvalidInput
from workbench.evaluation.suites import suite
from workbench.experiments import sweep
from workbench.records import EngineSpec, Plan

_LISTS = (("temperature", float), ("top_p", float), ("thinking_tokens", int))


@dataclass(frozen=True, slots=True)
class SweepForm:
    """The fields, as they are typed."""

    suite: str = "arithmetic"  # a benchmark, or a file
    problems: str = "12"
    modes: str = "on"
    temperature: str = "0, 0.6, 1"
    top_p: str = "0.9, 1"
    thinking_tokens: str = ""  # budgets; none: without one
    samples: str = "2"
    seed: str = "0"

    def told(self) -> dict[str, str]:
        """The fields, JSON-able."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def plan(self, spec: EngineSpec) -> Plan:
        """What it asks.

        Raises:
            InvalidInput: A field that cannot be read, or a value that cannot be.
        """
        axes = {name: _several(name, getattr(self, name), kind) for name, kind in _LISTS}
        given: Any = {name: values for name, values in axes.items() if values}
        seed = _one("seed", self.seed) or 0
        return sweep(
            suite(self.suite.strip() or "arithmetic", _one("problems", self.problems), seed),
            mode=[mode.strip() for mode in self.modes.split(",") if mode.strip()] or "on",
            engine=spec,
            replicates=_one("samples", self.samples) or 1,
            seed=seed,
            logprobs=True,
            **given,
        )


def sweep_form(told: Mapping[str, Any]) -> SweepForm:
    """The form that a page sends; what is missing is as at the begin."""
    known = {one.name for one in fields(SweepForm)}
    return SweepForm(**{name: str(value) for name, value in told.items() if name in known})


def _several(name: str, text: str, kind: type[float] | type[int]) -> list[float | int | None]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [None if word == "none" else _read(name, word, kind) for word in words]


def _one(name: str, text: str) -> int | None:
    return int(_read(name, text.strip(), int)) if text.strip() else None


def _read(name: str, word: str, kind: type[float] | type[int]) -> float | int:
    try:
        return kind(word)
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        shown = name.replace("_", "-")
        raise InvalidInput(
            f"{shown} holds {word!r}, which is not {what}.",
            remedy="Write numbers with commas between them.",
        ) from error
