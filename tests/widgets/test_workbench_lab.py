"""The live workbench in JupyterLab: tabs, branches, the sweep grid, the model card, long texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .looks import CONTRAST

Eventually = Callable[..., None]

KEPT = "() => document.querySelector('.wb-status')?.textContent.startsWith('Kept as run')"
SLOW = """
from workbench.engines.scripted import ScriptedEngine
from workbench.session import Session
from workbench_widgets import Compare, Desk
text = "<think>\\n" + "word " * 1500 + "</think>\\n\\nDone."
class Slow(Desk):
    def session(self, spec):
        settings = {"pace": 1, "token_seconds": 0.004}
        return Session(lambda: ScriptedEngine.answering(lambda _: text, **settings))
c = Compare("Go on.", desk=Slow()).ask()
c
"""
SWEEP = """
import workbench as wb
from workbench_widgets import SweepGrid
from workbench.evaluation.suites import suite
plan = wb.sweep(suite("arithmetic", 8), temperature=[0, 0.8], top_p=[0.5, 1.0], replicates=4)
g = SweepGrid(plan)
g
"""
EVERY = """
import workbench as wb
from IPython.display import display
from workbench.evaluation.suites import suite
from workbench_widgets import Compare, ModelCard, SweepGrid
c = Compare("What is 1 + 2?", expected="3").ask()
display(c, SweepGrid(wb.sweep(suite("arithmetic", 2), temperature=[0, 1])), ModelCard())
"""
STATUS = "(word) => document.querySelector('.wb-status')?.textContent.startsWith(word)"


def test_the_first_notebook_s_cell_shows_all_parts_in_tabs(
    lab: Any, eventually: Eventually
) -> None:
    lab.open("from workbench_widgets import Workbench\nWorkbench('What is 47 + 38 - 12?')")
    lab.run(0)
    page = lab.page
    page.get_by_role("tab", name="Compare").wait_for()
    tabs = page.locator(".wb-tabs").get_by_role("tab")
    assert tabs.all_inner_texts() == ["Compare", "Sweep", "Model"]
    page.get_by_role("button", name="Run", exact=True).click()
    eventually(KEPT)
    page.get_by_role("tab", name="Compare").focus()
    page.keyboard.press("ArrowLeft")
    assert page.get_by_role("tab", name="Model").get_attribute("aria-selected") == "true"
    eventually("() => document.querySelectorAll('.wb-model-choice').length >= 2")
    page.get_by_role("button", name="nemotron-nano-8b").click()
    eventually("() => document.body.innerText.includes('Memory on a GPU: nemotron-nano-8b')")
    assert "✗ does not fit" in page.locator(".wb-lacks").all_inner_texts()
    page.get_by_role("button", name="Load", exact=True).click()
    eventually(
        "() => [...document.querySelectorAll('.wb-trouble')]"
        ".some((e) => e.innerText.includes('not on this machine'))"
    )
    page.locator(".wb-model-choice").first.click()
    eventually("() => document.body.innerText.includes('Memory on a GPU: demo')")
    page.get_by_role("button", name="Load", exact=True).click()
    eventually(
        "() => [...document.querySelectorAll('.wb-status')]"
        ".some((e) => e.textContent === 'demo is loaded.')"
    )
    page.get_by_role("button", name="Unload").click()
    eventually(
        "() => [...document.querySelectorAll('.wb-status')]"
        ".some((e) => e.textContent === 'Nothing is loaded.')"
    )


def test_branches_open_beside_their_origin(lab: Any, eventually: Eventually) -> None:
    lab.open(
        "from workbench_widgets import Compare\n"
        "c = Compare('What is 47 + 38 - 12?', expected='73', modes=('on',)).ask()\nc",
        "print(c._sides[1].snapshot().ids[:6] == c._sides[0].snapshot().ids[:6],"
        " len(c._sides), len(c._sides[1].snapshot().thinking))",
    )
    lab.run(0)
    eventually(KEPT)
    page = lab.page
    page.get_by_role("button", name="X-ray").first.click()
    eventually("() => document.querySelectorAll('.wb-tokens [data-token]').length > 20")
    page.locator(".wb-tokens [data-token='6']").click()
    eventually("() => document.querySelectorAll('.wb-alternatives .wb-button').length > 3")
    page.locator(".wb-alternatives .wb-button").first.click()
    eventually("() => document.querySelectorAll('.wb-arm').length === 2")
    eventually(KEPT)
    branch = page.locator(".wb-arm").nth(1)
    assert "from token 6" in branch.inner_text()
    page.locator(".wb-tokens [data-token='20']").click()
    page.get_by_role("button", name="End the thinking here").click()
    eventually("() => document.querySelectorAll('.wb-arm').length === 3")
    eventually(KEPT)
    shut = page.locator(".wb-arm").nth(1)
    assert "ends the thinking there" in shut.inner_text()
    lab.run(1)
    same, count, thought = lab.result(1).split()
    assert (same, count) == ("True", "3")
    assert 0 < int(thought) < 100
    shut.get_by_role("button", name="Close").click()
    eventually("() => document.querySelectorAll('.wb-arm').length === 2")


def test_a_sweep_fills_in_pauses_goes_on_stops_and_resumes(
    lab: Any, eventually: Eventually
) -> None:
    lab.open(SWEEP, "print(g.run_id)", "SweepGrid.of(g.run_id)")
    lab.run(0)
    page = lab.page
    page.get_by_role("button", name="Start", exact=True).click()
    eventually("() => [...document.querySelectorAll('.wb-tile progress')].some((e) => e.value)")
    page.get_by_role("button", name="Pause").click()
    eventually(STATUS, "Paused")
    page.get_by_role("button", name="Go on").click()
    eventually(STATUS, "Running")
    page.get_by_role("button", name="Stop").click()
    eventually(STATUS, "Stopped, kept as run")
    page.get_by_role("button", name="Go on").click()
    eventually(STATUS, "Finished, kept as run")
    assert page.locator(".wb-tile").count() == 3  # greedy once, and two that draw
    assert page.locator(".wb-tile strong").first.inner_text().endswith("%")
    page.locator(".wb-tile").nth(1).click()
    eventually("() => document.querySelectorAll('.wb-members tbody tr').length === 32")
    page.locator(".wb-members .wb-button").first.click()
    eventually("() => document.querySelectorAll('.wb-tokens [data-token]').length > 10")
    lab.run(2)
    eventually("() => document.querySelectorAll('.wb-tile').length === 6")
    texts = page.locator(".wb-tile strong").all_inner_texts()
    assert texts[:3] == texts[3:]


def test_a_reload_in_mid_stream_goes_on_where_it_is(lab: Any, eventually: Eventually) -> None:
    lab.open(SLOW)
    lab.run(0)
    eventually("() => document.querySelector('.wb-thoughts')?.textContent.length > 100")
    lab.save()
    eventually("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    lab.goto()
    eventually("() => document.querySelector('.wb-thoughts')?.textContent.length > 200")
    assert lab.page.locator(".wb-status").inner_text() == "Answering …"
    tab = lab.page.context.new_page()
    other = type(lab)(tab, lab.address, lab.folder)
    other.name = lab.name
    other.goto()
    eventually(KEPT)
    tab.wait_for_function(KEPT, timeout=60_000)
    whole = ("word " * 1500).strip()
    for page in (lab.page, tab):
        texts = page.locator(".wb-thoughts").all_text_contents()
        assert [text.strip() for text in texts] == [whole, whole]


def test_a_kernel_that_ends_is_said(lab: Any, eventually: Eventually) -> None:
    lab.open(SLOW)
    lab.run(0)
    eventually("() => document.querySelector('.wb-thoughts')?.textContent.length > 100")
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    eventually("() => /kernel|session/.test(document.querySelector('.wb-trouble')?.innerText)")
    assert "kept" in lab.page.locator(".wb-trouble").inner_text()
    assert lab.page.get_by_role("button", name="Stop").is_disabled()


@pytest.mark.parametrize(
    "theme", ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"]
)
def test_texts_stand_out_in_every_theme(lab: Any, eventually: Eventually, theme: str) -> None:
    lab.open(EVERY)
    lab.theme(theme)
    lab.run(0)
    eventually(KEPT)
    eventually("() => !document.body.innerText.includes('Looking at this machine')")
    lab.page.get_by_role("button", name="X-ray").first.click()
    eventually("() => document.querySelectorAll('.wb-tokens [data-token]').length > 20")
    lab.page.locator(".wb-tokens [data-token='5']").click()
    eventually("() => document.querySelectorAll('.wb-alternatives li').length > 3")
    assert lab.page.evaluate(CONTRAST) == []


def test_a_narrow_window_stacks_the_arms(lab: Any, eventually: Eventually) -> None:
    lab.page.set_viewport_size({"width": 760, "height": 1000})
    lab.open("from workbench_widgets import Compare\nCompare('What is 1 + 2?').ask()")
    lab.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    lab.page.set_viewport_size({"width": 520, "height": 1000})
    lab.run(0)
    eventually(KEPT)
    boxes = [lab.page.locator(".wb-arm").nth(i).bounding_box() for i in (0, 1)]
    assert boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"]


def test_an_x_ray_of_32_000_tokens_is_fluent(lab: Any, eventually: Eventually) -> None:
    lab.open("from workbench_widgets.streams import Streams\nStreams(32_000, 400).xray()")
    lab.run(0)
    eventually("() => document.querySelectorAll('.wb-tokens [data-token]').length > 100")
    page = lab.page
    assert page.locator(".wb-tokens [data-token]").count() < 6_000  # only where somebody looks
    page.locator(".wb-tokens").focus()
    page.keyboard.press("End")
    eventually("() => document.querySelector('.wb-chosen')?.dataset.token === '31999'")
    assert "token 31999" in page.locator(".wb-status").inner_text()
    strip = page.locator(".wb-strip")
    band = 54  # the prefill's, before the first token
    middle = band + (strip.bounding_box()["width"] - band) / 2
    strip.click(position={"x": middle, "y": 20})
    eventually("() => Math.abs(document.querySelector('.wb-chosen')?.dataset.token - 16000) < 80")
    seen = """() => {
        const box = (name) => document.querySelector(name).getBoundingClientRect();
        const [a, b] = [box('.wb-tokens'), box('.wb-chosen')];
        return b.top >= a.top - 1 && b.bottom <= a.bottom + 1;
    }"""
    eventually(seen)
