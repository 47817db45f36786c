"""``workbench runs regrade``: today's graders on stored answers, and what that changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from workbench.cli.output import console, print_json, table
from workbench.experiments.regrading import (
    PARTLY,
    RIGHT,
    UNGRADED,
    WRONG,
    Change,
    Regrade,
    regrade,
    verdict,
)
from workbench.printable import one_line, printable
from workbench.records import Score
from workbench.store import Store

_SHOWN = 40  # changes in a table; --json has all
_ANSWER = 40  # characters of an extracted answer
_VERDICTS = (RIGHT, WRONG, PARTLY, UNGRADED)


def regrade_run(*, run: str, as_json: bool) -> None:
    """Grade again, keep the scores, say what has changed."""
    out = console(as_json)
    with Store() as store:
        done = _graded(run, store, out)
    if as_json:
        print_json(_document(done))
    out.print(f"run {done.run}: {printable(str(done))}\n")
    out.print(_arms(done))
    if done.changes:
        shown = sorted(done.changes, key=lambda change: not change.value)[:_SHOWN]
        out.print("", _changes(shown))
    if len(done.changes) > _SHOWN:
        out.print(f"… and {len(done.changes) - _SHOWN:,} more; --json has all.")


def _graded(run: str, store: Store, out: Console) -> Regrade:
    with Progress(console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("grading", total=None)
        return regrade(
            run,
            store=store,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _arms(done: Regrade) -> Table:
    """A row an arm, a column a verdict: what it was, and what it is where that is another."""
    heads = [name for name in _VERDICTS if any(name in c for c in _counts(done))]
    rows = (
        (arm, *(_turn(done.before[arm].get(n, 0), done.after[arm].get(n, 0)) for n in heads))
        for arm in done.before
    )
    return table(("", *heads), rows, right=range(1, len(heads) + 1))


def _counts(done: Regrade) -> Iterable[Any]:
    return (*done.before.values(), *done.after.values())


def _turn(before: int, after: int) -> str:
    return f"{after:,}" if before == after else f"{before:,} -> {after:,}"


def _changes(changes: Iterable[Change]) -> Table:
    heads = ("index", "problem", "arm", "score", "extracted", "why")
    rows = (
        (
            change.index,
            one_line(change.problem, _ANSWER),
            change.arm,
            _both(verdict(change.before), verdict(change.after)),
            _both(_read(change.before), _read(change.after)),
            _both(change.before.reason if change.before else None, change.after.reason),
        )
        for change in changes
    )
    return table(heads, rows, right=(0,))


def _read(score: Score | None) -> str | None:
    return one_line(score.extracted, _ANSWER) if score and score.extracted else None


def _both(before: str | None, after: str | None) -> str | None:
    return after if before == after else f"{before or '—'} -> {after or '—'}"


def _document(done: Regrade) -> dict[str, Any]:
    return {
        "run": done.run,
        "graded": done.graded,
        "judged": done.judged,
        "before": {arm: dict(counts) for arm, counts in done.before.items()},
        "after": {arm: dict(counts) for arm, counts in done.after.items()},
        "changes": [
            {
                "index": change.index,
                "problem": change.problem,
                "arm": change.arm,
                "before": _told(change.before),
                "after": _told(change.after),
            }
            for change in done.changes
        ],
    }


def _told(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {
        "score": score.value,
        "extracted": score.extracted,
        "reason": score.reason,
        "by": score.by,
    }
