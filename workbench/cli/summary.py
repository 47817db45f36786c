"""Metrics of runs as tables: the arms side by side, or a line a generation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from workbench.cli.output import table
from workbench.experiments import Run
from workbench.experiments.summary import ArmSummary, summarise
from workbench.pages.numbers import interval, joules, seconds, share
from workbench.printable import one_line

_ANSWER = 40  # characters of an extracted answer in a list


def arms(run: Run) -> Table:
    """A column an arm, a row a metric; rows that say nothing anywhere are left out."""
    found = summarise(run)
    rows = zip(*(_column(arm) for arm in found), strict=True)
    told = [
        (cells[0][0], *(value for _, value in cells))
        for cells in rows
        if any(value is not None for _, value in cells)
    ]
    heads = ("", *(arm.arm for arm in found))
    return table(heads, told, right=range(1, len(heads)))


def generations(run: Run, indices: Iterable[int], *, why: bool = False) -> Table:
    """A row a generation: how it ended, what it took, how it was graded.

    Args:
        run: Whose.
        indices: Which of its generations.
        why: With the right answer, and the grader's reason.
    """
    heads = [
        "index",
        "problem",
        "mode",
        "ended",
        "thinking",
        "answer",
        "first token",
        "latency",
        "score",
        "extracted",
    ]
    heads += ["expected", "why"] if why else []
    rows = {row["index"]: row for row in run.rows()}
    told = (_row(run, index, rows[index])[: len(heads)] for index in indices)
    return table(heads, told, right=(0, 4, 5, 6, 7, 8))


def _column(arm: ArmSummary) -> list[tuple[str, str | None]]:
    between = arm.inter_token_latency
    several = arm.generations > 1
    return [
        ("answers", str(arm.generations) if several else None),
        ("failed or stopped", _count(arm.failed)),
        ("cut off at their length", _count(arm.cut_off)),
        ("thinking never closed", _count(arm.incomplete)),
        ("thinking though off", _count(arm.leaked)),
        ("right", interval(arm.accuracy)),
        ("thinking tokens, mean" if several else "thinking tokens", _tokens(arm.thinking_tokens)),
        ("answer tokens, mean" if several else "answer tokens", _tokens(arm.answer_tokens)),
        ("time to first token", seconds(arm.time_to_first_token)),
        ("time to first output token", seconds(arm.time_to_first_output_token)),
        ("inter-token latency", seconds(between)),
        ("tokens a second", f"{1 / between:,.1f}" if between else None),
        ("request latency", seconds(arm.request_latency)),
        ("GPU energy, mean" if several else "GPU energy", joules(arm.energy)),
        ("GPU energy a token", joules(arm.energy_per_token)),
        ("proposals taken, thinking", share(arm.draft_acceptance_thinking)),
        ("proposals taken, answer", share(arm.draft_acceptance_answer)),
        ("tokens a step", _tokens(arm.tokens_per_step)),
    ]


def _count(count: int) -> str | None:
    return str(count) if count else None


def _tokens(value: float | None) -> str | None:
    return None if value is None else f"{value:,.1f}".removesuffix(".0")


def _row(run: Run, index: int, told: Mapping[str, Any]) -> tuple[object, ...]:
    cell = run.plan.cells[index]
    return (
        index,
        told["problem"],
        f"{cell.request.mode}#{cell.sample}" if cell.sample else cell.request.mode,
        told["finish_reason"],
        told["thinking_tokens"],
        told["answer_tokens"],
        seconds(told["time_to_first_token"]),
        seconds(told["request_latency"]),
        told.get("rating", told["score"]),
        _short(told["extracted"]),
        _short(cell.problem.answer if cell.problem else None),
        told["reason"],
    )


def _short(text: str | None) -> str | None:
    return one_line(text, _ANSWER) if text else None
