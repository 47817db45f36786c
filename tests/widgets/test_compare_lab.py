"""Compare in JupyterLab: what a person sees while arms answer, and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .looks import FOCUSED

Eventually = Callable[..., None]

BEGIN = "from workbench_widgets import Compare\nc = Compare({prompt!r}, expected={right!r})\nc"
QUESTION = "What is 47 + 38 - 12?"
DRAWN = "document.querySelector('.wb-strip').toDataURL()"
DONE = "() => document.querySelector('.wb-status')?.textContent.startsWith('Kept as run')"


def test_a_person_asks_and_sees_both_arms_to_the_end(lab: Any, eventually: Eventually) -> None:
    lab.open(BEGIN.format(prompt=QUESTION, right="73"), "print(c.tell()['arms'][0]['s'][1][1])")
    lab.run(0)
    page = lab.page
    page.get_by_role("button", name="Run", exact=True).click()
    eventually(DONE)
    arms = page.locator(".wb-arm")
    assert arms.count() == 2
    on, off = arms.nth(0), arms.nth(1)
    assert on.locator(".wb-good").inner_text().startswith("✓ correct")
    assert off.locator(".wb-bad").inner_text().startswith("✗ wrong")
    assert "faster" in off.locator(".wb-badges").inner_text()
    assert on.locator("summary").inner_text().startswith("Thinking · ")
    thinking = on.locator(".wb-thoughts").inner_text().strip()
    lab.run(1)
    assert lab.result(1).strip() == thinking


def test_a_reload_and_a_second_view_show_the_same(lab: Any, eventually: Eventually) -> None:
    lab.open(BEGIN.format(prompt=QUESTION, right="73") + ".ask()", "c")
    lab.run(0)
    eventually(DONE)
    lab.run(1)
    eventually("() => document.querySelectorAll('.wb-arm').length === 4")
    texts = lab.page.locator(".wb-arm .wb-answer").all_text_contents()
    assert texts[:2] == texts[2:]
    assert texts[0].strip()
    lab.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    lab.goto()
    eventually("() => document.querySelectorAll('.wb-arm').length === 4")
    eventually(DONE)
    assert lab.page.locator(".wb-arm .wb-answer").all_text_contents() == texts


def test_errors_are_told_under_the_part_with_their_remedy(lab: Any, eventually: Eventually) -> None:
    lab.open(BEGIN.format(prompt="", right=""))
    lab.run(0)
    lab.page.get_by_role("button", name="Run", exact=True).click()
    told = "() => document.querySelector('.wb-trouble')?.textContent.includes('prompt is empty')"
    eventually(told)
    assert "Write a question." in lab.page.locator(".wb-trouble").inner_text()
    eventually("() => !document.querySelector('.wb-primary').disabled")


def tab_to(lab: Any, name: str) -> None:
    """Tab until something of this name has the focus; whatever has it on the way is seen."""
    for _ in range(60):
        lab.page.keyboard.press("Tab")
        at = lab.page.evaluate(FOCUSED)
        if not at["inside"]:
            continue
        assert at["seen"], f"{at['name']} has the focus, and nobody sees it"
        assert at["name"], "what has the focus has a name"
        if at["name"].startswith(name):
            return
    raise AssertionError(f"Tab never comes to {name}")


def test_the_keyboard_is_enough(lab: Any, eventually: Eventually) -> None:
    """From the cell to the branch without a pointer; letters stay out of JupyterLab's way."""
    lab.open(BEGIN.format(prompt="", right=""))
    page, keys = lab.page, lab.page.keyboard
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:enter-command-mode')")
    keys.press("Shift+Enter")
    eventually("() => document.querySelectorAll('.wb-primary').length === 1")
    keys.press("Escape")  # out of the new cell below
    keys.press("ArrowUp")
    tab_to(lab, "Prompt")
    keys.type(QUESTION + " dd a b")
    tab_to(lab, "Run")
    cells = page.locator(".jp-CodeCell").count()
    for key in ("d", "d", "a", "b", "x", "m", "y", "0", "0", "Escape", "j", "k", "z"):
        keys.press(key)  # on a button: each is a shortcut of a notebook in command mode
    assert page.locator(".jp-CodeCell").count() == cells
    assert page.locator(".jp-MarkdownCell").count() == 0
    assert page.evaluate(FOCUSED)["name"] == "Run"
    keys.press("Enter")
    eventually(DONE)
    tab_to(lab, "Thinking")
    keys.press("Enter")
    assert page.locator(".wb-fold").first.get_attribute("open") is None
    keys.press("Enter")
    tab_to(lab, "X-ray")
    keys.press("Enter")
    eventually("() => document.querySelectorAll('.wb-tokens [data-token]').length > 20")
    tab_to(lab, "Tokens")
    for key in ("End", "Home", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowDown"):
        keys.press(key)
    eventually("() => document.querySelectorAll('.wb-alternatives .wb-button').length > 3")
    assert page.locator(".wb-chosen").get_attribute("data-token") == "10"
    tab_to(lab, "Branch here with")
    keys.press("Enter")
    eventually("() => document.querySelectorAll('.wb-arm').length === 3")
    eventually(DONE)
    tab_to_back(lab, "Close")
    keys.press("Enter")
    eventually("() => !document.querySelector('.wb-tokens')")
    assert page.locator(".jp-CodeCell").count() == cells
    assert page.get_by_label("Prompt").input_value() == QUESTION + " dd a b"


def tab_to_back(lab: Any, name: str) -> None:
    for _ in range(60):
        lab.page.keyboard.press("Shift+Tab")
        if lab.page.evaluate(FOCUSED)["name"] == name:
            return
    raise AssertionError(f"Shift+Tab never comes to {name}")


def test_the_x_ray_opens_below_and_goes_from_token_to_token(
    lab: Any, eventually: Eventually
) -> None:
    lab.open(BEGIN.format(prompt=QUESTION, right="73") + ".ask()")
    lab.run(0)
    eventually(DONE)
    lab.page.get_by_role("button", name="X-ray").first.click()
    eventually("() => document.querySelectorAll('.wb-tokens [data-token]').length > 20")
    tokens = lab.page.locator(".wb-tokens [data-token]")
    tokens.nth(5).click()
    eventually("() => document.querySelectorAll('.wb-alternatives li').length >= 5")
    assert "token 5" in lab.page.locator(".wb-below .wb-status").inner_text()
    lab.page.keyboard.press("ArrowRight")
    eventually("() => document.querySelector('.wb-chosen')?.dataset.token === '6'")
    before = lab.page.evaluate(DRAWN)
    lab.page.keyboard.press("ArrowRight")
    assert lab.page.evaluate(DRAWN) != before, "the strip shows where the token is"
    tokens.nth(12).hover()
    eventually("() => document.querySelector('.wb-facts').textContent.includes('12 · id')")
    lab.page.get_by_label("Colour", exact=True).select_option("logprob")
    assert "%" in lab.page.locator(".wb-legend").inner_text()


def test_stop_is_seen_at_once_and_keeps_what_came(lab: Any, eventually: Eventually) -> None:
    slow = (
        "import time\nfrom workbench.engines.scripted import ScriptedEngine\n"
        "from workbench.session import Session\n"
        "from workbench_widgets import Compare, Desk\n"
        "text = '<think>\\n' + 'word ' * 4000 + '</think>\\n\\nDone.'\n"
        "class Slow(Desk):\n"
        "    def session(self, spec):\n"
        "        return Session(lambda: ScriptedEngine.answering(lambda _: text, pace=1))\n"
        "c = Compare('Go on.', desk=Slow())\nc"
    )
    lab.open(slow)
    lab.run(0)
    lab.page.get_by_role("button", name="Run", exact=True).click()
    eventually("() => document.querySelector('.wb-thoughts')?.textContent.length > 200")
    waited = lab.page.evaluate(
        """async () => {
            const begin = performance.now();
            const buttons = [...document.querySelectorAll('.wb-button')];
            buttons.find((button) => button.textContent === 'Stop').click();
            while (document.querySelectorAll('.wb-bad').length < 2) {
                if (performance.now() - begin > 5000) return -1;
                await new Promise((next) => setTimeout(next, 10));
            }
            return performance.now() - begin;
        }"""
    )
    assert waited > 0, "both arms say that they were stopped"
    assert lab.page.locator(".wb-arm .wb-bad").first.inner_text() == "stopped"
    assert "word" in lab.page.locator(".wb-thoughts").first.inner_text()
