"""``workbench runs judge``: have answers rated, by a model or by people, and show the ratings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from workbench import experiments
from workbench.cli.output import console, print_json
from workbench.cli.rated import document, show
from workbench.cli.work import Verb, Work
from workbench.errors import InvalidInput
from workbench.experiments import Run, judging
from workbench.experiments.expectation import expected
from workbench.experiments.judges import judge_spec
from workbench.experiments.lengths import fitted, limits
from workbench.experiments.scoring_sheet import read_sheet, write_sheet
from workbench.printable import printable
from workbench.records import EngineSpec, Plan
from workbench.store import RunRow, Store

_AGAIN = 0.7  # temperature at which a judge is asked again: at 0 it would say the same


def judge_run(
    *,
    run: str,
    judge: str | None,
    place: Mapping[str, Any],
    how: Mapping[str, Any],
    unrated: bool,
    concurrency: int | None,
    resumed: str | None,
    replayed: str | None,
    sheet: Path | None,
    ratings: Path | None,
    rater: str,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Ask a judge, or read what one has said; show the ratings; the exit code."""
    ways = {
        "--judge": judge,
        "--resume": resumed,
        "--replay": replayed,
        "--sheet": sheet,
        "--ratings": ratings,
    }
    _refuse_two([name for name, value in ways.items() if value is not None])
    out = console(as_json)
    with Store() as store:
        asked = experiments.load(run, store)
        if judge is not None or resumed is not None:
            work = _work(asked, store, out, concurrency, dry_run, as_json)
            if resumed is not None:
                return work.go_on(_judgment_of(asked, resumed, store))
            spec = judge_spec(judge or "", **place)
            return work.begin(_plan(asked, spec, how, unrated, store))
        if sheet is not None:
            return _write(asked, sheet, how["seed"] or 0, out, as_json)
        if replayed is not None:
            asked = judging.rate(_judgment_of(asked, replayed, store).id, store=store)
        if ratings is not None:
            store.add_scores(asked.id, read_sheet(asked, ratings, rater=rater))
            asked = experiments.load(asked.id, store)
        show(asked, out)
        if as_json:
            print_json(document(asked, str(store.path)))
    return 0


def _work(
    asked: Run, store: Store, out: Console, concurrency: int | None, dry_run: bool, as_json: bool
) -> Work:
    """The judgment as a run that is announced, watched, and finished later if cut short."""

    def rated(done: Run, to: Console) -> None:
        if not dry_run:
            show(judging.rate(done.id, store=store), to)

    def told(done: Run, path: str) -> dict[str, Any]:
        now = experiments.load(asked.id, store)
        return document(now, path) | {"judgment": done.id}

    def fit(plan: Plan, opened: EngineSpec) -> Plan:
        cells = fitted(plan.cells, opened)
        known = plan.expected if cells == plan.cells else expected(cells, store)
        return Plan(plan.kind, cells, plan.axes, known)

    verb = Verb(f"runs judge {asked.id}", "judgment", rated, told, remark=limits, fit=fit)
    return Work(verb, store, out, concurrency=concurrency, dry_run=dry_run, as_json=as_json)


def _plan(
    asked: Run, spec: EngineSpec, how: Mapping[str, Any], unrated: bool, store: Store
) -> Plan:
    given = {name: value for name, value in how.items() if value is not None}
    if unrated:
        given.setdefault("temperature", _AGAIN)
    return judging.judgment(asked, spec, unrated=unrated, store=store, **given)


def _judgment_of(asked: Run, judgment: str, store: Store) -> RunRow:
    """A stored judgment of this run.

    Raises:
        InvalidInput: It is none, or one of another run.
    """
    row = store.run(judgment)
    other = judging.judged_run(row.plan)
    if other != asked.id:
        raise InvalidInput(
            f"Judgment {row.id} is of run {other}.", remedy=f"Write `runs judge {other} …`."
        )
    return row


def _write(asked: Run, sheet: Path, seed: int, out: Console, as_json: bool) -> int:
    path = write_sheet(asked, sheet, seed=seed)
    out.print(
        printable(
            f"{path}: fill in its column 'rating', from 1 to 10; "
            f"`workbench runs judge {asked.id} --ratings {sheet}` reads it."
        ),
        soft_wrap=True,
    )
    if as_json:
        print_json({"run": asked.id, "sheet": str(path)})
    return 0


def _refuse_two(ways: list[str]) -> None:
    if len(ways) > 1:
        raise InvalidInput(f"{ways[0]} and {ways[1]} are two ways to judge.", remedy="Choose one.")
