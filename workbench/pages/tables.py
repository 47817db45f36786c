"""Tables and paragraphs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.experiments import Run
from workbench.experiments.summary import ArmSummary, summarise
from workbench.experiments.wording import number
from workbench.pages.numbers import count, interval, joules, seconds, share
from workbench.pages.page import Page, render
from workbench.printable import one_line

if TYPE_CHECKING:
    import pandas as pd

_LONGEST = 300  # characters of a value


def prose(text: str) -> Page:
    """Plain text as paragraphs; a blank line parts them. Nothing in it is markup."""
    paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
    return render("prose", text, paragraphs=paragraphs)


def table(
    rows: pd.DataFrame | Iterable[Mapping[str, Any]],
    columns: Sequence[str] | Mapping[str, str] | None = None,
    *,
    most: int = 100,
) -> Page:
    """Rows of anything, every value escaped; what is undefined is a dash.

    Unlike a frame's own HTML, nothing in it is typeset as mathematics.

    Args:
        rows: A frame, or mappings from the column's name.
        columns: Which, in which order, and under which headings if it is a mapping;
            default: all of the first row.
        most: Rows at most; a line says how many are left out.
    """
    found: list[Mapping[str, Any]] = list(
        rows.to_dict("records") if hasattr(rows, "to_dict") else rows
    )
    chosen = columns if columns is not None else [*found[0]] if found else []
    heads = list(chosen.values()) if isinstance(chosen, Mapping) else list(chosen)
    left_out = len(found) - most
    return render(
        "table",
        f"Table: {len(found)} rows of {', '.join(map(str, heads))}",
        label="Table",
        kind="wb-numbers",
        heads=[str(head) for head in heads],
        rows=[[value(row.get(column)) for column in chosen] for row in found[:most]],
        note=f"{left_out:,} more rows are not shown." if left_out > 0 else "",
    )


def arms_table(run: Run) -> Page:
    """One row an arm: how many, how often right, what it cost."""
    arms = summarise(run)
    rows = [_arm_row(arm) for arm in arms]
    heads = [
        head for head in (rows[0] if rows else {}) if any(row[head] is not None for row in rows)
    ]
    return render(
        "table",
        "\n".join(f"{arm.arm}: {interval(arm.accuracy) or 'not graded'}" for arm in arms),
        label="Arms",
        kind="wb-numbers",
        heads=heads,
        rows=[[row[head] for head in heads] for row in rows],
        note=(
            "Tokens and seconds per answer: means. Latencies: medians over answers. Accuracy: "
            "mean over problems with its 95% interval."
        ),
    )


def value(raw: object) -> str | None:
    """A value as a cell shows it: floats to three digits, text in one line."""
    if raw is None or (isinstance(raw, float) and math.isnan(raw)):
        return None
    if isinstance(raw, bool):
        return "yes" if raw else "no"
    if isinstance(raw, float):
        return number(raw)
    return one_line(str(raw), _LONGEST)


def _taken(arm: ArmSummary) -> str | None:
    """What speculation brought, in thinking and answer."""
    parts = {"thinking": arm.draft_acceptance_thinking, "answer": arm.draft_acceptance_answer}
    told = [f"{share(part)} of the {name}" for name, part in parts.items() if part is not None]
    step = f"{arm.tokens_per_step:.2g} tokens a step" if arm.tokens_per_step else None
    return "; ".join(filter(None, [*told, step])) or None


def _arm_row(arm: ArmSummary) -> dict[str, str | None]:
    unfinished = {
        "failed": arm.failed,
        "cut off": arm.cut_off,
        "incomplete": arm.incomplete,
        "leaked": arm.leaked,
    }
    told = [f"{number} {what}" for what, number in unfinished.items() if number]
    return {
        "arm": arm.arm,
        "answers": str(arm.generations),
        "unusual": ", ".join(told) or None,
        "right": interval(arm.accuracy),
        "thinking": count(arm.thinking_tokens, "token"),
        "answer": count(arm.answer_tokens, "token"),
        "time": seconds(arm.request_latency),
        "first token": seconds(arm.time_to_first_token),
        "first of the answer": seconds(arm.time_to_first_output_token),
        "between tokens": seconds(arm.inter_token_latency),
        "proposals taken": _taken(arm),
        "GPU energy": joules(arm.energy),
    }
