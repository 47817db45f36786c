"""A judged run read: the mean rating of each arm, turn by turn and category by category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from workbench.evaluation.benchmarks.mtbench import wrong_reference
from workbench.evaluation.statistics import Estimate, mean
from workbench.experiments.arms import arm_names
from workbench.experiments.run import Run
from workbench.records import Cell, Score

SELF = "self-judging"

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class ArmRatings:
    """What a judge said of one arm's answers, from 1 to 10; ``None`` is undefined.

    A mean is over questions of the mean over their turns and samples, its interval over
    questions: the turns of one conversation are no independent draws.
    """

    arm: str
    both: Estimate | None  # all turns
    turns: Mapping[int, Estimate]  # by turn, from 1 on
    groups: Mapping[str, Estimate]  # by category, all turns, in the plan's order
    unflagged: Estimate | None  # without references that are known to be wrong; None: has none
    answers: int  # that a judge is to rate
    rated: int
    missing: tuple[Score, ...]  # without a value: not judged, or to no rating that counts
    judges: tuple[str, ...]  # whoever judged, with version

    @property
    def unread(self) -> tuple[Score, ...]:
        """Those of the missing that somebody has judged."""
        return tuple(score for score in self.missing if score.by)

    @property
    def self_judged(self) -> bool:
        """Whether the judge is the model that it rated."""
        return any(SELF in name for name in self.judges)


def ratings(run: Run) -> dict[str, dict[str, list[float]]]:
    """A judge's ratings, arm -> question -> values of its turns and samples; empty without a judge.

    A question is named by its first turn.
    """
    cells, names = run.plan.cells, arm_names(run.plan.cells)
    asked = [index for index, cell in enumerate(cells) if _judged(cell)]
    found: dict[str, dict[str, list[float]]] = {names[index]: {} for index in asked}
    for index, value in _values(run).items():
        found[names[index]].setdefault(question(cells, index), []).append(value)
    return found


def arm_ratings(run: Run) -> tuple[ArmRatings, ...]:
    """Every arm that a judge is to rate, in the plan's order; also of a run not judged yet."""
    cells, names = run.plan.cells, arm_names(run.plan.cells)
    arms: dict[str, list[int]] = {}
    for index, cell in enumerate(cells):
        if _judged(cell):
            arms.setdefault(names[index], []).append(index)
    values = _values(run)
    scores = {score.generation: score for score in run.scores}
    return tuple(_arm(arm, cells, own, values, scores) for arm, own in arms.items())


def question(cells: Sequence[Cell], index: int) -> str:
    """The id of the problem that a cell's conversation began with."""
    while (before := cells[index].follows) is not None:
        index = before
    problem = cells[index].problem
    return problem.id if problem else ""


def turn(cells: Sequence[Cell], index: int) -> int:
    """Which turn of its conversation a cell is, from 1 on."""
    before = cells[index].follows
    return 1 if before is None else 1 + turn(cells, before)


def judges_of(scores: Sequence[Score]) -> tuple[str, ...]:
    """Whoever judged these, each once, with version; and whether it judged itself.

    The run that a judgment is kept as is left out: an answer that was judged again has
    another one, and the same judge.
    """
    told = (
        "; ".join(part for part in score.by.split("; ") if not part.startswith("judgment "))
        for score in scores
        if score.by
    )
    return tuple(dict.fromkeys(told))


def _arm(
    arm: str,
    cells: Sequence[Cell],
    own: Sequence[int],
    values: Mapping[int, float],
    scores: Mapping[int, Score],
) -> ArmRatings:
    rated = [index for index in own if index in values]

    def over(chosen: Sequence[int]) -> Estimate | None:
        found: dict[str, list[float]] = {}
        for index in chosen:
            found.setdefault(question(cells, index), []).append(values[index])
        return mean(found)

    by_turn = _split(rated, {index: turn(cells, index) for index in rated})
    by_group = _split(rated, {index: _group(cells[index]) for index in rated})
    sound = [index for index in rated if not wrong_reference(_name(cells[index]))]
    return ArmRatings(
        arm=arm,
        both=over(rated),
        turns={key: one for key in sorted(by_turn) if (one := over(by_turn[key]))},
        groups={key: one for key, part in by_group.items() if key and (one := over(part))},
        unflagged=over(sound) if len(sound) < len(rated) else None,
        answers=len(own),
        rated=len(rated),
        missing=tuple(scores[i] for i in own if i in scores and i not in values),
        judges=judges_of([scores[index] for index in own if index in scores]),
    )


def _split(indices: Sequence[int], keys: Mapping[int, K]) -> dict[K, list[int]]:
    found: dict[K, list[int]] = {}
    for index in indices:
        found.setdefault(keys[index], []).append(index)
    return found


def _values(run: Run) -> dict[int, float]:
    cells = run.plan.cells
    return {
        score.generation: score.value
        for score in run.scores
        if score.value is not None and _judged(cells[score.generation])
    }


def _judged(cell: Cell) -> bool:
    return cell.problem is not None and cell.problem.judged


def _group(cell: Cell) -> str:
    return cell.problem.group if cell.problem else ""


def _name(cell: Cell) -> str:
    return cell.problem.id if cell.problem else ""
