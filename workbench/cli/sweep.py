"""``workbench sweep``: ask a suite at every combination of settings, or finish such a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from workbench import experiments
from workbench.cli.cells import cells_table, sweep_document
from workbench.cli.output import console
from workbench.cli.places import engine_specs
from workbench.cli.ranges import names, numbers
from workbench.cli.work import Verb, Work, refuse_another_plan
from workbench.errors import InvalidInput
from workbench.evaluation.suites import suite as problems_of
from workbench.experiments import Run
from workbench.experiments.findings import findings
from workbench.printable import printable
from workbench.records import Plan
from workbench.store import Store

_WHOLE = ("thinking_tokens", "max_tokens", "top_k")
_UNLIMITED = ("thinking_tokens", "max_tokens")  # those that `none` is a value of


def sweep(
    *,
    suite: str | None,
    settings: Mapping[str, str | None],
    arms: Mapping[str, list[str] | None],
    place: Mapping[str, Any],
    counts: Mapping[str, int | None],
    concurrency: int | None,
    resumed: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Describe, ask, show, keep; the exit code."""
    out = console(as_json)
    verb = Verb("sweep", "sweep", _show, sweep_document, kinds=("compare",))
    options = {**settings, **arms, **place, **counts}
    with Store() as store:
        work = Work(verb, store, out, concurrency=concurrency, dry_run=dry_run, as_json=as_json)
        asked = None if suite is None else _plan(suite, settings, arms, place, counts, store)
        if resumed is not None:
            row = store.run(resumed)
            refuse_another_plan(verb, row, asked, options)
            return work.go_on(row)
        if asked is None:
            raise InvalidInput(
                "There is nothing to sweep.",
                remedy="Name a suite (arithmetic, or a file), or a run with --resume.",
            )
        return work.begin(asked)


def _plan(
    suite: str,
    settings: Mapping[str, str | None],
    arms: Mapping[str, list[str] | None],
    place: Mapping[str, Any],
    given: Mapping[str, int | None],
    store: Store,
) -> Plan:
    known = {name: value for name, value in given.items() if value is not None}
    axes: dict[str, Any] = {
        name: _values(name, text) for name, text in settings.items() if text is not None
    }
    return experiments.sweep(
        problems_of(suite, known.get("count"), known.get("suite_seed", 0)),
        mode=["on"] if arms["mode"] is None else names(arms["mode"]),
        engine=engine_specs(arms["engine"], arms["model"], place),
        replicates=known.get("samples", 1),
        seed=known.get("seed", 0),
        store=store,
        **axes,
    )


def _values(name: str, text: str) -> list[int | float | None]:
    option = f"--{name.replace('_', '-')}"
    return numbers(text, option, whole=name in _WHOLE, none=name in _UNLIMITED)


def _show(run: Run, out: Console) -> None:
    out.print(cells_table(run))
    out.print(f"\n{printable(findings(run))}\n")
