"""Hostile texts in what needs no widget: tables, pages and a saved notebook, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nbconvert import HTMLExporter

from workbench.report import report

Eventually = Callable[..., None]

RUN = """
from hostile import HOSTILE
import workbench as wb
from workbench import pages
from workbench.engines.scripted import ScriptedEngine
from workbench.session import Session
asked = [text for text in HOSTILE if 0 < len(text.strip()) < 1000]
problems = [wb.Problem(f"{i} {text}", text, text) for i, text in enumerate(asked)]
def told(request):
    text = request.messages[0].text
    return "<think>\\n" + text + "\\n</think>\\n\\n" + text + " \\\\boxed{" + text[:60] + "}"
with Session(lambda: ScriptedEngine.answering(told)) as session:
    run = wb.execute(wb.compare(problems, modes=["on"]), session=session)
pairs = [(run.plan.cells[i], one) for i, one in sorted(run.generations.items())]
print(len(pairs))
"""
SHOWN = (
    "run.frame()",
    "from IPython.display import HTML, display\n"
    "display(HTML(pages.side_by_side(pairs).html))\n"
    "display(HTML(pages.answers(run).html))\n"
    "display(HTML(pages.cells_table(run).html))",
    "from workbench_widgets import Compare\n"
    "display(Compare.of(run).still().html and HTML(Compare.of(run).still().html))",
)


def test_tables_pages_and_the_saved_notebook_do_not_act(
    lab: Any, eventually: Eventually, tmp_path: Path
) -> None:
    (lab.folder / "hostile.py").write_text((Path(__file__).parent / "hostile.py").read_text())
    lab.open(RUN, *SHOWN, name="hostile")
    lab.run(0)
    assert int(lab.result(0)) >= 60
    for cell in range(1, 1 + len(SHOWN)):
        lab.run(cell)
        assert "Traceback" not in lab.result(cell)
    lab.page.wait_for_timeout(500)
    assert lab.page.evaluate("window.CANARY") is None
    lab.save()
    eventually("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    page, _ = HTMLExporter().from_filename(str(lab.folder / lab.name))
    assert unharmed(lab, page, tmp_path / "saved.html")
    lab.goto()
    eventually("() => document.querySelectorAll('.jp-OutputArea-output').length >= 3")
    lab.page.wait_for_timeout(500)
    assert lab.page.evaluate("window.CANARY") is None


def unharmed(lab: Any, page: str, path: Path) -> bool:
    """Whether nothing of a page acts, when it is opened, pointed at and gone through by keys."""
    path.write_text(page, encoding="utf-8")
    tab = lab.page.context.new_page()
    tab.route("http*://**", lambda route: route.abort())
    tab.goto(path.as_uri(), wait_until="domcontentloaded")
    tab.wait_for_timeout(500)
    tab.evaluate(
        """() => {
            for (const e of document.querySelectorAll('details')) e.open = true;
            for (const e of document.body.querySelectorAll('*'))
                for (const type of ['mouseover', 'focus', 'toggle', 'animationstart'])
                    e.dispatchEvent(new Event(type, { bubbles: true }));
        }"""
    )
    tab.wait_for_timeout(300)
    found = tab.evaluate("window.CANARY")
    tab.close()
    return found is None


def test_a_report_on_hostile_answers_does_not_act(lab: Any, tmp_path: Path) -> None:
    """The whole path: a stored run, the report's notebook, its page in the browser."""
    lab.open(RUN + "print(run.id)", name="hostile")
    lab.run(0)
    run = lab.result(0).split()[-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(lab.folder / "runs"))
        made = report("compare", {"run": run, "texts": "100"}, tmp_path)
    assert unharmed(lab, made.html.read_text("utf-8"), tmp_path / "report.html")


def test_the_canary_would_tell(lab: Any) -> None:
    """The same strings, where they are markup."""
    told = (Path(__file__).parent / "hostile.py").read_text()
    space: dict[str, Any] = {}
    exec(compile(told, "hostile.py", "exec"), space)
    page = lab.page.context.new_page()
    page.set_content("".join(text for text in space["HOSTILE"] if len(text) < 1000))
    page.wait_for_function("() => window.CANARY !== undefined", timeout=10_000)
    page.close()
