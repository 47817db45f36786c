"""``workbench report``: run a report's notebook, and say where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from workbench.cli.guard import kept, stopped
from workbench.cli.output import console, print_json
from workbench.errors import InvalidInput
from workbench.report import Report
from workbench.report import report as run_report
from workbench.store import Store

_FOLDER = Path("reports")


def report(*, name: str, parameters: Sequence[str], out: Path | None, as_json: bool) -> int | None:
    """Run it; values are read as the types that the notebook gives its parameters."""
    given = dict(_pair(parameter) for parameter in parameters)
    shown, began = console(as_json), datetime.now(UTC)
    try:
        made = _run(name, given, out or _FOLDER, shown)
    except KeyboardInterrupt:
        return stopped(kept(_begun_since(began)))
    for what, where in (("notebook", made.notebook), ("page", made.html), ("run", made.run)):
        shown.print(Text(f"{what:<9} {where}"), soft_wrap=True)
    if as_json:
        paths = {"notebook": str(made.notebook), "html": str(made.html)}
        print_json({"run": made.run} | paths)
    return None


def _begun_since(moment: datetime) -> str | None:
    """The run that the notebook has begun, which is another process's."""
    with Store(read_only=True) as store:
        return next((row.id for row in store.runs(1) if row.created >= moment), None)


def _pair(parameter: str) -> tuple[str, str]:
    key, equals, value = parameter.partition("=")
    if not equals or not key.strip():
        raise InvalidInput(
            f"{parameter!r} is not a parameter.", remedy="Write -p key=value, e.g. -p problems=3."
        )
    return key.strip(), value


def _run(name: str, given: dict[str, str], out: Path, shown: Console) -> Report:
    if not shown.is_terminal:
        return run_report(name, given, out)
    with shown.status("Running the notebook …"):
        return run_report(name, given, out)
