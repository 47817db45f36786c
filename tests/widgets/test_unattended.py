"""Parts in notebooks that nobody watches, as nbclient, papermill and nbval run them.

The cell finishes when the work has, and the saved notebook and its HTML have the final text.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

CELLS = (
    """
import workbench as wb
from workbench.engines.scripted import ScriptedEngine
from workbench.session import Session
from workbench_widgets import Compare, Desk, ModelCard, SweepGrid, Workbench, Xray
class Slow(Desk):
    def session(self, spec):
        text = lambda _: "word " * 12 + "the last of it <b>"
        return Session(lambda: ScriptedEngine.answering(text, pace=1))
desk = Slow()
plan = wb.sweep([wb.Problem("a", "2+2?", "4")], temperature=[0, 1.5])
""",
    "c = Compare('Go on.', desk=desk)\nc",
    "c.ask()",
    "c",
    "SweepGrid(plan, desk=desk).start()",
    "Xray(c.sides[0].snapshot())",
    "ModelCard(desk)",
    "Workbench('What next?')",
    "# NBVAL_CHECK_OUTPUT\nprint(c.sides[0].snapshot().answer)",
)
SAID = (  # by the cells behind the first: what stands in the saved notebook
    "the last of it &lt;b&gt;",
    "the last of it &lt;b&gt;",
    "the last of it &lt;b&gt;",
    ">1.5<",
    "the last of it &lt;b&gt;",
    "Models here: demo",
    "The live workbench.",
)


SHORT = (0, 1, 2, 8)  # cells that are enough where only the way of running differs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unattended")


def notebook(cells: Iterable[str]) -> Any:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    return book


@pytest.fixture(scope="module")
def executed(folder: Path) -> Any:
    """The notebook as nbclient leaves it."""
    book = notebook(CELLS)
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return book


def check(book: Any, said: Sequence[str]) -> None:
    for cell, words in zip(book.cells[1:], said, strict=False):
        (output,) = cell.outputs
        assert words in output.data["text/html"], cell.source
        assert "application/vnd.jupyter.widget-view+json" not in output.data
    assert book.cells[-1].outputs[0].text.strip().endswith("the last of it <b>")


def test_nbclient_saves_the_final_text(executed: Any) -> None:
    check(executed, SAID)


def test_papermill_and_nbval_find_the_same_text(folder: Path) -> None:
    nbformat.write(notebook(CELLS[i] for i in SHORT), folder / "short.ipynb")
    given: Any = {"cwd": folder, "progress_bar": False}
    made = papermill.execute_notebook(folder / "short.ipynb", folder / "made.ipynb", **given)
    check(made, SAID[:2])
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-cell-timeout=120"]
    command += ["-p", "no:cacheprovider", "-q", "made.ipynb"]
    found = subprocess.run(
        command, cwd=folder, env=os.environ, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout
    assert f"{len(SHORT)} passed" in found.stdout


class _Words(HTMLParser):
    """What a reader sees, and which elements there are."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_its_html_shows_the_final_text(executed: Any) -> None:
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(executed)
    words = _Words()
    words.feed(page)
    assert words.text.count("the last of it <b>") >= 9  # two arms, three times; x-ray; the print
    assert "Models here: demo" in words.text
