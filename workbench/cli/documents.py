"""Runs as one JSON document: what ``compare --json`` and ``runs show --json`` print.

::

    {"run": id, "generations": [{"mode", "sample", "seed", the other settings of the
     sampling, "thinking", "answer", "finish_reason", the flags of the thinking, every
     metric, "gpu_energy" (joules), "score" (or "rating", a judge's), "extracted", "reason",
     "error", "remedy"}, …]}

Seconds and tokens; what is undefined is null.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workbench.experiments import Run
from workbench.experiments.energy import ENERGY, energies
from workbench.experiments.run import describe, outcome, score_columns
from workbench.records import Failed, Generation, Score


def run_document(run: Run, indices: Iterable[int] | None = None) -> dict[str, Any]:
    """A run and its generations, in the order of its plan.

    Args:
        run: What to tell.
        indices: Generations to tell; default: all that have begun.
    """
    scores = {score.generation: score for score in run.scores}
    chosen = sorted(run.generations if indices is None else indices)
    joules = energies(run.generations)
    told = [_told(run, i, scores.get(i)) | {ENERGY: joules.get(i)} for i in chosen]
    return {"run": run.id, "generations": told}


def _told(run: Run, index: int, score: Score | None) -> dict[str, Any]:
    generation = run.generations[index]  # read once: it comes from the store
    texts = {"thinking": generation.thinking, "answer": generation.answer}
    asked = describe(run.plan.cells[index]) | texts
    graded = score_columns(score, run.plan.cells[index])
    return {"index": index} | asked | outcome(generation) | graded | _failure(generation)


def _failure(generation: Generation) -> dict[str, str | None]:
    end = generation.end
    if isinstance(end, Failed):
        return {"error": end.error, "remedy": end.remedy}
    return {"error": None, "remedy": None}
