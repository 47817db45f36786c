"""A latency run as rows: the stages, thinking and answer apart, the gaps that stand out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.experiments.latency_figures import ANSWER_GAP, THINKING_GAP, figures, goodput
from workbench.experiments.latency_stages import Lab, Setting, read
from workbench.experiments.latency_tokens import outliers
from workbench.experiments.run import Run

Rows = list[dict[str, Any]]


def stage_rows(run: Run | Lab, objectives: Mapping[str, float] | None = None) -> Rows:
    """A row a stage; times in milliseconds, ``None`` where undefined. Failed ones are counted.

    Args:
        run: Of a latency plan.
        objectives: Adds goodput.
    """
    lab = read(run)
    met = {one.setting: one for one in goodput(lab, **objectives)} if objectives else {}
    rows: Rows = []
    for one in figures(lab):
        row = _place(one.setting) | {
            "requests": one.requests,
            "failed": one.failed or None,
            "in cache, tokens": one["cached_tokens"]["p50"],
            "first token, ms": _ms(one["time_to_first_token"]["p50"]),
            "first token p99, ms": _ms(one["time_to_first_token"]["p99"]),
            "between tokens, ms": _ms(one["inter_token_latency"]["p50"]),
            "whole, ms": _ms(one["request_latency"]["p50"]),
            "prefill, tokens/s": one["prefill_throughput"]["p50"],
            "all, tokens/s": one.output_token_throughput,
            "requests/s": one.request_throughput,
        }
        if met:
            row["good/s"] = met[one.setting].per_second
        rows.append(row)
    return _said(_varied(rows, "requests"))


def channel_rows(run: Run | Lab) -> Rows:
    """Thinking and answer apart, a row a stage: tokens, gaps between them, first of the answer."""
    return _said(
        [
            _place(one.setting)
            | {
                "thinking, tokens": one["thinking_tokens"]["avg"],
                "thinking gap, ms": _ms(one[THINKING_GAP]["p50"]),
                "thinking gap p99, ms": _ms(one[THINKING_GAP]["p99"]),
                "answer begins, ms": _ms(one["time_to_first_output_token"]["p50"]),
                "answer, tokens": one["answer_tokens"]["avg"],
                "answer gap, ms": _ms(one[ANSWER_GAP]["p50"]),
                "answer gap p99, ms": _ms(one[ANSWER_GAP]["p99"]),
            }
            for one in figures(run)
        ]
    )


def outlier_rows(run: Run | Lab, *, most: int = 20) -> Rows:
    """The gaps that stand out, each with its token; texts are untrusted."""
    return [
        {
            "stage": str(one.setting),
            "request": one.generation,
            "token": one.position,
            "id": one.id,
            "text": repr(one.text),
            "phase": "think tags" if one.phase == "marker" else one.phase,
            "gap, ms": 1000 * one.gap,
            "median, ms": 1000 * one.median,
            "meanwhile": one.because,
        }
        for one in outliers(run, most=most)
    ]


def _place(setting: Setting) -> dict[str, Any]:
    return {
        "engine": setting.side or None,
        "prompt": setting.prompt_tokens,
        "answer": setting.output_tokens,
        "at once": setting.concurrency,
        "cached": setting.cached,
    }


def _varied(rows: Rows, name: str) -> Rows:
    """Without a column whose values are all the same."""
    if len({row[name] for row in rows}) > 1:
        return rows
    return [{key: value for key, value in row.items() if key != name} for row in rows]


def _said(rows: Rows) -> Rows:
    """Without the columns that say nothing anywhere."""
    said = [name for name in (rows[0] if rows else {}) if any(r[name] is not None for r in rows)]
    return [{name: row[name] for name in said} for row in rows]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
