"""The tables beside a report: CSV files made of the stored run."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.experiments import exporting, load


def save(run: str, notebook: Path) -> tuple[Path | None, Path | None]:
    """``NAME-TIME.csv``, a row a generation, and for a sweep ``NAME-TIME.cells.csv``.

    Args:
        run: Id of the stored run.
        notebook: The executed notebook ``NAME-TIME.ipynb``, beside which they are written.

    Returns:
        The paths. ``None``: there is no such table, or the store of this folder does not
        have the run, as when a notebook keeps its runs elsewhere.
    """
    try:
        loaded = load(run)
    except WorkbenchError:
        return None, None
    rows, grid = notebook.with_suffix(".csv"), notebook.with_suffix(".cells.csv")
    exporting.save(loaded.frame(), rows)
    if loaded.plan.kind != "sweep":
        return rows, None
    exporting.save(loaded.cells(), grid)
    return rows, grid
