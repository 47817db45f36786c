"""Runs of a grid without an engine: what each request came to is said by a function."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from workbench.experiments import Run
from workbench.records import (
    Cell,
    Channel,
    Chunk,
    Failed,
    Finished,
    Generation,
    Plan,
    Problem,
    Score,
    Started,
)


@dataclass(frozen=True)
class Told:
    """What a request came to; a token is a tenth of a second."""

    right: bool | None = True  # None: nothing to grade against
    thinking: int = 0  # tokens
    answer: str | None = "1"
    reason: str = "stop"  # or length, cancelled, failed, and "" for one that goes on


def problems(count: int) -> list[Problem]:
    return [Problem(f"p{i}", f"Question {i}?", "1") for i in range(count)]


def run_of(
    plan: Plan, tell: Callable[[Cell], Told], *, without: Collection[int] = (), status: str = ""
) -> Run:
    """The run in which every cell but some came to what ``tell`` says."""
    generations, scores = {}, []
    for index, cell in enumerate(plan.cells):
        if index in without:
            continue
        told = tell(cell)
        generations[index] = generation(cell, told)
        ok = told.reason in ("stop", "length")
        if told.reason:
            value = None if told.right is None or not ok else float(told.right)
            name = cell.problem.id if cell.problem else ""
            scores.append(Score(name, index, value, told.answer if ok else None, ""))
    return Run("id", plan, {}, generations, tuple(scores), status or "finished")


def generation(cell: Cell, told: Told) -> Generation:
    tags = [("<think>", Channel.MARKER)] if told.thinking else []
    thought = [("x", Channel.THINKING)] * told.thinking
    close = [("</think>", Channel.MARKER)] if told.thinking else []
    texts = [*tags, *thought, *close, ("y", Channel.ANSWER), ("z", Channel.ANSWER)]
    chunks = [Chunk(0.1 * i, (i,), *text) for i, text in enumerate(texts, start=1)]
    last = 0.1 * len(chunks)
    if told.reason == "failed":
        return Generation(
            cell.request, cell.spec, (Started(0.0, 5), Failed(9.0, "broken", "Mend."))
        )
    if not told.reason:
        return Generation(cell.request, cell.spec, (Started(0.0, 5), *chunks))
    return Generation(
        cell.request,
        cell.spec,
        (Started(0.0, 5), *chunks, Finished(last, told.reason)),  # type: ignore[arg-type]
    )
