"""What came of a plan, and the tables made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from workbench import chat, metrics, thinking
from workbench.records import Cell, Generation, Plan, Score
from workbench.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Run:
    """A plan and what came of it."""

    id: str
    plan: Plan
    environment: Mapping[str, Any]  # versions, device, engine, wall clock: what a repeat needs
    generations: Mapping[int, Generation]  # by the cell's index; cells not reached are missing
    scores: tuple[Score, ...]
    status: str  # finished, interrupted

    def frame(self) -> pd.DataFrame:
        """One row a generation: what was asked, how it went, every metric, the score.

        Times in seconds. A value that is undefined is missing (``NaN`` or ``None``,
        as pandas writes it). Lone surrogates in texts are U+FFFD, as in the prompt.
        """
        import pandas as pd  # noqa: PLC0415  (a second; only tables need it)

        scores = {score.generation: score for score in self.scores}
        rows = [
            {"run": self.id, "index": index}
            | describe(self.plan.cells[index])
            | outcome(generation)
            | _score_columns(scores.get(index))
            for index, generation in sorted(self.generations.items())
        ]
        return pd.DataFrame([{name: _encodable(raw) for name, raw in row.items()} for row in rows])

    def __str__(self) -> str:
        done = f"{len(self.generations)} of {len(self.plan)}"
        return f"run {self.id} ({self.status}): {done} generations of {self.plan}"


def describe(cell: Cell) -> dict[str, Any]:
    """What a cell asks, as columns."""
    sampling = cell.request.sampling
    drawn = {f.name: getattr(sampling, f.name) for f in fields(sampling) if f.name != "stop"}
    problem = cell.problem
    return {
        "problem": problem.id if problem else None,
        "group": problem.group if problem else None,
        "mode": str(cell.request.mode),
        "sample": cell.sample,
        "engine": cell.spec.kind,
        "model": cell.spec.model,
    } | drawn


def outcome(generation: Generation) -> dict[str, Any]:
    """How a generation ended, its flags and its metrics, as columns."""
    return {
        "finish_reason": generation.finish_reason,
        **flags_of(generation),
        **metrics.measure(generation),
        "answer": generation.answer,
    }


def flags_of(generation: Generation) -> dict[str, bool]:
    """What was unusual about the thinking, see ``thinking.flags``, as columns."""
    flags = thinking.flags(generation)
    return {field.name: bool(getattr(flags, field.name)) for field in fields(flags)}


def load(run: str, store: Store | None = None) -> Run:
    """A stored run, by its id or the beginning of it.

    Raises:
        InvalidInput: There is no such run, or more than one.
        StoreError: The store cannot be read.
    """
    keeper = store or Store(read_only=True)
    try:
        row = keeper.run(run)
        found = {g.index: keeper.generation(row.id, g.index) for g in keeper.generations(row.id)}
        scores = tuple(keeper.scores(row.id))
        return Run(row.id, row.plan, row.environment, found, scores, row.status)
    finally:
        if store is None:
            keeper.close()


def _score_columns(score: Score | None) -> dict[str, Any]:
    if score is None:
        return {"score": None, "extracted": None, "reason": None}
    return {"score": score.value, "extracted": score.extracted, "reason": score.reason}


def _encodable(raw: Any) -> Any:
    # Arrow, which holds pandas' strings, refuses what has no UTF-8.
    return chat.clean(raw) if isinstance(raw, str) else raw
