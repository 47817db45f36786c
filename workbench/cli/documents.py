"""Runs as one JSON document: what ``compare --json`` and ``runs show --json`` print.

::

    {"run": id, "generations": [{"mode", "sample", "seed", the other settings of the
     sampling, "thinking", "answer", "finish_reason", the flags of the thinking, every
     metric, "score", "extracted", "reason", "error", "remedy"}, …]}

Seconds and tokens; what is undefined is null.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workbench.experiments import Run
from workbench.experiments.run import describe, outcome
from workbench.records import Failed, Generation, Score


def run_document(run: Run, indices: Iterable[int] | None = None) -> dict[str, Any]:
    """A run and its generations, in the order of its plan.

    Args:
        run: What to tell.
        indices: Generations to tell; default: all that have begun.
    """
    scores = {score.generation: score for score in run.scores}
    chosen = sorted(run.generations if indices is None else indices)
    generations = [
        {"index": i}
        | describe(run.plan.cells[i])
        | {"thinking": run.generations[i].thinking}
        | outcome(run.generations[i])
        | _score(scores.get(i))
        | _failure(run.generations[i])
        for i in chosen
    ]
    return {"run": run.id, "generations": generations}


def _score(score: Score | None) -> dict[str, Any]:
    if score is None:
        return {"score": None, "extracted": None, "reason": None}
    return {"score": score.value, "extracted": score.extracted, "reason": score.reason}


def _failure(generation: Generation) -> dict[str, str | None]:
    end = generation.end
    if isinstance(end, Failed):
        return {"error": end.error, "remedy": end.remedy}
    return {"error": None, "remedy": None}
