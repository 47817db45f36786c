"""Several runs beside one another: pairs, differences, and what is shown of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

import workbench as wb
from workbench import pages
from workbench.cli import app
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import InvalidInput
from workbench.experiments.comparison import gaps, named, sides, together
from workbench.experiments.evidence import evidence
from workbench.pages.manifest import RUN_TYPE
from workbench.plots.beside import beside
from workbench.records import Problem
from workbench.report import together as page

PROBLEMS = tuple(Problem(f"p{n}", f"What is {n} + {n}?", str(2 * n)) for n in range(1, 6))


def answered(store: Path, right: int, length: int, **plan: Any) -> wb.Run:
    """A run in which the first problems are right, and answers are so long."""
    script = {
        (problem.prompt, mode): f"{'x' * length}\\boxed{{{problem.answer if n < right else 0}}}"
        for n, problem in enumerate(PROBLEMS)
        for mode in wb.Mode
    }
    with (
        wb.Session(lambda: ScriptedEngine.answering(script)) as session,
        wb.Store(store) as kept,
    ):
        return wb.execute(wb.compare(PROBLEMS, **plan), session=session, store=kept)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def runs(home: Path) -> tuple[wb.Run, wb.Run]:
    store = home / "runs.sqlite"
    first = answered(store, 1, 10, modes=["on", "off"])
    return first, answered(store, 3, 30, modes=["off", "on"], temperature=1.0)


@pytest.fixture(autouse=True)
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")


def test_one_frame_holds_every_generation(runs: tuple[wb.Run, wb.Run]) -> None:
    frame = together(runs)
    assert list(frame["run"].unique()) == [run.id for run in runs]
    assert len(frame) == 20
    parts = [frame[frame["run"] == run.id].reset_index(drop=True) for run in runs]
    for part, run in zip(parts, runs, strict=True):
        own = run.frame()
        pd.testing.assert_frame_equal(part[list(own.columns)], own, check_dtype=False)


def test_every_side_has_its_settings_and_its_values(runs: tuple[wb.Run, wb.Run]) -> None:
    found = sides(runs)
    assert [side.label for side in found] == [
        "A · on · temperature 0.6",
        "A · off · temperature 0",
        "B · off · temperature 1",
        "B · on · temperature 1",
    ]
    assert [side.accuracy.value for side in found if side.accuracy] == [0.2, 0.2, 0.6, 0.6]
    assert [side.generations for side in found] == [5] * 4
    tokens = [side.output_tokens.value for side in found if side.output_tokens]
    assert tokens[2] - tokens[1] == 20


def test_differences_are_paired_at_the_settings_that_are_the_same(
    runs: tuple[wb.Run, wb.Run],
) -> None:
    off, on = gaps(runs)
    assert (off.name, off.first) == ("B", "A")
    assert off.settings == {"mode": "off"}
    assert off.differing == {"temperature": (1, 0)}
    assert on.differing == {"temperature": (1, 0.6)}
    assert on.settings == {"mode": "on"}
    assert off.accuracy is not None
    assert off.accuracy.difference.value == pytest.approx(0.4)
    assert (off.accuracy.only_first, off.accuracy.only_second) == (2, 0)
    assert off.output_tokens is not None
    assert off.output_tokens.estimate.value == 20
    assert off.output_tokens.estimate.count == 5


def test_only_common_problems_count(runs: tuple[wb.Run, wb.Run], home: Path) -> None:
    """A problem of the same id with another prompt is another problem."""
    first, second = runs
    cells = [
        replace(cell, problem=replace(cell.problem, prompt="other"))
        if cell.problem and cell.problem.id in ("p1", "p2")
        else cell
        for cell in second.plan.cells
    ]
    other = replace(second, plan=replace(second.plan, cells=tuple(cells)))
    off, _ = gaps((first, other))
    assert off.output_tokens is not None
    assert off.output_tokens.estimate.count == 3
    none = [replace(cell, problem=None) for cell in second.plan.cells]
    assert gaps((first, replace(second, plan=replace(second.plan, cells=tuple(none))))) == ()


def test_settings_that_one_run_lacks_have_no_difference(
    runs: tuple[wb.Run, wb.Run], home: Path
) -> None:
    third = answered(home / "other.sqlite", 5, 1, modes=["off_prefilled"])
    assert gaps((runs[0], third)) == ()


def test_a_report_stands_for_its_run(runs: tuple[wb.Run, wb.Run]) -> None:
    first, second = runs
    told = gaps((first, evidence(second)))
    assert [(g.settings, g.accuracy, g.output_tokens) for g in told] == [
        (g.settings, g.accuracy, g.output_tokens) for g in gaps(runs)
    ]


def test_one_run_or_the_same_twice_are_refused(runs: tuple[wb.Run, wb.Run]) -> None:
    with pytest.raises(InvalidInput, match="nothing to compare"):
        sides(runs[:1])
    with pytest.raises(InvalidInput, match="named twice"):
        together((runs[0], runs[0]))
    many = [replace(runs[0], id=str(number)) for number in range(28)]
    assert [*named(many)][24:] == ["Y", "Z", "A2", "B2"]


def test_the_figure_leaves_out_what_was_not_graded(runs: tuple[wb.Run, wb.Run]) -> None:
    every = sides(runs)
    made = beside({s.label: (None, s.output_tokens, s.request_latency) for s in every})
    assert len(made.data) == 2
    assert list(made.layout.yaxis.ticktext) == [s.label for s in every]
    assert not beside({"A": (None, None, None)}).data


def test_the_page_is_text_and_needs_nothing(runs: tuple[wb.Run, wb.Run]) -> None:
    named = replace(runs[1].plan.cells[0].spec, model="<img src=x>")
    cells = tuple(replace(cell, spec=named) for cell in runs[1].plan.cells)
    text = page.page((runs[0], replace(runs[1], plan=replace(runs[1].plan, cells=cells))))
    assert "<img" not in text
    assert "&lt;img src=x&gt;" in text
    assert 'data-figure="0"' in text
    assert "40.0%" in text
    assert "The same as a notebook" not in text
    assert len(text) < 8_000_000


def test_the_verb_tells_runs_and_reports(
    runs: tuple[wb.Run, wb.Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = runs
    cell = new_code_cell("x")
    packed = pages.manifest(second).data[RUN_TYPE]
    cell.outputs = [new_output("display_data", data={RUN_TYPE: packed})]
    report, out = tmp_path / "their.ipynb", tmp_path / "new" / "page.html"
    nbformat.write(new_notebook(cells=[cell]), report)
    assert app.run(["runs", "compare", first.id, str(report), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "B · off · temperature 1" in shown
    assert "B − A" in shown
    assert "temperature 1, not 0" in shown
    assert "Runs side by side" in out.read_text(encoding="utf-8")
    assert app.run(["runs", "compare", first.id, second.id, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in told["runs"]] == [first.id, second.id]
    assert len(told["cells"]) == 4
    assert told["differences"][0]["accuracy"]["difference"]["value"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "there"], "There is no run 'nothing'"),
        (["no.html", "there"], "There is no file 'no.html'"),
        (["a", "--out", "x.png"], "cannot be kept in 'x.png'"),
    ],
)
def test_what_cannot_be_compared_is_told(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["runs", "compare", *arguments]) == 2
    assert said in capsys.readouterr().err
