"""An evaluation's result: pass@1 of each arm with its interval, what went wrong, tokens, price."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from workbench.cli.cells import plan_document
from workbench.cli.output import table
from workbench.evaluation.benchmarks import BENCHMARKS
from workbench.evaluation.statistics import Estimate
from workbench.experiments import Run
from workbench.experiments.grid import GridCell, grid_cells
from workbench.experiments.price import between, default_arms
from workbench.experiments.wording import counted, title
from workbench.pages.grid import head
from workbench.printable import one_line, printable
from workbench.records import Mode, Plan

_VALUE = 30  # characters of an axis's value
_RATING = "rating"  # the metric of a benchmark that a judge grades


def show(run: Run, out: Console) -> None:
    """The arms as a table, then the sentences: for people, so far as the run has come."""
    cells = grid_cells(run)
    out.print(scores_table(run, cells))
    out.print(f"\n{printable(' '.join(_sentences(run, cells)))}\n")


def scores_table(run: Run, cells: Sequence[GridCell]) -> Table:
    """A row an arm. Rates are of the generations that did not fail, tokens means over problems."""
    places = [axis for axis in _axes(cells) if len(run.plan.axes[axis]) > 1 or axis == "mode"]
    heads = [
        "pass@1",
        "rating",
        "card",
        "truncated",
        "unclosed",
        "leaked",
        "failed",
        "thinking",
        "answer",
    ]
    rows = [
        (
            *(one_line(str(cell.coordinates[axis]), _VALUE) for axis in places),
            _ended(cell),
            _share(cell.accuracy),
            f"{cell.rating.value:.2f}" if cell.rating else None,
            _card(published(run.plan, cell)),
            *(_rate(count, cell) for count in (cell.truncated, cell.incomplete)),
            None if cell.coordinates.get("mode") == Mode.ON else _rate(cell.leaked, cell),
            f"{cell.failed:,}" if cell.failed else None,
            *(_mean(tokens) for tokens in (cell.thinking_tokens, cell.answer_tokens)),
            f"{_total(cell):,}",
        )
        for cell in cells
    ]
    names = (*map(head, places), "ended", *heads, "tokens in all")
    told = [i for i in range(len(names)) if any(row[i] is not None for row in rows)]
    return table(
        [names[i] for i in told],
        [[row[i] for i in told] for row in rows],
        right=range(len(places), len(told)),
    )


def document(run: Run, path: str) -> dict[str, Any]:
    """An evaluation as one JSON document.

    A row an arm, as ``Run.cells`` has them, and besides ``published`` (the model card's
    figure), ``truncated_rate``, ``unclosed_rate``, ``leaked_rate`` (of 1; null where it has
    no meaning) and ``output_tokens_in_all``. ``accuracy`` is pass@1. What is undefined is null.

    Args:
        run: The run.
        path: The file that keeps it.
    """
    cells = grid_cells(run)
    return {
        "run": run.id,
        "status": run.status,
        "store": path,
        "benchmark": benchmark_of(run.plan),
        "plan": plan_document(run.plan),
        "arms": [_arm(run.plan, cell) for cell in cells],
        "price": _price(cells),
    }


def benchmark_of(plan: Plan) -> str | None:
    """What an evaluation is of; ``None``: it is another kind of plan."""
    found = plan.axes.get("benchmark", ())
    return str(found[0]) if found else None


def published(plan: Plan, cell: GridCell) -> float | None:
    """The model card's figure for the mode of a grid cell; ``None`` where it has none."""
    known = BENCHMARKS.get(benchmark_of(plan) or "")
    figures = (known.published if known else None) or {}
    mode = str(cell.coordinates.get("mode"))
    return next((value for one, value in figures.items() if one == mode), None)


def _arm(plan: Plan, cell: GridCell) -> dict[str, Any]:
    count = _graded(cell)
    off = cell.coordinates.get("mode") != Mode.ON
    rates = {"truncated": cell.truncated, "unclosed": cell.incomplete, "leaked": cell.leaked}
    return cell.row() | {
        "published": published(plan, cell),
        **{
            f"{name}_rate": n / count if count and (off or name != "leaked") else None
            for name, n in rates.items()
        },
        "output_tokens_in_all": _total(cell),
    }


def _price(cells: Sequence[GridCell]) -> dict[str, Any] | None:
    arms = default_arms(cells)
    found = between(*arms, cells) if arms else None
    if found is None:
        return None
    each, gain = found.tokens.each, found.gain.estimate
    return {
        "dear": found.dear,
        "cheap": found.cheap,
        "gain": gain.value,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "tokens_each": each.value if each else None,
        "tokens_each_low": each.low if each else None,
        "tokens_each_high": each.high if each else None,
        "words": str(found),
    }


def _sentences(run: Run, cells: Sequence[GridCell]) -> Iterator[str]:
    problems = len(run.plan.axes.get("problem", ()))
    if _metric(run.plan) == _RATING:
        yield "A judge rates these answers from 1 to 10, and nothing else does:"
        yield f"`workbench runs judge {run.id} --judge MODEL`."
        return
    yield f"pass@1 is the mean over {counted(problems, 'problem')}, each of the mean of its samples"
    yield "(95% interval over problems)."
    for cell in cells:
        if cell.accuracy is not None and cell.accuracy.count < problems:
            yield f"So far {title(cell, cells)} has {counted(cell.accuracy.count, 'problem')}."
    price = _price(cells)
    if price is not None:
        yield str(price["words"])


def _metric(plan: Plan) -> str | None:
    known = BENCHMARKS.get(benchmark_of(plan) or "")
    return known.metric if known else None


def _axes(cells: Sequence[GridCell]) -> list[str]:
    return list(cells[0].coordinates) if cells else []


def _graded(cell: GridCell) -> int:
    """Generations that say something about the model."""
    return len(cell.members) - cell.failed


def _total(cell: GridCell) -> int:
    return round(sum(row["output_tokens"] or 0 for row in cell.members))


def _ended(cell: GridCell) -> str:
    ended = len(cell.members)
    return f"{ended:,}" if ended == cell.planned else f"{ended:,} of {cell.planned:,}"


def _share(found: Estimate | None) -> str | None:
    if found is None:
        return None
    if found.low is None or found.high is None:
        return f"{found.value:.1%}"
    return f"{found.value:.1%} ({100 * found.low:.1f}–{100 * found.high:.1f}%)"


def _card(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:.1%}" if value <= 1 else f"{value:.1f}"


def _rate(count: int, cell: GridCell) -> str | None:
    graded = _graded(cell)
    if not graded:
        return None
    return f"{count / graded:.1%}" if count else "0"


def _mean(found: Estimate | None) -> str | None:
    return None if found is None else f"{found.value:,.0f}"
