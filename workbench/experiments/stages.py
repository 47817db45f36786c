"""What is asked together, and in which order: the stages of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from workbench.records import Cell, EngineSpec, Mode, Plan

Expectation = Callable[[Cell], float | None]  # tokens that a cell is expected to take


@dataclass(frozen=True, slots=True)
class Stage:
    """Cells that may be under way together; the stage before has ended."""

    spec: EngineSpec
    concurrency: int | None  # requests under way at once; None: as many as the engine takes
    indices: tuple[int, ...]  # of its cells in the plan, in the order in which they start


def stages(
    plan: Plan,
    *,
    left: Iterable[int],
    concurrency: int | None = None,
    one_engine: bool = False,
    expected: Expectation | None = None,
) -> list[Stage]:
    """Consecutive cells of equal engine and concurrency; of a conversation one turn a stage.

    Where a stage holds as many requests as fit, those that are expected to take longest
    start first: a long one that starts last would run alone. Others keep the plan's
    order.

    Args:
        plan: Where stages begin and end does not depend on what is left of it.
        left: The cells still to be asked; a stage without any is left out.
        concurrency: Of every stage, whatever its cells say.
        one_engine: One session answers all cells, whatever engine they name.
        expected: Tokens that a cell is expected to take, ``None`` where nothing is
            known; default: nothing is known.
    """
    cells, wanted = plan.cells, set(left)
    turns = _turns(cells)

    def key(index: int) -> tuple[EngineSpec, int | None]:
        cell = cells[index]
        spec = cells[0].spec if one_engine else cell.spec
        return spec, cell.concurrency if concurrency is None else concurrency

    found = []
    for (spec, at_once), group in groupby(range(len(cells)), key):
        together: dict[int, list[int]] = {}
        for index in group:
            if index in wanted:
                together.setdefault(turns[index], []).append(index)
        for _, indices in sorted(together.items()):
            free = at_once is None
            order = _longest_first(cells, indices, expected) if free else indices
            found.append(Stage(spec, at_once, tuple(order)))
    return found


def _turns(cells: Sequence[Cell]) -> list[int]:
    """Of each cell how many turns of its conversation are before it."""
    turns: list[int] = []
    for cell in cells:
        turns.append(0 if cell.follows is None else turns[cell.follows] + 1)
    return turns


def _longest_first(
    cells: Sequence[Cell], indices: Sequence[int], expected: Expectation | None
) -> list[int]:
    """By expected tokens where they are known; those without come first, by what they ask."""
    tokens = {index: None if expected is None else expected(cells[index]) for index in indices}
    return sorted(indices, key=lambda index: _rank(cells[index], tokens[index]))


def _rank(cell: Cell, tokens: float | None) -> tuple[float, ...]:
    """Smaller starts earlier: thinking, a larger budget or limit, a longer prompt."""
    sampling = cell.request.sampling
    told = -float("inf") if tokens is None else -tokens
    return (
        told,
        cell.request.mode is not Mode.ON,
        -_or_infinite(sampling.thinking_tokens),
        -_or_infinite(sampling.max_tokens),
        -sum(len(message.text) for message in cell.request.messages),
    )


def _or_infinite(limit: int | None) -> float:
    return float("inf") if limit is None else limit
