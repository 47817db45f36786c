"""Many settings at once: means, coverage, and how likely the text would have been."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from workbench.counterfactual.figures import TOLERANCE, Counterfactual, Quantity, figures, several
from workbench.counterfactual.recorded import recorded
from workbench.counterfactual.weights import weights
from workbench.records import Generation, Sampling

MEAN_TOLERANCE = 0.01  # nats of a mean entropy; share of a mean size or probability


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a quantity over all tokens."""

    value: float | None  # None: the record leaves it open, or there are no tokens
    low: float | None  # it is at least this; None without tokens
    high: float | None  # and at most this
    coverage: float | None  # share of the tokens that have a figure of their own


@dataclass(frozen=True, slots=True)
class Outlook:
    """All drawn tokens of some generations under one other setting."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    tokens: int  # drawn, in all generations together
    size: Mean  # of the number of tokens that the setting keeps
    entropy: Mean  # of the distributions that would have been drawn from, nats
    probability: Mean  # of what was chosen
    excluded: int  # chosen tokens that certainly could not have been drawn
    log_likelihood: float | None  # sum over the tokens, nats; None: one is excluded or open
    log_likelihood_error: float | None  # the sum is at most so far from the truth

    def row(self) -> dict[str, float | None]:
        """Flat, for a table: ``size``, ``size_low``, ``size_high``, ``size_coverage`` …"""
        flat: dict[str, float | None] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, Mean):
                flat[field.name] = value
                continue
            flat[field.name] = value.value
            for part in ("low", "high", "coverage"):
                flat[f"{field.name}_{part}"] = getattr(value, part)
        return flat


def grid(
    generations: Generation | Iterable[Generation],
    temperatures: Iterable[float],
    top_ps: Iterable[float],
    *,
    top_k: int = 0,
    min_p: float = 0.0,
    vocabulary: int | None = None,
    tolerance: float = TOLERANCE,
) -> list[Outlook]:
    """Every temperature with every top-p, temperatures outermost.

    Args:
        generations: One or several; their tokens are counted together.
        temperatures: See ``counterfactual``, as for everything else.
        top_ps: The same.
        top_k: The same for all.
        min_p: The same for all.
        vocabulary: Ids that the model can draw.
        tolerance: Of bounds that give a figure.

    Raises:
        InvalidInput: As ``counterfactual``.
    """
    nuclei = list(top_ps)
    settings = [
        [Sampling(temperature=t, top_p=p, top_k=top_k, min_p=min_p) for p in nuclei]
        for t in temperatures
    ]
    tokens = recorded(several(generations), vocabulary).top(top_k)
    rows: list[Outlook] = []
    for line in settings:
        if not line:
            continue
        temperature = line[0].temperature
        found = weights(tokens, temperature, top_k) if temperature else None
        rows += [_outlook(figures(tokens, found, setting, tolerance)) for setting in line]
    return rows


def _outlook(told: Counterfactual) -> Outlook:
    likelihood, error = _likelihood(told)
    return Outlook(
        temperature=told.sampling.temperature,
        top_p=told.sampling.top_p,
        top_k=told.sampling.top_k,
        min_p=told.sampling.min_p,
        tokens=len(told),
        size=_mean(told.size, share=True),
        entropy=_mean(told.entropy, share=False),
        probability=_mean(told.probability, share=True),
        excluded=int((told.probability.high == 0).sum()),
        log_likelihood=likelihood,
        log_likelihood_error=error,
    )


def _mean(told: Quantity, *, share: bool) -> Mean:
    bounds = told.mean
    if bounds is None:
        return Mean(None, None, None, None)
    low, high = bounds
    close = high - low <= MEAN_TOLERANCE * (high if share else 1)
    return Mean((low + high) / 2 if close else None, low, high, told.coverage)


def _likelihood(told: Counterfactual) -> tuple[float | None, float | None]:
    chance = told.probability
    if not len(told) or not chance.certain.all() or (chance.high == 0).any():
        return None, None
    low, high = math.fsum(np.log(chance.low)), math.fsum(np.log(chance.high))
    return (low + high) / 2, (high - low) / 2
