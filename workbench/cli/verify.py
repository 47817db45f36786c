"""``workbench report verify``: run a report's plan again, and say how far it comes out the same.

::

    0     the ids of every compared generation are the same
    1     some are not
    2     it cannot be verified: no report, a changed one, a model that is not here
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.console import Console
from rich.text import Text

from workbench.cli.guard import complain
from workbench.cli.output import console, print_json, table
from workbench.experiments.evidence import Evidence
from workbench.printable import one_line
from workbench.report.changes import Change
from workbench.report.reading import runs_of
from workbench.report.verify import Divergence, Verification, at_hand
from workbench.report.verify import verify as run_again

_DIFFERENT = 1
_FEW = 20  # divergences shown
_LINE = 100  # characters of an untrusted value


def verify(
    *, report: str, limit: int | None, model: str | None, device: str | None, as_json: bool
) -> int:
    """Verify every run that the report shows; the exit code."""
    shown = console(as_json)
    found = [_one(told, limit, model, device, shown) for told in runs_of(report)]
    if as_json:
        runs = [_document(checked) for checked in found]
        print_json({"same": all(checked.same for checked in found), "runs": runs})
    return 0 if all(checked.same for checked in found) else _DIFFERENT


def _one(
    told: Evidence, limit: int | None, model: str | None, device: str | None, shown: Console
) -> Verification:
    shown.print(Text(one_line(f"run {told.id}: {told.plan}", 5 * _LINE)))
    plan, weights = at_hand(told, model=model, device=device)
    for change in weights:
        complain(f"Another model answers here. {_line(str(change))}.")
    watching, progress = _progress(shown)
    with watching:
        checked = run_again(told, plan, limit=limit, progress=progress)
    _tell(checked, shown)
    return checked


def _progress(
    shown: Console,
) -> tuple[AbstractContextManager[Any], Callable[[int, int], None] | None]:
    if not shown.is_terminal:
        return nullcontext(), None
    status = shown.status(Text("loading the model …"))
    return status, lambda done, of: status.update(Text(f"{done} of {of} generations"))


def _tell(checked: Verification, shown: Console) -> None:
    whole = checked.compared + checked.left_out
    rows = [
        ("same ids", f"{checked.same_ids} of {checked.compared} generations"),
        ("same answers", f"{checked.same_answers} of {checked.compared}"),
        ("same scores", f"{checked.same_scores} of {checked.graded}"),
        ("time, now over then", _times(checked.latency_ratio)),
        ("asked again", f"{checked.compared} of {whole}"),
    ]
    shown.print(table(("what", "measured"), rows))
    for divergence in checked.divergences[:_FEW]:
        shown.print(Text(_line(str(divergence))), soft_wrap=True)
    if len(checked.divergences) > _FEW:
        shown.print(f"{len(checked.divergences) - _FEW} more differ; --json lists them all.")
    _tell_changes(checked, shown)
    shown.print(f"Kept as run {checked.run}")


def _tell_changes(checked: Verification, shown: Console) -> None:
    if not checked.changes:
        shown.print("Engine, versions and machine are those of the report.")
        return
    rows = [(_line(one.what), _line(one.then), _line(one.now)) for one in checked.changes]
    shown.print(table(("not as it was", "then", "now"), rows))


def _times(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{ratio:.2f} times (median of requests)"


def _line(text: str | None) -> str:
    return one_line(text or "", 2 * _LINE)


def _document(checked: Verification) -> dict[str, Any]:
    return {
        "run": checked.recorded.id,
        "verified_by": checked.run,
        "compared": checked.compared,
        "left_out": checked.left_out,
        "same_ids": checked.same_ids,
        "same_answers": checked.same_answers,
        "graded": checked.graded,
        "same_scores": checked.same_scores,
        "latency_ratio": checked.latency_ratio,
        "divergences": [_divergence(one) for one in checked.divergences],
        "changes": [_change(one) for one in checked.changes],
    }


def _divergence(one: Divergence) -> dict[str, Any]:
    names = ("index", "problem", "arm", "sample", "position", "then", "now", "failed")
    return {name: getattr(one, name) for name in names}


def _change(one: Change) -> dict[str, Any]:
    return {"what": one.what, "then": one.then, "now": one.now}
