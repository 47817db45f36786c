"""A form as a plan: what a page's fields ask for, checked like everything a user gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from workbench.engines import named
from workbench.errors import InvalidInput
from workbench.experiments.plans import request, seed_for
from workbench.records import Cell, EngineSpec, Mode, Plan, Problem, Sampling

MOST = 3  # arms beside one another
ALTERNATIVES = 10  # candidates a token that are kept, for the token x-ray
_NUMBERS = {"temperature": float, "top_p": float, "top_k": int, "min_p": float}.items()
_COUNTS = ("max_tokens", "thinking_tokens")


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a comparison, as its fields have it; ``None``: as the model card recommends."""

    mode: Mode = Mode.ON
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    max_tokens: int | None = None
    thinking_tokens: int | None = None
    model: str = ""  # a catalogue name, a folder, or a name at the endpoint; empty: the part's own
    kind: str = ""  # the engine's; empty: the part's own
    endpoint: str = ""  # of a remote engine

    @property
    def sampling(self) -> Sampling:
        """The card's for the mode, with what the fields say instead."""
        own = {name: getattr(self, name) for name, _ in _NUMBERS}
        given = {name: value for name, value in own.items() if value is not None}
        counts = {name: getattr(self, name) for name in _COUNTS}
        return replace(self.mode.recommended, **given, **counts)

    def told(self) -> dict[str, Any]:
        """The fields, JSON-able."""
        return {one.name: getattr(self, one.name) for one in fields(self)} | {
            "mode": str(self.mode)
        }

    def spec(self, own: EngineSpec) -> EngineSpec:
        """Who answers: the part's own engine and model, or those that the fields name.

        Raises:
            WorkbenchError: An endpoint that was left to choose its model does not tell which.
        """
        kind = self.kind or own.kind
        endpoint = self.endpoint or (own.endpoint if kind == own.kind else None)
        if kind != own.kind or endpoint != own.endpoint:  # another engine: its own settings
            return named(EngineSpec(kind, self.model or own.model, endpoint=endpoint))
        if self.model in ("", own.model):
            return own
        return replace(own, model=self.model, revision=None, quantization=None)


@dataclass(frozen=True, slots=True)
class Form:
    """What is asked of every arm."""

    prompt: str = ""
    expected: str = ""  # the right answer; empty: nothing is graded
    seed: int = 0
    together: bool = True  # all arms at once; else one after the other, for undisturbed times
    arms: tuple[Arm, ...] = field(default=(Arm(Mode.ON), Arm(Mode.OFF)))

    def told(self) -> dict[str, Any]:
        """The fields, JSON-able."""
        own = {name: getattr(self, name) for name in ("prompt", "expected", "seed", "together")}
        return own | {"arms": [arm.told() for arm in self.arms]}

    def plan(self, spec: EngineSpec, only: int | None = None) -> Plan:
        """The arms, or one of them, as a plan; answers carry probabilities and alternatives.

        Raises:
            InvalidInput: A value that cannot be, or nothing to ask.
        """
        problem = Problem("asked", self.prompt, self.expected.strip() or None)
        chosen = self.arms if only is None else self.arms[only : only + 1]
        cells = tuple(_cell(arm, problem, spec, self.seed) for arm in chosen)
        return Plan("compare", cells, {"mode": tuple(str(arm.mode) for arm in chosen)})


def form(told: Mapping[str, Any]) -> Form:
    """The form that a page sends.

    Raises:
        InvalidInput: A field cannot be read.
    """
    arms = told.get("arms")
    if not isinstance(arms, Sequence) or not 1 <= len(arms) <= MOST:
        raise InvalidInput("There is no arm to ask.", remedy=f"Choose 1 to {MOST}.")
    return Form(
        prompt=str(told.get("prompt", "")),
        expected=str(told.get("expected", "")),
        seed=_number("seed", told.get("seed"), int) or 0,
        together=bool(told.get("together", True)),
        arms=tuple(_arm(arm) for arm in arms),
    )


def arm(given: str | Arm) -> Arm:
    """An arm by its mode alone, or as it is.

    Raises:
        InvalidInput: There is no such mode.
    """
    if isinstance(given, Arm):
        return given
    try:
        return Arm(Mode(given))
    except ValueError as error:
        known = ", ".join(Mode)
        raise InvalidInput(
            f"There is no mode {given!r}.", remedy=f"Choose from {known}."
        ) from error


def _arm(told: Mapping[str, Any]) -> Arm:
    mode = arm(str(told.get("mode"))).mode
    numbers = {name: _number(name, told.get(name), kind) for name, kind in _NUMBERS}
    counts = {name: _number(name, told.get(name), int) for name in _COUNTS}
    words: dict[str, Any] = {
        name: str(told.get(name) or "").strip() for name in ("model", "kind", "endpoint")
    }
    return Arm(mode, **numbers, **counts, **words)


def _number(name: str, raw: Any, kind: type[float] | type[int]) -> Any:
    """A number from a field; ``None`` where it is empty."""
    if raw is None or str(raw).strip() == "":
        return None
    try:
        return kind(str(raw))
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        shown = name.replace("_", "-")
        raise InvalidInput(
            f"{shown} is {raw!r}, which is not {what}.", remedy="Correct it, or leave it empty."
        ) from error


def _cell(arm: Arm, problem: Problem, spec: EngineSpec, seed: int) -> Cell:
    drawn = replace(arm.sampling, seed=seed_for(seed, problem.id, 0))
    asked = request(problem, arm.mode, drawn, logprobs=True, alternatives=ALTERNATIVES)
    return Cell(arm.spec(spec), asked, problem, 0, None)


def whole_number(name: str, raw: object) -> int | None:
    """A whole number from a field; ``None`` where it is empty.

    Raises:
        InvalidInput: It is none.
    """
    found: int | None = _number(name, raw, int)
    return found
