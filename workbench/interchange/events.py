"""Every event of a run as lines of JSON; of private problems without text and without ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workbench import codec, private
from workbench.records import Plan, Problem, Score
from workbench.store import Store


def lines(store: Store, run: str) -> Iterator[str]:
    """What ``Store.export`` tells, fit to be published.

    Chunks of private problems keep their times, channels and log-probabilities, and -1
    for every id; the metrics in their line were computed from what is left out.

    Raises:
        InvalidInput: There is no such run, or more than one.
    """
    plan = store.run(run).plan
    told = store.export(run)
    if not any(private.hides(cell.problem) for cell in plan.cells):
        return told
    return (codec.dumps(_public(codec.loads(line), plan)) for line in told)


def _public(line: dict[str, Any], plan: Plan) -> dict[str, Any]:
    match line["type"]:
        case "run":
            return line | {"plan": codec.to_json(private.plan(plan))}
        case "score":
            return line | _score(line, plan.cells[line["generation"]].problem)
    problem = plan.cells[line["index"]].problem
    if not private.hides(problem):
        return line
    read = (codec.event_from_json(event) for event in line["events"])
    events = [codec.to_json(private.event(event, problem)) for event in read]
    hidden = codec.to_json(private.cell(plan.cells[line["index"]]))
    return line | {"cell": line["cell"] | _unspecific(hidden), "events": events}


def _unspecific(cell: dict[str, Any]) -> dict[str, Any]:
    """Without the engine: a generation's line has it as it was, the plan as it was asked for."""
    return {name: value for name, value in cell.items() if name != "spec"}


def _score(line: dict[str, Any], problem: Problem | None) -> dict[str, Any]:
    return codec.to_json(private.score(codec.from_json(Score, line), problem))
