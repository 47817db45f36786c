"""A run read arm by arm: whose generations, whose scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.evaluation.statistics import Estimate, accuracy
from workbench.experiments.run import Run
from workbench.records import Cell, Generation

ALL = "all"  # the name of the whole, beside the groups

ScoresOfProblems = Mapping[str, Sequence[float]]  # a problem's samples, by problem id


def arm_names(cells: Sequence[Cell]) -> list[str]:
    """The arm of each cell: its mode, and the engine and model where the plan has several."""
    kinds = {cell.spec.kind for cell in cells}
    models = {cell.spec.model for cell in cells}

    def name(cell: Cell) -> str:
        parts = [str(cell.request.mode)]
        parts += [cell.spec.model] if len(models) > 1 else []
        parts += [cell.spec.kind] if len(kinds) > 1 else []
        return " · ".join(parts)

    return [name(cell) for cell in cells]


def by_arm(run: Run, problem: str | None = None) -> dict[str, list[Generation]]:
    """The generations of each arm, in the plan's order.

    Args:
        run: Every arm of its plan is in the result, also one without generations.
        problem: Only those of this problem.
    """
    names = arm_names(run.plan.cells)
    found: dict[str, list[Generation]] = {name: [] for name in names}
    for index, generation in sorted(run.generations.items()):
        asked = run.plan.cells[index].problem
        if problem is None or (asked is not None and asked.id == problem):
            found[names[index]].append(generation)
    return found


def scores_by_arm(run: Run, group: str | None = None) -> dict[str, dict[str, list[float]]]:
    """The scores of each arm, right 1 and wrong 0: problem id -> its samples.

    Ungraded generations are left out, and so is what a judge rated: ``ratings`` reads that.
    """
    names = arm_names(run.plan.cells)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for score in run.scores:
        problem = run.plan.cells[score.generation].problem
        if score.value is None or problem is None or problem.judged:
            continue
        if group not in (None, problem.group):
            continue
        found[names[score.generation]].setdefault(problem.id, []).append(score.value)
    return found


def accuracies(run: Run) -> dict[str, dict[str, Estimate]]:
    """Accuracy with its interval: group -> arm -> estimate, the whole (``ALL``) first.

    Empty when nothing was graded; groups are left out when there is only one.
    """
    problems = [cell.problem for cell in run.plan.cells if cell.problem is not None]
    groups = list(dict.fromkeys(problem.group for problem in problems if problem.group))
    parts: dict[str, str | None] = {name: name for name in groups if name != ALL}
    wanted = {ALL: None} | (parts if len(groups) > 1 else {})
    found = {
        title: {
            arm: estimate
            for arm, scores in scores_by_arm(run, group).items()
            if (estimate := accuracy(scores)) is not None
        }
        for title, group in wanted.items()
    }
    return {title: estimates for title, estimates in found.items() if estimates}
