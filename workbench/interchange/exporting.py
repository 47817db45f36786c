"""A stored run in one of the formats, to a file, a folder, or the standard output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from workbench.errors import InvalidInput
from workbench.experiments import exporting, load
from workbench.interchange import events, inspect_log, lm_eval_results
from workbench.interchange.files import write
from workbench.records import Plan
from workbench.store import Store

FORMATS: tuple[str, ...] = ("jsonl", "parquet", "inspect", "lm-eval")
_TASK = re.compile(r"[A-Za-z0-9.-]+")


def export(
    run: str,
    form: str = "jsonl",
    out: Path | None = None,
    *,
    task: str | None = None,
    store: Store,
) -> tuple[Path, ...] | Iterator[str]:
    """A run as files that other programs read.

    Of problems that must not be published (``Problem.private``) every format has ids,
    letters, lengths and SHA-256 in the place of text; of what the model wrote too.

    Args:
        run: Its id, or the beginning of it.
        form: ``jsonl``: every event. ``parquet``: ``Run.frame``, a row a generation.
            ``inspect``: Inspect's logs, one for each condition (engine, mode, sampling).
            ``lm-eval``: its results, and samples, where a condition is a task.
        out: A file for the first two, a folder for the others; default: a name made of
            the run's id, in this folder.
        task: What ``inspect`` and ``lm-eval`` call the task; default: the plan's kind.
        store: Where the run is.

    Returns:
        The files, as they were written; of ``jsonl`` without ``out`` the lines.

    Raises:
        InvalidInput: No such run or format, a name of a task with other characters than
            letters, digits, ``.`` and ``-``, or a place that cannot be written to.
        StoreError: The store cannot be read.
    """
    _check(form, task)
    if form == "jsonl":
        lines = events.lines(store, run)
        return lines if out is None else (write(out, (f"{line}\n" for line in lines)),)
    row, loaded = store.run(run), load(run, store)
    if form == "parquet":
        return (exporting.save(loaded.frame(), out or Path(f"{row.id}.parquet")),)
    make = inspect_log.write_logs if form == "inspect" else lm_eval_results.write_results
    name = task or _task(loaded.plan)
    return make(loaded.unveiled(), row.created, name, out or Path(f"{row.id}-{form}"))


def _task(plan: Plan) -> str:
    """A name that is fit for a file; a benchmark may be one itself."""
    named = plan.axes.get("benchmark", (plan.kind,))
    return "-".join(_TASK.findall(Path(str(named[0])).stem)) or plan.kind


def _check(form: str, task: str | None) -> None:
    if form not in FORMATS:
        raise InvalidInput(
            f"There is no format {form!r}.", remedy=f"Choose from {', '.join(FORMATS)}."
        )
    if task is not None and not _TASK.fullmatch(task):
        raise InvalidInput(
            f"A task cannot be called {task!r}.",
            remedy="Use letters, digits, dots and hyphens.",
        )
