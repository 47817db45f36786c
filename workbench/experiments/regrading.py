"""Grade what is stored once more, with the graders of today; no model is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench import private
from workbench.errors import InvalidInput
from workbench.evaluation.grading import JUDGE, grade
from workbench.experiments.arms import arm_names
from workbench.experiments.execution import kept_in
from workbench.experiments.wording import counted
from workbench.records import Cell, Problem, Score
from workbench.store import RunRow, Store

RIGHT, WRONG, PARTLY, UNGRADED = "right", "wrong", "in part", "ungraded"

Counts = Mapping[str, int]  # right, wrong, in part, ungraded -> generations


@dataclass(frozen=True, slots=True)
class Change:
    """A generation that is read or judged otherwise than before."""

    index: int  # of the generation in its run
    problem: str
    arm: str
    before: Score | None  # None: it had no score
    after: Score

    @property
    def value(self) -> bool:
        """Whether the score itself is another, not only what was read and why."""
        return self.before is None or self.before.value != self.after.value


@dataclass(frozen=True, slots=True)
class Regrade:
    """What grading a run once more has brought."""

    run: str
    graded: int  # generations that were graded again
    judged: int  # generations whose score is a judge's: left as they are
    before: Mapping[str, Counts]  # by arm
    after: Mapping[str, Counts]
    changes: tuple[Change, ...]  # by index

    def __str__(self) -> str:
        values = [change for change in self.changes if change.value]
        told = f"{counted(self.graded, 'generation')} graded again: {_outcome(values)}"
        read = len(self.changes) - len(values)
        told += f"; {read:,} read or reasoned otherwise to the same end." if read else "."
        if self.judged == 1:
            told += " 1 score of a judge was left as it is."
        elif self.judged:
            told += f" {self.judged:,} scores of a judge were left as they are."
        return told


def regrade(
    run_id: str, *, store: Store | None = None, progress: Callable[[int, int], None] | None = None
) -> Regrade:
    """Grade every ended generation of a run again, and store the scores in place of the old ones.

    The answer key is the plan's, as it was asked. All scores are stored at once, at the
    end: an interrupt changes nothing. What a judge rated is left alone, as rating takes a
    model.

    Args:
        run_id: The run's id, or the beginning of it.
        store: The run's store; default: the store of this folder.
        progress: Called with (generations graded, generations in all).

    Raises:
        InvalidInput: There is no such run, a living process is at it, or a problem names a
            grader that there is not.
        StoreError: The run cannot be read, or the scores cannot be kept.
    """
    with kept_in(store) as keeper:
        row = keeper.run(run_id)
        if row.status == "running":
            raise InvalidInput(
                f"Run {row.id} is still running.", remedy="Stop it, or wait until it has ended."
            )
        plan = row.plan
        old = {score.generation: score for score in keeper.scores(row.id)}
        ended = [one.index for one in keeper.rows(row.id) if one.end is not None]
        asked = [index for index in ended if plan.cells[index].problem is not None]
        again = [index for index in asked if not _judged(plan.cells[index])]
        new = {score.generation: score for score in _graded(keeper, row, again, progress)}
        if new:
            keeper.add_scores(row.id, new.values())
        return _told(row.id, plan.cells, asked, old, new)


def _graded(
    store: Store, row: RunRow, indices: Sequence[int], progress: Callable[[int, int], None] | None
) -> Iterator[Score]:
    cells = row.plan.cells
    for done, index in enumerate(indices, start=1):
        problem = cells[index].problem
        assert problem is not None
        yield grade(problem, store.generation(row.id, index), index)
        if progress is not None:
            progress(done, len(indices))


def _told(
    run: str,
    cells: Sequence[Cell],
    asked: Sequence[int],
    old: Mapping[int, Score],
    new: Mapping[int, Score],
) -> Regrade:
    arms = arm_names(cells)
    changes = [
        _change(index, arms[index], cells[index].problem, old.get(index), after)
        for index, after in sorted(new.items())
        if index not in old or _said(old[index]) != _said(after)
    ]
    before = _counts(arms, {index: old.get(index) for index in asked})
    after = _counts(arms, {index: new.get(index, old.get(index)) for index in asked})
    return Regrade(run, len(new), len(asked) - len(new), before, after, tuple(changes))


def _change(
    index: int, arm: str, problem: Problem | None, before: Score | None, after: Score
) -> Change:
    """Fit to be shown: of a private problem without what was read, but for a letter."""
    was = None if before is None else private.score(before, problem)
    return Change(index, after.problem, arm, was, private.score(after, problem))


def _counts(arms: Sequence[str], scores: Mapping[int, Score | None]) -> dict[str, Counts]:
    found: dict[str, Counter[str]] = {arms[index]: Counter() for index in scores}
    for index, score in scores.items():
        found[arms[index]][verdict(score)] += 1
    return {arm: dict(counts) for arm, counts in found.items()}


def verdict(score: Score | None) -> str:
    """``right``, ``wrong``, ``in part``, or ``ungraded``."""
    if score is None or score.value is None:
        return UNGRADED
    return {1.0: RIGHT, 0.0: WRONG}.get(score.value, PARTLY)


def _said(score: Score) -> tuple[float | None, str | None, str]:
    """All but who says it: the version of a grader is no change by itself."""
    return score.value, score.extracted, score.reason


def _judged(cell: Cell) -> bool:
    return cell.problem is not None and cell.problem.grader == JUDGE


def _outcome(values: Sequence[Change]) -> str:
    turns = Counter(f"{verdict(change.before)} -> {verdict(change.after)}" for change in values)
    if not turns:
        return "every score is what it was"
    return ", ".join(f"{count:,} {turn}" for turn, count in turns.most_common())
