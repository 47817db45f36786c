"""Compare in JupyterLab: what a person sees while arms answer, and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Eventually = Callable[..., None]

BEGIN = "from workbench_widgets import Compare\nc = Compare({prompt!r}, expected={right!r})\nc"
QUESTION = "What is 47 + 38 - 12?"
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


def test_a_hostile_prompt_and_answer_are_only_text(lab: Any, eventually: Eventually) -> None:
    hostile = '<img src=x onerror="window.CANARY=1"><script>window.CANARY=1</script>'
    lab.open(BEGIN.format(prompt=hostile, right=hostile))
    lab.run(0)
    lab.page.get_by_role("button", name="Run", exact=True).click()
    eventually(DONE)
    assert lab.page.evaluate("window.CANARY") is None
    assert lab.page.locator(".wb-part img, .wb-part script").count() == 0


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


def test_the_keyboard_is_enough(lab: Any, eventually: Eventually) -> None:
    lab.open(BEGIN.format(prompt="", right=""))
    lab.run(0)
    box = lab.page.get_by_label("Prompt")
    box.click()
    lab.page.keyboard.type(QUESTION + " dd a b")  # letters that are shortcuts of a notebook
    lab.page.keyboard.press("Control+Enter")
    eventually(DONE)
    assert lab.page.locator(".jp-CodeCell").count() == 1  # no cell was deleted or made
    assert box.input_value() == QUESTION + " dd a b"


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


def test_hostile_answers_are_only_text_in_every_view(lab: Any, eventually: Eventually) -> None:
    """Streamed, rendered and token by token; the other arm is one line without an end."""
    (lab.folder / "hostile.py").write_text((Path(__file__).parent / "hostile.py").read_text())
    lab.open(
        "from hostile import HOSTILE\n"
        "from workbench.engines.scripted import ScriptedEngine\n"
        "from workbench.session import Session\n"
        "from workbench_widgets import Compare, Desk\n"
        "short = '\\n\\n'.join(text for text in HOSTILE if len(text) < 1000)\n"
        "answers = {'on': '<think>\\n' + short + '\\n</think>\\n\\n' + short, 'off': HOSTILE[-1]}\n"
        "class Told(Desk):\n"
        "    def session(self, spec):\n"
        "        return Session(lambda: ScriptedEngine.answering(lambda r: answers[str(r.mode)]))\n"
        "c = Compare('Go on.', desk=Told())\nc.ask()"
    )
    lab.run(0)
    eventually(DONE)
    lab.page.get_by_role("button", name="Rendered").first.click()
    eventually("() => !document.querySelector('.wb-rendered').hidden")
    lab.page.get_by_role("button", name="X-ray").first.click()
    eventually("() => document.querySelectorAll('.wb-tokens [data-token]').length > 100")
    forbidden = "img, script, svg, iframe, object, embed, form, video, style, link, base, meta"
    assert lab.page.locator(".wb-part").locator(forbidden).count() == 0
    acting = """() => [...document.querySelectorAll('.wb-part *')].flatMap((e) =>
        [...e.attributes].map((a) => `${a.name}=${a.value}`)).filter((a) =>
        /^on/.test(a) || /^(href|src|action)=(?!https?:)/.test(a))"""
    assert lab.page.evaluate(acting) == []
    assert lab.page.evaluate("window.CANARY") is None
    texts = lab.page.locator(".wb-answer").nth(1).evaluate("(e) => e.textContent.length")
    assert texts > 130_000  # what the context leaves of the long line
