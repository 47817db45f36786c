"""Generations as text for people: thinking dimmed, side by side where there is room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench.experiments import Run
from workbench.printable import printable
from workbench.records import Channel, Failed, Generation, Plan

STYLES: Mapping[Channel, str] = MappingProxyType(
    {Channel.RAW: "", Channel.THINKING: "dim", Channel.ANSWER: "", Channel.MARKER: "dim"}
)
_GAP = 3


def title(plan: Plan, index: int) -> str:
    """Arm, problem and sample of a cell, in one line."""
    cell = plan.cells[index]
    parts = [str(cell.request.mode)]
    if len(plan.axes.get("problem", ())) > 1 and cell.problem is not None:
        parts.append(cell.problem.id)
    if cell.sample:
        parts.append(f"sample {cell.sample}")
    return " · ".join(parts)


def side_by_side(console: Console, run: Run) -> None:
    """Print the texts of a run in columns, one an arm: a row a problem and sample."""
    rows: dict[tuple[str, int], list[int]] = {}
    for index in sorted(run.generations):
        cell = run.plan.cells[index]
        rows.setdefault((cell.problem.id if cell.problem else "", cell.sample), []).append(index)
    for indices in rows.values():
        grid = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False, expand=True)
        for _ in indices:
            grid.add_column(ratio=1)
        grid.add_row(*(heading(title(run.plan, index)) for index in indices))
        grid.add_row(*(styled(run.generations[index]) for index in indices))
        console.print(grid, "")


def styled(generation: Generation) -> Text:
    """All that was generated but the white space around it, and the sentence of a failure."""
    text = Text(overflow="fold")
    for chunk in generation.chunks():
        said = printable(chunk.text)
        text.append(said if text else said.lstrip(), STYLES[chunk.channel])
    text.rstrip()
    end = generation.end
    if isinstance(end, Failed):
        text.append(("\n" if text else "") + printable(f"{end.error} {end.remedy}"), "red")
    return text


def sequential(console: Console, run: Run, indices: Iterable[int]) -> None:
    """Print texts below one another, each question above the first of its answers."""
    asked = ""
    for index in indices:
        generation = run.generations[index]
        question = generation.request.messages[-1].text
        if question != asked:
            console.print(Text(f"{printable(question)}\n", "italic"), soft_wrap=True)
        asked = question
        console.print(heading(title(run.plan, index)))
        console.print(styled(generation), soft_wrap=True)
        console.print()


def heading(name: str) -> Text:
    """What stands above a text."""
    return Text(f"── {printable(name)} ──", "bold")
