"""``workbench eval``: a benchmark in several modes, asked as on the model card, or finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench import experiments
from workbench.cli.output import console
from workbench.cli.places import engine_specs
from workbench.cli.ranges import names
from workbench.cli.scores import document, show
from workbench.cli.work import Verb, Work, refuse_another_plan
from workbench.errors import InvalidInput
from workbench.evaluation.benchmarks import BENCHMARKS
from workbench.experiments.evaluations import CARD, MAX_TOKENS, MODES
from workbench.experiments.expectation import expected
from workbench.experiments.lengths import fitted, limits
from workbench.records import EngineSpec, Plan
from workbench.store import Store


def evaluate(
    *,
    benchmark: str | None,
    modes: list[str] | None,
    counts: Mapping[str, int | None],
    temperatures: str | None,
    data: Path | None,
    arms: Mapping[str, list[str] | None],
    place: Mapping[str, Any],
    concurrency: int | None,
    resumed: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Describe, ask, show, keep; the exit code."""
    told = {"mode": modes, "temperatures": temperatures, "data": data}
    options = {**told, **counts, **arms, **place}
    out = console(as_json)
    with Store() as store:
        verb = _verb(store)
        work = Work(verb, store, out, concurrency=concurrency, dry_run=dry_run, as_json=as_json)
        asked = None if benchmark is None else _plan(benchmark, options, place, store)
        if resumed is not None:
            row = store.run(resumed)
            refuse_another_plan(verb, row, asked, options)
            return work.go_on(row)
        if asked is None:
            raise InvalidInput(
                "There is nothing to evaluate.",
                remedy=f"Name a benchmark ({', '.join(BENCHMARKS)}, or a file), "
                "or a run with --resume.",
            )
        return work.begin(asked)


def _verb(store: Store) -> Verb:
    def fit(plan: Plan, opened: EngineSpec) -> Plan:
        cells = fitted(plan.cells, opened)
        known = plan.expected if cells == plan.cells else expected(cells, store)
        return replace(plan, cells=cells, expected=known)

    return Verb("eval", "evaluation", show, document, remark=limits, fit=fit, intervals=True)


def _plan(
    benchmark: str, options: Mapping[str, Any], place: Mapping[str, Any], store: Store
) -> Plan:
    def given(name: str, otherwise: int) -> int:
        value = options[name]
        return otherwise if value is None else int(value)

    return experiments.evaluate(
        benchmark,
        modes=MODES if options["mode"] is None else names(options["mode"]),
        samples=given("samples", 1),
        limit=options["limit"],
        seed=given("seed", 0),
        max_tokens=given("max_tokens", MAX_TOKENS),
        data=options["data"],
        temperatures=options["temperatures"] or CARD,
        engine=engine_specs(options["engine"], options["model"], place),
        store=store,
    )
