"""Go on: finish a run that was cut short, without losing or repeating what had ended."""

from __future__ import annotations

from workbench.evaluation.grading import grade
from workbench.experiments import parts
from workbench.experiments.brake import Brake
from workbench.experiments.execution import (
    Execution,
    Progress,
    Watch,
    check_concurrency,
    kept_in,
)
from workbench.experiments.run import Run, load
from workbench.records import Plan
from workbench.session import Session
from workbench.store import Store


def resume(
    run_id: str,
    *,
    session: Session | None = None,
    store: Store | None = None,
    concurrency: int | None = None,
    watch: Watch | None = None,
    progress: Progress | None = None,
    brake: Brake | None = None,
) -> Run:
    """Finish a run that was interrupted, killed, or ended by an error.

    Generations that had ended stay, also those that failed. The others are asked again:
    those that were not reached, those that were under way, and those that an interrupt
    cancelled. Their requests and seeds are the plan's, so they get the ids that they
    would have got. A run that has finished is returned as it is.

    The environment keeps the facts of the first part and says when the run was
    ``resumed``, and what had ``changed`` by then: versions, machine, engine, weights.

    Args:
        run_id: The run's id, or the beginning of it.
        session: As for ``execute``; default: one for each engine of the plan.
        store: The run's store; default: the store of this folder.
        concurrency: As for ``execute``. It need not be what it was.
        watch: As for ``execute``.
        progress: Called with (cells ended, cells in all), earlier parts included.
        brake: As for ``execute``.

    Raises:
        InvalidInput: There is no such run, or a living process is at it.
        StoreError: The run cannot be read, is of a newer format, or cannot be kept.
        WorkbenchError: An engine cannot be opened; what others generated is kept.
    """
    check_concurrency(concurrency)
    with kept_in(store) as keeper:
        row = keeper.run(run_id)
        if row.status == "finished":
            return load(row.id, keeper)
        plan, facts = row.plan, parts.resumed(row.environment)
        keeper.reopen_run(row.id, facts)
        under_way = Execution(row.id, plan, keeper, facts, concurrency, watch, progress, brake)
        return under_way.run(session, left(keeper, row.id, plan))


def left(store: Store, run: str, plan: Plan) -> list[int]:
    """The cells of the plan that are still to be asked; the others' missing grades are added."""
    graded = {score.generation for score in store.scores(run)}
    ended = set()
    for row in store.rows(run):
        if row.finish_reason in (None, "cancelled"):
            continue
        ended.add(row.index)
        problem = plan.cells[row.index].problem
        if problem is not None and row.index not in graded:
            generation = store.generation(run, row.index)
            store.add_scores(run, [grade(problem, generation, row.index)])
    again: set[int] = set()
    for index, cell in enumerate(plan.cells):
        if index not in ended or cell.follows in again:  # it was asked with another answer
            again.add(index)
    return sorted(again)
