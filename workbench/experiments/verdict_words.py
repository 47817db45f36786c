"""The verdict as tables and in sentences: our figures, the card's, what a reader has to know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.evaluation.passes import Passes, average_name
from workbench.experiments.run import Run
from workbench.experiments.verdict import RUNS, WIDEST, Verdict, card_of, passes_by_arm
from workbench.experiments.wording import listed

_CARD_TOKENS = 32_768  # most new tokens of an answer on the card


def table(found: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The verdicts as rows for ``pages.table``: our figure, the card's, and what follows."""
    return [
        {
            "arm": one.arm,
            "metric": one.metric,
            "ours": _ours(one),
            "card": _card(one),
            "verdict": one.words,
            "problems": str(one.problems)
            if one.whole is None
            else f"{one.problems} of {one.whole}",
        }
        for one in found
    ]


def passes_table(run: Run) -> list[dict[str, Any]]:
    """pass@1, pass@k and majority@k of each arm, under NeMo-Skills' names, with their errors.

    A row an arm and evaluation mode; of k the powers of two and the most there are. Errors are
    standard errors in points: over problems, and of drawing the samples again.
    """
    return [
        {"arm": arm, "evaluation_mode": name, "num_entries": found.problems} | told
        for arm, found in passes_by_arm(run).items()
        for name, told in _evaluation_modes(found).items()
    ]


def _evaluation_modes(found: Passes) -> dict[str, dict[str, str | None]]:
    average = found.average
    span = (
        None
        if average.low is None or average.high is None
        else f"{100 * average.low:.1f}–{100 * average.high:.1f}%"
    )
    first = {
        "symbolic_correct": f"{100 * average.value:.1f}%",
        "95% interval": span,
        "error over problems": _shown(found.errors.clustered),
        "error of sampling": _shown(found.errors.sampling),
        "no_answer": f"{100 * found.no_answer:.1f}%",
    }
    most = found.samples[1]
    chosen = sorted({2**power for power in range(1, most.bit_length())} | {most})
    others = {
        f"{name}@{k}": {"symbolic_correct": None if value is None else f"{100 * value:.1f}%"}
        for name, values in (("majority", found.majorities), ("pass", found.passes))
        for k in chosen
        if k > 1
        for value in (values[k],)
    }
    return {average_name(found.samples): first} | others


def _shown(error: float | None) -> str | None:
    return None if error is None else f"{100 * error:.2f}"


def conditions(run: Run) -> str:
    """What our figures are of: model, precision, kind of cache, and whether it is Nemotron."""
    engines = run.environment.get("engines") or []
    told = [_engine(engine) for engine in engines]
    return " ".join(told) or "It is not recorded which engine answered."


def remarks(run: Run, found: Sequence[Verdict], *, widest: float = WIDEST) -> str:
    """What a reader has to know of the figures: how they are compared, what the card says."""
    return " ".join([*_compared(found, widest), *_departures(run, found), *_noted(run)])


def _compared(found: Sequence[Verdict], widest: float) -> Iterator[str]:
    if not any(one.gap is not None for one in found):
        return
    yield (
        "The interval beside our figure is for problems like these. The verdict is about the "
        "card's own problems: its interval is that of the difference, with the sampling error of "
        f"our answers, that of the card's (taken as the mean of {RUNS} samples where it draws), "
        f"and that of the choice of problems where not all were asked. One of more than "
        f"{100 * widest:g} points cannot tell."
    )
    if any(one.gap is not None and one.metric == "pass@1" for one in found):
        yield "Where problems were asked once, the largest sampling error possible is taken."


def _departures(run: Run, found: Sequence[Verdict]) -> Iterator[str]:
    """Where requests were not as the card's: only that it is so makes its figure comparable."""
    if not any(one.gap is not None for one in found):
        return
    requests = [cell.request for cell in run.plan.cells]
    other = {
        str(request.mode)
        for request in requests
        for usual in (request.mode.recommended,)
        if (request.sampling.temperature, request.sampling.top_p)
        != (usual.temperature, usual.top_p)
    }
    if other:
        yield f"The sampling of {listed(sorted(other))} is not the card's."
    limits = [request.sampling.max_tokens for request in requests]
    least = min((limit for limit in limits if limit is not None), default=_CARD_TOKENS)
    if least < _CARD_TOKENS:
        yield (
            f"Answers had at most {least:,} tokens, on the card {_CARD_TOKENS:,}: one that was "
            "cut off counts as wrong."
        )


def _noted(run: Run) -> Iterator[str]:
    card = card_of(run)
    if card is not None and card.note:
        yield card.note


def _engine(engine: Mapping[str, Any]) -> str:
    parts = [
        f"Model {engine.get('model')}",
        f"in {engine.get('quantization') or 'unknown precision'}",
        f"with a cache of {engine.get('cache')}" if engine.get("cache") else "",
        f"on {engine.get('device')}" if engine.get("device") else "",
    ]
    told = " ".join(part for part in parts if part) + "."
    if engine.get("synthetic"):
        told += " Its weights are not Nemotron's: beside the card it says nothing about that model."
    return told


def _ours(one: Verdict) -> str | None:
    found = one.ours
    if found is None:
        return None
    scale = 100 if found.share else 1
    value = f"{scale * found.value:.1f}" + ("%" if found.share else "")
    if found.low is None or found.high is None:
        return value
    return f"{value} [{scale * found.low:.1f}, {scale * found.high:.1f}]"


def _card(one: Verdict) -> str | None:
    if one.published is None:
        return None
    return f"{one.published:.1f}" if one.metric == "rating" else f"{100 * one.published:.1f}%"
