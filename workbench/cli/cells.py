"""The grid cells of a run, as a table for people and as a document for programs."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from workbench.cli.output import table
from workbench.experiments import Run
from workbench.experiments.grid import grid_cells
from workbench.pages.grid import grid_table
from workbench.records import Plan


def cells_table(run: Run) -> Table:
    """``pages.grid.grid_table`` for a terminal."""
    told = grid_table(run)
    numbers = [i for i, name in enumerate(told.heads) if name not in ("mode", "model")]
    shown = table(told.heads, told.rows, right=numbers)
    shown.caption = Text(told.note, "dim")
    shown.caption_justify = "left"
    return shown


def sweep_document(run: Run, path: str) -> dict[str, Any]:
    """A run as one JSON document: its plan and a row a grid cell, as ``Run.cells`` has them.

    Args:
        run: The run.
        path: The file that keeps it.
    """
    cells = [cell.row() for cell in grid_cells(run)]
    return {
        "run": run.id,
        "status": run.status,
        "store": path,
        "plan": plan_document(run.plan),
        "cells": cells,
    }


def plan_document(plan: Plan) -> dict[str, Any]:
    """A plan and its cost; seconds and tokens, what is unknown is null."""
    known = plan.expected
    return {
        "kind": plan.kind,
        "title": plan.title,
        "requests": len(plan),
        "axes": {name: [_plain(value) for value in values] for name, values in plan.axes.items()},
        "expected_output_tokens": known.output_tokens if known else None,
        "expected_seconds": known.seconds if known else None,
        "measured_generations": known.basis if known else 0,
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else str(value)
