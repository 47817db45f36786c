"""Hostile texts through every part, in JupyterLab: wherever they come from, they are only text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Eventually = Callable[..., None]

STATUS = "(word) => document.querySelector('.wb-status')?.textContent.startsWith(word)"
MADE = """
from hostile import HOSTILE
import workbench as wb
from workbench.engines.scripted import ScriptedEngine
from workbench.records import EngineSpec
from workbench.session import Session
from workbench_widgets import Compare, Desk, ModelCard, SweepGrid, Workbench
short = [text for text in HOSTILE if 0 < len(text.strip()) < 1000]
class Told(Desk):
    def __init__(self, tell):
        super().__init__()
        self.tell = tell
    def session(self, spec):
        return Session(lambda: ScriptedEngine.answering(self.tell))
"""
FORBIDDEN = "img, script, svg, iframe, object, embed, form, video, style, link, base, meta"
ACTING = """() => [...document.querySelectorAll('.wb-part *')].flatMap((e) =>
    [...e.attributes].map((a) => `${a.name}=${a.value}`)).filter((a) =>
    /^on/.test(a) || /^(href|src|action)=(?!https?:)/.test(a))"""


def opened(lab: Any, code: str) -> None:
    (lab.folder / "hostile.py").write_text((Path(__file__).parent / "hostile.py").read_text())
    lab.open(MADE + code)
    lab.run(0)


def only_text(lab: Any) -> None:
    assert lab.page.locator(".wb-part").locator(FORBIDDEN).count() == 0
    assert lab.page.evaluate(ACTING) == []
    assert lab.page.evaluate("window.CANARY") is None


def test_compare_rendered_x_ray_and_a_branch(lab: Any, eventually: Eventually) -> None:
    """The other arm is one line without an end."""
    opened(
        lab,
        "every = '\\n\\n'.join(short)\n"
        "answers = {'on': '<think>\\n' + every + '\\n</think>\\n\\n' + every, 'off': HOSTILE[-1]}\n"
        "desk = Told(lambda r: answers[str(r.mode)])\n"
        "c = Compare(short[3], expected=short[4], desk=desk).ask()\nc",
    )
    eventually(STATUS, "Kept as run")
    page = lab.page
    texts = page.locator(".wb-answer").nth(1).evaluate("(e) => e.textContent.length")
    assert texts > 130_000  # what the context leaves of the long line
    page.get_by_role("button", name="Rendered").first.click()
    eventually("() => !document.querySelector('.wb-rendered').hidden")
    page.get_by_role("button", name="X-ray").first.click()
    eventually("() => document.querySelectorAll('.wb-tokens [data-token]').length > 100")
    only_text(lab)
    page.locator(".wb-tokens [data-token]", has_text="o").nth(3).click()
    page.get_by_role("button", name="Draw again from here").click()
    eventually("() => document.querySelectorAll('.wb-arm').length === 3")
    eventually(STATUS, "Kept as run")
    branch = page.locator(".wb-arm").nth(1)
    assert "onerror" in branch.locator(".wb-flow").first.evaluate("(e) => e.textContent")
    only_text(lab)


def test_the_sweep_grid_its_generations_and_the_history(lab: Any, eventually: Eventually) -> None:
    opened(
        lab,
        "asked = [wb.Problem(f'{i} {text}', text, text) for i, text in enumerate(short)]\n"
        "say = lambda r: r.messages[0].text + ' \\\\boxed{' + r.messages[0].text[:80] + '}'\n"
        "plan = wb.sweep(asked, temperature=[0, 1], top_p=[0.5, 1])\n"
        "w = Workbench(short[0], expected=short[1])\n"
        "w.sweep.desk = w.compare.desk = Told(say)\n"
        "w.sweep._take_plan(plan)\nw.sweep.start()\nw",
    )
    page = lab.page
    page.get_by_role("tab", name="Sweep").click()
    eventually(
        "() => document.querySelector('.wb-part [role=tabpanel]:not([hidden]) .wb-status')"
        "?.textContent.startsWith('Finished')"
    )
    page.locator(".wb-tile").first.click()
    eventually("() => document.querySelectorAll('.wb-members tbody tr').length >= 60")
    page.locator(".wb-members .wb-button").first.click()
    eventually("() => document.querySelectorAll('.wb-tokens [data-token]').length > 3")
    only_text(lab)
    page.get_by_role("tab", name="Compare").click()
    history = page.get_by_label("History").first
    history.focus()
    eventually("() => document.querySelector('.wb-history select').options.length > 1")
    history.select_option(index=1)
    eventually("() => document.querySelectorAll('.wb-arm').length === 3")
    assert page.get_by_label("Problem").locator("option").count() >= 60
    only_text(lab)


def test_the_model_card(lab: Any, eventually: Eventually) -> None:
    """As names of models, which come with their folders; and what is said of them."""
    opened(
        lab,
        "m = ModelCard(spec=EngineSpec(model=short[0]))\n"
        "for text in [*short, HOSTILE[-1]]:\n"
        "    for context in (text, ''):\n"
        "        wish = {'model': text, 'context': context, 'cache': 'q8', 'batch': 1}\n"
        "        m._heard(None, {'do': 'choose', **wish})\n"
        "m.load()\nm",
    )
    eventually("() => document.querySelector('.wb-trouble')?.innerText.includes('no model')")
    eventually("() => document.querySelectorAll('.wb-box p').length > 1")
    only_text(lab)
