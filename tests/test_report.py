"""Reports: a notebook run here, whatever is installed, and one page that needs nothing else."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from plotly.offline import get_plotlyjs

import workbench as wb
from workbench.errors import EngineError, InvalidInput, StoreError
from workbench.records import Finished
from workbench.report import (
    Parameter,
    Report,
    Step,
    attempt,
    names,
    page,
    parameters_of,
    report,
    reporting,
)
from workbench.report.following import Following
from workbench.report.notebooks import find

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
PARAMETERS = """
from typing import Optional

word: str = "none"  # any word
count: int = 2  # how many
share: Optional[float] = None  # or nothing
fine: bool = True  # yes or no
names: list[str] = ["a"]  # some names
"""
FIGURES = """
import plotly.graph_objects as go
go.Figure(go.Scatter(y=[1, 2, 3])).show()
go.Figure(go.Bar(y=["<b>", "</script>"])).show()
"""
TOLD = """
import os, sys
print(sys.executable, os.getcwd())
print(repr((word, count, share, fine, names)))
"""


RUNS = """
import workbench as wb
from workbench import pages
from workbench.engines.scripted import ScriptedEngine
ANSWERS = {("1+1?", wb.Mode.OFF): "2", ("=A1", wb.Mode.OFF): "=A1"}
def ask(count):
    plan = wb.compare(["1+1?", "=A1"][:count], modes=["off"])
    with wb.Session(lambda: ScriptedEngine.answering(ANSWERS)) as session:
        return wb.execute(plan, session=session)
"""


def notebook(path: Path, *sources: str) -> Path:
    """A notebook of the user's own: a heading, its parameters, its cells."""
    made = new_notebook(metadata={"kernelspec": KERNEL})
    made.cells = [
        new_markdown_cell("# A *small* report"),
        new_code_cell(PARAMETERS.strip(), metadata={"tags": ["parameters"]}),
        *(new_code_cell(source.strip()) for source in sources),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, path)
    return path


def outputs(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.get("text", "") for cell in cells for o in cell.get("outputs", []))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Run where the installed ``python3`` kernel is another's, in a folder with braces."""
    folder = tmp_path_factory.mktemp("small {x}")
    broken = folder / "kernels" / "python3"
    broken.mkdir(parents=True)
    spec = {"argv": ["/nowhere/python"], "display_name": "Other", "language": "python"}
    (broken / "kernel.json").write_text(json.dumps(spec))
    own = notebook(folder / "mine.ipynb", TOLD, FIGURES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.chdir(folder)
        given = {"word": 'a "quoted" \\ {brace}\n\ud800', "share": "0.5", "names": "b, c"}
        return report(str(own), given, folder / "out")


# --- running --------------------------------------------------------------------------------------


def test_the_running_interpreter_is_the_kernel(small: Report) -> None:
    told = outputs(small.notebook).splitlines()
    assert told[0].startswith(f"{sys.executable} {small.notebook.parents[1]}")


def test_parameters_arrive_as_their_types(small: Report) -> None:
    told = outputs(small.notebook).splitlines()[1]
    assert told == repr(('a "quoted" \\ {brace}\n\ufffd', 2, 0.5, True, ["b", "c"]))


def test_both_files_are_named_after_the_notebook_and_the_time(small: Report) -> None:
    assert re.fullmatch(r"mine-\d{8}-\d{6}\.ipynb", small.notebook.name)
    assert small.html == small.notebook.with_suffix(".html")
    assert small.run is None


def test_the_notebook_holds_figures_as_json_only(small: Report) -> None:
    kinds = [
        set(output["data"])
        for cell in nbformat.read(small.notebook, as_version=4).cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    assert kinds == [{"application/vnd.plotly.v1+json"}] * 2
    assert small.notebook.stat().st_size < 100_000


# --- the page -------------------------------------------------------------------------------------


class Loads(HTMLParser):
    """Everything that a page would fetch, and its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts: list[str] = []
        self.kinds: list[str] = []
        self.policy = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        for name in ("src", "href", "srcset", "data", "poster", "background"):
            if tag != "a" and name in found:
                self.fetched.append(f"{tag} {name}={found[name]}")
        if tag == "script":
            self.kinds.append(found.get("type") or "script")
        self._inside = tag == "script"
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts.append(data)


def test_the_page_loads_nothing_and_holds_plotly_once(small: Report) -> None:
    text = small.html.read_text(encoding="utf-8")
    found = Loads(text)
    assert found.fetched == []
    assert found.kinds == ["application/json", "application/json", "script", "script"]
    assert text.count(get_plotlyjs()) == 1
    assert len(text.encode()) < 8_000_000
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
    assert not re.search(r"url\(|@import", style)


def test_only_the_two_scripts_of_ours_may_run(small: Report) -> None:
    found = Loads(small.html.read_text(encoding="utf-8"))
    allowed = re.findall(r"'sha256-([^']+)'", found.policy)
    ours = [s for s, kind in zip(found.scripts, found.kinds, strict=True) if kind == "script"]
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in ours]
    assert allowed == hashes
    assert found.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in found.policy


def test_figures_come_back_from_the_page(small: Report) -> None:
    found = Loads(small.html.read_text(encoding="utf-8"))
    figures = [
        json.loads(s)
        for s, kind in zip(found.scripts, found.kinds, strict=True)
        if kind == "application/json"
    ]
    assert [figure["data"][0]["type"] for figure in figures] == ["scatter", "bar"]
    assert figures[1]["data"][0]["y"] == ["<b>", "</script>"]
    text = small.html.read_text(encoding="utf-8")
    assert [f'data-figure="{number}"' in text for number in range(3)] == [True, True, False]


def test_code_is_folded_and_the_title_is_the_heading(small: Report) -> None:
    text = small.html.read_text(encoding="utf-8")
    assert "<title>A *small* report</title>" in text
    assert text.count('<details class="code">') == 4
    assert "Parameters that were given" in text
    assert "<details open" not in text


def test_a_page_without_figures_has_no_script() -> None:
    made = new_notebook(cells=[new_markdown_cell("# <i>Words</i>")])
    found = Loads(page.html(made, "words.ipynb"))
    assert found.kinds == []
    assert "script-src 'none'" in found.policy


def test_what_could_run_is_left_out_of_the_page() -> None:
    cell = new_code_cell("show()")
    for data in (
        {"application/javascript": "CANARY()", "text/plain": "plain words"},
        {"text/markdown": "<script>CANARY()</script>", "text/plain": "in markdown"},
        {"image/svg+xml": "<svg onload=CANARY()>", "text/plain": "a picture"},
        {"text/latex": r"$\href{javascript:CANARY()}{x}$", "text/plain": "a formula"},
        {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "CANARY"},
    ):
        cell.outputs.append(nbformat.v4.new_output("display_data", data=data))
    made = new_notebook(cells=[cell], metadata={"widgets": {"state": "CANARY"}})
    text = page.html(made, "x.ipynb")
    assert "CANARY" not in text
    for words in ("plain words", "in markdown", "a picture", "a formula"):
        assert words in text
    assert len(cell.outputs) == 5


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_failing_cell_leaves_everything_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    fails = "run = ask(2)\nprint('so far')\n1 / 0  # <img src=x>"
    own = notebook(tmp_path / "bad.ipynb", RUNS, fails, "print('never')")
    made = attempt(str(own), {}, tmp_path / "out")
    assert "ZeroDivisionError: division by zero" in str(made.error)
    with pytest.raises(EngineError, match="ZeroDivisionError: division by zero") as caught:
        made.raise_for_failure()
    assert f"as far as it came is {made.html}" in caught.value.remedy
    text = made.html.read_text(encoding="utf-8")
    assert text.index("This report stopped before its end.") < text.index("so far")
    assert "ZeroDivisionError" in text
    assert "<img" not in text
    assert "An Exception was encountered" not in text  # papermill's own words
    assert "never" not in outputs(made.notebook)
    assert made.run == wb.Store(read_only=True).runs()[0].id
    assert made.csv is not None
    assert len(made.csv.read_text(encoding="utf-8").splitlines()) == 3


def test_a_kernel_that_dies_leaves_what_there_was(tmp_path: Path) -> None:
    own = notebook(tmp_path / "dies.ipynb", "print('so far')", "import os; os._exit(1)")
    with pytest.raises(EngineError, match="interpreter ended: Kernel died") as caught:
        report(str(own), {}, tmp_path / "out")
    html = next((tmp_path / "out").glob("*.html"))
    assert str(html) in caught.value.remedy
    assert "so far" in html.read_text(encoding="utf-8")


def test_two_reports_of_one_second_have_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = type("Clock", (), {"now": lambda _: datetime(2026, 1, 2, 3, 4, 5)})
    monkeypatch.setattr(reporting, "datetime", clock)
    assert [reporting._free(tmp_path, "quick").name for _ in range(2)] == [
        "quick-20260102-030405.ipynb",
        "quick-20260102-030405-2.ipynb",
    ]


def test_errors_of_ours_keep_their_kind(tmp_path: Path) -> None:
    source = "import workbench as wb\nwb.compare('?', temperature=-1)"
    own = notebook(tmp_path / "cold.ipynb", source)
    with pytest.raises(InvalidInput, match=r"temperature is -1") as caught:
        report(str(own), {}, tmp_path)
    assert "0 is greedy" in str(caught.value)
    assert ".html" in caught.value.remedy


def test_unknown_reports_and_parameters_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no report 'nothing'") as caught:
        report("nothing", {}, tmp_path / "out")
    assert "compare" in caught.value.remedy
    with pytest.raises(InvalidInput, match="no parameter 'promblems'") as caught:
        report("compare", {"promblems": "3"}, tmp_path / "out")
    assert "problems" in caught.value.remedy
    with pytest.raises(InvalidInput, match="no parameters 'a', 'b'"):
        report("compare", {"b": "3", "a": "1", "problems": "2"}, tmp_path / "out")
    with pytest.raises(InvalidInput, match="problems is 'three'; it must be int") as caught:
        report("compare", {"problems": "three"}, tmp_path / "out")
    assert "12" in caught.value.remedy
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../compare", "reports/compare", "", ".", "compare.ipynb"])
def test_names_are_names_and_not_paths(name: str) -> None:
    with pytest.raises(InvalidInput, match="no report"):
        find(name)


def test_a_folder_that_cannot_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match=r"cannot be written to .*file") as caught:
        report("compare", {}, blocked)
    assert "another folder" in caught.value.remedy


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, list[Step]]:
    """A report that runs something, and what was told while it did."""
    folder = tmp_path_factory.mktemp("ran")
    own = notebook(folder / "mine.ipynb", RUNS, "run = ask(2)", "pages.manifest(run)")
    steps: list[Step] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(folder / "home"))
        return report(str(own), {"count": 3}, folder / "out", steps.append), steps


def test_the_generations_lie_beside_it_as_a_table(ran: tuple[Report, list[Step]]) -> None:
    made, _ = ran
    assert made.csv is not None
    assert made.csv.name == f"{made.notebook.stem}.csv"
    rows = list(csv.DictReader(made.csv.open(encoding="utf-8", newline="")))
    assert [row["run"] for row in rows] == [made.run] * 2
    assert [row["finish_reason"] for row in rows] == ["stop", "stop"]
    assert rows[0]["answer"] == "2"
    assert made.cells_csv is None  # it is no sweep


def test_every_cell_is_told_as_it_begins(ran: tuple[Report, list[Step]]) -> None:
    _, steps = ran
    cells = list(dict.fromkeys((step.cell, step.cells) for step in steps))
    assert cells == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_seconds_of_cells_that_ask_are_told_apart(ran: tuple[Report, list[Step]]) -> None:
    made, _ = ran
    executed = nbformat.read(made.notebook, as_version=4).cells
    (asking,) = [cell for cell in executed if cell.source == "run = ask(2)"]
    assert made.model_seconds == pytest.approx(asking.metadata.papermill.duration)
    assert made.own_seconds > 0


def test_generations_are_told_with_the_time_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    plan = wb.compare(["1", "2", "3", "4"], modes=["off"])
    steps: list[Step] = []
    with wb.Store() as store, Following(7, steps.append) as following:
        following.pid = os.getpid
        following.cell()
        run = store.begin_run(plan, {})
        until(lambda: bool(steps) and steps[-1].planned == 4)
        assert str(steps[-1]) == "cell 1 of 7, 0 of 4 generations"
        for index in range(2):
            cell = plan.cells[index]
            recorder = store.begin_generation(run, index, cell)
            recorder.append(Finished(0.1, "stop"))
            one = wb.Generation(cell.request, cell.spec, (Finished(0.1, "stop"),))
            recorder.finish(one, {}, {})
        store.flush()
        until(lambda: steps[-1].done == 2)
        told = str(steps[-1])
        assert re.fullmatch(r"cell 1 of 7, 2 of 4 generations, about \d+ s left", told)
        assert [row.id for row in following.runs()] == [run]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ctrl_c_ends_the_cell_and_leaves_everything(tmp_path: Path) -> None:
    """As on a terminal, where the whole process group hears it."""
    hang = "run = ask(1)\nprint('begun', flush=True)\nimport time; time.sleep(300)"
    own = notebook(tmp_path / "long.ipynb", RUNS, hang, "print('never')")
    arguments = ["report", str(own), "--out", str(tmp_path / "out"), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench.cli", *arguments],
        env=os.environ | {"WORKBENCH_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        store = wb.Store(tmp_path / "runs.sqlite", read_only=True)
        until(lambda: bool(store.runs()) and store.runs()[0].status == "finished")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    told = json.loads(out)
    assert process.returncode == 130
    assert told["interrupted"] is True
    assert told["run"] == store.runs()[0].id
    assert f"kept as run {told['run']}" in err
    assert told["html"] in err
    text = Path(told["html"]).read_text(encoding="utf-8")
    assert "It was interrupted. What was generated is kept as run" in text
    assert "KeyboardInterrupt" not in text
    assert "never" not in outputs(Path(told["notebook"]))
    assert Path(told["csv"]).is_file()


# --- parameters -----------------------------------------------------------------------------------


def test_the_reports_there_are() -> None:
    assert "compare" in names()


@pytest.mark.parametrize("content", ["", "no JSON", "[]", "{}", '{"cells": 1}'])
def test_a_file_that_is_no_notebook_is_refused(content: str, tmp_path: Path) -> None:
    own = tmp_path / "odd.ipynb"
    own.write_text(content)
    with pytest.raises(InvalidInput, match="cannot be read as a Python notebook"):
        parameters_of(str(own))


def test_parameters_are_read_from_the_notebook(tmp_path: Path) -> None:
    own = notebook(tmp_path / "{odd} name.ipynb")
    found = parameters_of(str(own))
    assert list(found) == ["word", "count", "share", "fine", "names"]
    assert found["share"] == Parameter("share", "Optional[float]", "None", "or nothing")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("str", "12", "12"),
        ("str", "", ""),
        ("str", "\ud800x", "\ufffdx"),
        ("int", "12", 12),
        ("int", " -3 ", -3),
        ("float", "0.5", 0.5),
        ("bool", "True", True),
        ("bool", "0", False),
        ("bool", "no", False),
        ("list[str]", "on, off", ["on", "off"]),
        ("list[str]", '["on", "a,b"]', ["on", "a,b"]),
        ("list[str]", "", []),
        ("list", "on, off", ["on", "off"]),
        ("list[int]", "1, 2", [1, 2]),
        ("list[float]", "0,0.6,1", [0.0, 0.6, 1.0]),
        ("list[float]", "[0, 0.6]", [0.0, 0.6]),
        ("list[float]", "inf", [math.inf]),
        ("list[bool]", "true,no", [True, False]),
        ("list[Optional[int]]", "16,32,none", [16, 32, None]),
        ("list[Optional[int]]", "None", [None]),
        ("list[Optional[int]]", "[16, null]", [16, None]),
        ("Optional[list[float]]", "none", None),
        ("Optional[list[float]]", "1,2", [1.0, 2.0]),
        ("Optional[int]", "none", None),
        ("Optional[int]", "", None),
        ("Optional[float]", "1e-3", 0.001),
        ("Optional[str]", "cpu", "cpu"),
        ("Optional[str]", "null", None),
    ],
)
def test_strings_are_read_as_the_parameters_type(kind: str, text: str, value: object) -> None:
    read = Parameter("x", kind, "0", "help").parse(text)
    assert read == value
    assert type(read) is type(value)
    if isinstance(read, list) and isinstance(value, list):
        assert [type(item) for item in read] == [type(item) for item in value]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "1.5"),
        ("int", ""),
        ("float", "x"),
        ("bool", "maybe"),
        ("list", "[1, "),
        ("list", "["),
        ("list[float]", "0,warm"),
        ("list[float]", "[[0]]"),
        ("list[float]", "[null]"),
        ("list[int]", "1.5"),
        ("list[int]", "[true]"),
        ("list[Optional[int]]", "16,nothing"),
    ],
)
def test_what_cannot_be_read_is_refused(kind: str, text: str) -> None:
    with pytest.raises(InvalidInput, match="it must be") as caught:
        Parameter("x", kind, "0", "the help").parse(text)
    assert "The default is 0: the help." in caught.value.remedy


def test_values_of_programs_pass_as_they_are() -> None:
    assert Parameter("x", "int", "0", "").parse(3) == 3
    assert Parameter("x", "list", "0", "").parse(("on", "off")) == ["on", "off"]
    assert Parameter("x", "Optional[int]", "0", "").parse(None) is None
