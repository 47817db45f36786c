"""The recipe of the shipped weights: two phases, their documents and their learning rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from workbench.models.demo.documents import BARE, EQUATIONS, Document, Mixture, document


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training: what is read, and the share of the full learning rate."""

    start: int  # the first step
    documents: int  # a step
    mixture: Mixture
    rate: float


FIND = Phase(0, 40, BARE, 1.0)  # a high rate finds the method of the written work
REFINE = Phase(1000, 48, EQUATIONS, 0.3)  # a lower one gets its copying right


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights, but for the rounding of the machine."""

    steps: int = 2700
    phases: tuple[Phase, ...] = (FIND, REFINE)
    parts: int = 7  # padded apart, so that short documents do not pay for long ones
    matrix_rate: float = 0.02
    other_rate: float = 3e-3
    momentum: float = 0.95
    warm_up: int = 100
    falling: int = 1000  # the last steps, in which the rate goes down to zero
    seed: int = 0


SMOKE = Recipe(steps=20, phases=(replace(FIND, documents=8),), parts=2, warm_up=5, falling=10)


def phase(step: int, recipe: Recipe) -> Phase:
    """The phase that a step belongs to."""
    return [begun for begun in recipe.phases if begun.start <= step][-1]


def documents(step: int, recipe: Recipe) -> Iterator[Document]:
    """The documents of a step: the same for the same seed and step."""
    rng, now = Random(f"{recipe.seed}/{step}"), phase(step, recipe)
    return (document(rng, now.mixture) for _ in range(now.documents))


def schedule(step: int, recipe: Recipe) -> float:
    """The share of the full learning rate: warm-up, the phases' own rates, linear to zero."""
    ending = (recipe.steps - step) / recipe.falling
    return phase(step, recipe).rate * min(1.0, (step + 1) / recipe.warm_up, ending)
