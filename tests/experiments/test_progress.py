"""The bar counts, closes itself, and does not flood a log."""

from __future__ import annotations

import io
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from workbench.engines.scripted import ScriptedEngine
from workbench.experiments import bar, compare, execute
from workbench.experiments.progress import Bar
from workbench.report.kernel import OwnKernel
from workbench.session import Session
from workbench.store import Store


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_says_how_far_the_run_is() -> None:
    out = Terminal()
    shown = Bar("sweep", out)
    for done in range(1, 4):
        shown(done, 3)
        time.sleep(0.12)
    text = out.getvalue()
    assert "sweep" in text
    assert "0/3" in text
    assert "2/3" in text
    assert "3/3" in text
    assert text.endswith("\n")
    assert shown._shown is None


def test_a_log_gets_its_begin_and_its_end_and_little_between() -> None:
    out = io.StringIO()
    shown = Bar(file=out)
    for done in range(1, 2001):
        shown(done, 2000)
    assert "2000/2000" in out.getvalue()
    assert out.getvalue().count("\r") <= 4


def test_a_resumed_run_is_timed_by_what_ends_from_now_on() -> None:
    out = Terminal()
    shown = Bar(file=out)
    shown(91, 100)
    assert shown._shown.initial == 90
    assert shown._shown.n == 91
    shown.close()
    shown.close()
    assert "91/100" in out.getvalue()


def test_another_run_gets_another_bar() -> None:
    out = Terminal()
    shown = Bar(file=out)
    for _ in range(2):
        shown(1, 2)
        shown(2, 2)
    assert out.getvalue().count("\n") == 2


def test_execute_feeds_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        Session(lambda: ScriptedEngine(lambda _: "\\boxed{2}")) as session,
        Store(tmp_path / "runs.sqlite") as store,
    ):
        execute(compare("1+1?"), session=session, store=store, progress=bar("compare"))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "compare" in printed.err
    assert "3/3" in printed.err


def test_a_saved_notebook_shows_where_it_ended() -> None:
    """The widget is gone from a file; the text that stands in for it must not say 0 of 3."""
    code = "from workbench.experiments import bar\nshow = bar('sweep')\n"
    code += "for done in (1, 2, 3): show(done, 3)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    client = NotebookClient(notebook, kernel_manager_class=OwnKernel)
    client.execute()
    (output,) = notebook.cells[0].outputs
    assert output.data["text/plain"].startswith("sweep: 100% 3/3")
