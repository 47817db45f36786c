"""The arms' texts beside one another, problem by problem."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.errors import InvalidInput
from workbench.evaluation.grading import grade
from workbench.experiments import Run
from workbench.experiments.arms import arm_names
from workbench.pages.cards import Card, card, shortened
from workbench.pages.page import Page, render
from workbench.printable import one_line
from workbench.records import Cell, Generation, Problem, Score

_ALL_TEXT = 1_500_000  # characters of all texts on a page: it stays below 8 MB escaped
_LONGEST = 40_000  # characters of one text
_SHORTEST = 200

Answers = Run | Iterable[tuple[Cell, Generation]]


@dataclass(frozen=True, slots=True)
class _Item:
    """A cell with what came of it."""

    arm: str
    cell: Cell
    generation: Generation | None  # None: it was not reached
    score: Score | None


@dataclass(frozen=True, slots=True)
class _Arm:
    name: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    name: str
    prompt: str
    expected: str | None
    arms: tuple[_Arm, ...]


def side_by_side(
    answers: Answers, *, problem: str | None = None, most: int = 30, unfolded: int = 1
) -> Page:
    """What each arm wrote, in columns; thinking is folded.

    Texts are cut so that the page stays small: to 40,000 characters each, less when
    there are many.

    Args:
        answers: A run, or cells with their generations.
        problem: Only the problem of this id.
        most: Problems at most; a line says how many are left out.
        unfolded: The first so many problems are open.

    Raises:
        InvalidInput: No problem has the id.
    """
    blocks = _by_problem(_items(answers))
    if problem is not None and problem not in blocks:
        raise InvalidInput(
            f"There is no problem {problem!r}.",
            remedy=f"There are {one_line(', '.join(blocks), 200) or 'none'}.",
        )
    chosen = list(blocks) if problem is None else [problem]
    shown = {name: blocks[name] for name in chosen[:most]}
    texts = sum(2 * len(items) + 1 for items in shown.values())
    longest = max(_SHORTEST, min(_LONGEST, _ALL_TEXT // max(texts, 1)))
    left_out = len(chosen) - len(shown)
    more = f" {left_out} more are not shown." if left_out else ""
    return render(
        "side_by_side",
        f"Side by side: {', '.join(map(str, _counted(shown)))}.{more}",
        problems=[_block(name, items, longest) for name, items in shown.items()],
        unfolded=unfolded,
        note=more.strip(),
    )


def _items(answers: Answers) -> list[_Item]:
    if isinstance(answers, Run):
        cells: Sequence[Cell] = answers.plan.cells
        found = [answers.generations.get(index) for index in range(len(cells))]
        known = {score.generation: score for score in answers.scores}
        scores = [known.get(index) for index in range(len(cells))]
    else:
        pairs = list(answers)
        cells = [cell for cell, _ in pairs]
        found = [generation for _, generation in pairs]
        scores = [
            None if cell.problem is None else grade(cell.problem, generation, index)
            for index, (cell, generation) in enumerate(pairs)
        ]
    return [_Item(*parts) for parts in zip(arm_names(cells), cells, found, scores, strict=True)]


def _by_problem(items: Iterable[_Item]) -> dict[str, list[_Item]]:
    blocks: dict[str, list[_Item]] = {}
    for item in items:
        blocks.setdefault(_asked(item.cell).id, []).append(item)
    return blocks


def _asked(cell: Cell) -> Problem:
    """The cell's problem, or its last user turn as one."""
    if cell.problem is not None:
        return cell.problem
    said = [message.text for message in cell.request.messages if message.role == "user"]
    return Problem(cell.request.label or one_line(said[-1], 60), said[-1])


def _block(name: str, items: Sequence[_Item], longest: int) -> _Block:
    asked = _asked(items[0].cell)
    arms: dict[str, list[Card]] = {item.arm: [] for item in items}
    for item in items:
        if item.generation is not None:
            made = card(item.generation, item.score, longest, judged=asked.judged)
            arms[item.arm].append(made)
    columns = tuple(_Arm(arm, tuple(cards)) for arm, cards in arms.items())
    expected = None if asked.answer is None else shortened(asked.answer, longest)
    return _Block(one_line(name, 80), shortened(asked.prompt, longest), expected, columns)


def _counted(blocks: dict[str, list[_Item]]) -> tuple[str, str]:
    arms = {item.arm for items in blocks.values() for item in items}
    problems = "1 problem" if len(blocks) == 1 else f"{len(blocks)} problems"
    return problems, "1 arm" if len(arms) == 1 else f"{len(arms)} arms"
