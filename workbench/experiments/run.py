"""What came of a plan, and the tables made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench import chat, metrics, private, thinking
from workbench.experiments.energy import ENERGY
from workbench.experiments.stored import StoredGenerations
from workbench.records import Cell, Generation, Plan, Score
from workbench.store import GenerationRow, RunRow, Store

if TYPE_CHECKING:
    import pandas as pd


_BUDGET = "thinking_budget"  # a request's budget; ``thinking_tokens`` is the metric


@dataclass(frozen=True, slots=True)
class Run:
    """A plan and what came of it.

    Of private problems it has ids, letters, lengths and SHA-256 in the place of text and
    tokens, so whatever is made of it may be shown; ``unveiled`` has the texts.
    """

    id: str
    plan: Plan
    environment: Mapping[str, Any]  # versions, device, engine, wall clock: what a repeat needs
    generations: Mapping[int, Generation]  # by the cell's index; cells not reached are missing
    scores: tuple[Score, ...]
    status: str  # finished, interrupted, running …

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row a generation, by index: what was asked, how it went, every metric, the score.

        Times in seconds; what is undefined is ``None``. Tokens are not read, so 10,000
        rows take a second or two. ``frame`` has the answers too.
        """
        scores = {score.generation: score for score in self.scores}
        for index, told in self._outcomes():
            asked = describe(self.plan.cells[index])
            graded = score_columns(scores.get(index), self.plan.cells[index])
            yield {"run": self.id, "index": index} | asked | told | graded

    def frame(self) -> pd.DataFrame:
        """``rows`` with the answers, as a table.

        A value that is undefined is missing (``NaN`` or ``None``, as pandas writes it).
        Lone surrogates in texts are U+FFFD, as in the prompt.
        """
        import pandas as pd  # noqa: PLC0415  (a second; only tables need it)

        answers = dict(self._answers())
        rows = [row | {"answer": answers.get(row["index"])} for row in self.rows()]
        return pd.DataFrame([{name: _encodable(raw) for name, raw in row.items()} for row in rows])

    def cells(self) -> pd.DataFrame:
        """One row a grid cell, in the plan's order, also of those not reached yet.

        Its place on the plan's axes, accuracy with its interval, mean tokens and seconds
        with theirs, counts of what went wrong: see ``grid.GridCell``. The warm-ups of
        the latency lab are in none of them.
        """
        import pandas as pd  # noqa: PLC0415

        grid = import_module("workbench.experiments.grid")  # which reads runs: not before them
        return pd.DataFrame([cell.row() for cell in grid.grid_cells(self)])

    def unveiled(self) -> Run:
        """The run with the texts of private problems, which are left out otherwise.

        For this machine alone: what is made of it must not be published.
        """
        found = self.generations
        if not isinstance(found, StoredGenerations) or not found.hides:
            return self
        plan, scores = found.run().plan, tuple(found.scores())
        return replace(self, plan=plan, generations=found.unveiled(), scores=scores)

    def __str__(self) -> str:
        done = f"{len(self.generations)} of {len(self.plan)}"
        return f"run {self.id} ({self.status}): {done} generations of {self.plan.title}"

    def _outcomes(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """How each generation went; from the store's rows where they have it."""
        if not isinstance(self.generations, StoredGenerations):
            for index, generation in sorted(self.generations.items()):
                yield index, outcome(generation)
            return
        for row in self.generations.rows():
            ended = row.end is not None
            yield row.index, _told(row) if ended else outcome(self.generations[row.index])

    def _answers(self) -> Iterator[tuple[int, str]]:
        if isinstance(self.generations, StoredGenerations):
            return self.generations.answers()
        return ((index, one.answer) for index, one in self.generations.items())


def describe(cell: Cell) -> dict[str, Any]:
    """What a cell asks, as columns."""
    sampling = cell.request.sampling
    drawn = {
        _BUDGET if f.name == "thinking_tokens" else f.name: getattr(sampling, f.name)
        for f in fields(sampling)
        if f.name != "stop"
    }
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
        ENERGY: None,  # the events do not tell
    }


def _told(row: GenerationRow) -> dict[str, Any]:
    """The same, as the store tells it; a flag or metric younger than the row is missing there."""
    return {
        "finish_reason": row.finish_reason,
        **{field.name: row.flags.get(field.name, False) for field in fields(thinking.Flags)},
        **{metric.name: row.metrics.get(metric.name) for metric in metrics.TABLE},
        ENERGY: row.metrics.get(ENERGY),
    }


def flags_of(generation: Generation) -> dict[str, bool]:
    """What was unusual about the thinking, see ``thinking.flags``, as columns."""
    flags = thinking.flags(generation)
    return {field.name: bool(getattr(flags, field.name)) for field in fields(flags)}


def score_columns(score: Score | None, cell: Cell) -> dict[str, Any]:
    """What a grader says, as columns; all are ``None`` where nothing was graded.

    Where a judge rates, its rating from 1 to 10 is a column of its own, and no score.
    """
    value = None if score is None else score.value
    judged = cell.problem is not None and cell.problem.judged
    told = {"score": None, "rating": value} if judged else {"score": value}
    if score is None:
        return told | {"extracted": None, "reason": None}
    return told | {"extracted": score.extracted, "reason": score.reason}


def load(run: str, store: Store | None = None) -> Run:
    """A stored run, by its id or the beginning of it; also one that is still running.

    Its generations are read when they are looked at; its scores are read at once.

    Raises:
        InvalidInput: There is no such run, or more than one.
        StoreError: The store cannot be read.
    """
    keeper = store or Store(read_only=True)
    try:
        row = keeper.run(run)
        return stored_run(keeper, row, row.plan)
    finally:
        if store is None:
            keeper.close()


def stored_run(store: Store, row: RunRow, plan: Plan) -> Run:
    """What the store has of a run; its generations outlive the store object, not the file."""
    hidden = {
        index: cell.problem
        for index, cell in enumerate(plan.cells)
        if cell.problem is not None and cell.problem.private
    }
    found = StoredGenerations(store.path, row.id, hidden)
    scores = (private.score(one, hidden.get(one.generation)) for one in store.scores(row.id))
    told = private.plan(plan)
    return Run(row.id, told, row.environment, found, tuple(scores), row.status)


def _encodable(raw: Any) -> Any:
    # Arrow, which holds pandas' strings, refuses what has no UTF-8.
    return chat.clean(raw) if isinstance(raw, str) else raw
