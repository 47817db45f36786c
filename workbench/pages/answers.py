"""Every answer of a run as a row of a table: right or wrong, how it ended, tokens and times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.experiments import Run
from workbench.experiments.arms import arm_names
from workbench.pages.numbers import seconds
from workbench.pages.page import Page, render
from workbench.printable import one_line

_MOST = 300  # rows on a page
_LONGEST = 80  # characters of an answer or of a name


def answers(run: Run) -> Page:
    """One row an answer, in the plan's order; columns that say nothing anywhere are left out."""
    arms = arm_names(run.plan.cells)
    repeated = any(cell.sample for cell in run.plan.cells)
    rows = [_row(row, arms[row["index"]], repeated) for row in run.rows()]
    heads = [head for head in (rows[0] if rows else {}) if any(row[head] for row in rows)]
    more = len(rows) - _MOST
    return render(
        "table",
        f"{len(rows)} answers",
        label="Answers",
        kind="wb-numbers",
        heads=heads,
        rows=[[row[head] for head in heads] for row in rows[:_MOST]],
        note=(
            "Thinking and answer in tokens; first token and whole: time since the submission."
            + (f" {more:,} more answers are not shown; the table beside has them." * (more > 0))
        ),
    )


def _row(row: Mapping[str, Any], arm: str, repeated: bool) -> dict[str, str | None]:
    return {
        "problem": one_line(str(row["problem"] or row.get("label") or row["index"]), _LONGEST),
        "arm": one_line(arm, _LONGEST),
        "sample": str(row["sample"] + 1) if repeated else None,
        "right": _sign(row["score"]),
        "rating": None if row.get("rating") is None else f"{row['rating']:g}",
        "read as": None if row["extracted"] is None else one_line(row["extracted"], _LONGEST),
        "ended by": row["finish_reason"],
        "thinking": _count(row["thinking_tokens"]),
        "answer": _count(row["answer_tokens"]),
        "first token": seconds(row["time_to_first_token"]),
        "between tokens": seconds(row["inter_token_latency"]),
        "whole": seconds(row["request_latency"]),
    }


def _sign(score: float | None) -> str | None:
    return None if score is None else "✓" if score > 0.5 else "✗"


def _count(tokens: float | None) -> str | None:
    return None if tokens is None else f"{tokens:,.0f}"
