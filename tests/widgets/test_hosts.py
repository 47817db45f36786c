"""Parts in pages that are not JupyterLab's: VS Code, Colab, no theme at all; motion, voices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from workbench_widgets import Compare, Desk, ModelCard, SweepGrid, Xray
from workbench_widgets.part import Part
from workbench_widgets.xray import columns_of

import workbench as wb
from workbench.engines.scripted import ScriptedEngine
from workbench.records import EngineSpec
from workbench.session import Session

from .looks import CONTRAST, MOVING, SPEAKING

HOSTS = {
    "VS Code, dark": (
        "--vscode-editor-background: #1f1f1f; --vscode-editor-foreground: #cccccc",
        "rgb(31, 31, 31)",
    ),
    "VS Code, high contrast": (
        "--vscode-editor-background: #000000; --vscode-editor-foreground: #ffffff",
        "rgb(0, 0, 0)",
    ),
    "Colab, dark": (
        "--colab-primary-surface-color: #383838; --colab-primary-text-color: #ffffff",
        "rgb(56, 56, 56)",
    ),
    "no theme, light": ("", "rgb(255, 255, 255)"),
    "no theme, dark": ("color-scheme: dark", "rgb(18, 18, 18)"),
}

SHOW = """async ([esm, css, told, columns]) => {
    const style = document.createElement('style');
    style.textContent = css;
    document.head.append(style);
    const kinds = { uint32: Uint32Array, float32: Float32Array, uint8: Uint8Array };
    const heard = {};
    const model = {
        get: () => told, on: (type, call) => (heard[type] = call), off: () => {},
        send: (wish) => {
            if (wish.do !== 'columns') return;
            const own = columns.map(([, kind, values]) =>
                new DataView(kinds[kind].from(values, (v) => v ?? NaN).buffer));
            const names = columns.map(([name, kind]) => [name, kind]);
            setTimeout(() => heard['msg:custom']({ k: 'columns', names }, own));
        },
    };
    const url = URL.createObjectURL(new Blob([esm], { type: 'text/javascript' }));
    const place = document.createElement('div');
    document.body.append(place);
    (await import(url)).default.render({ model, el: place, host: {} });
}"""


class Scripted(Desk):
    """Always the same answer."""

    def session(self, spec: EngineSpec) -> Session:
        text = "<think>\nso\n</think>\n\nThe answer is \\boxed{4}."
        return Session(lambda: ScriptedEngine.answering(lambda _: text))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Part]]:
    """One of each, with something in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        compare = Compare("2+2?", expected="5", desk=Scripted()).ask()
        compare.wait()
        plan = wb.sweep([wb.Problem("a", "2+2?", "4")], temperature=[0, 1], top_p=[0.5, 1])
        sweep = SweepGrid(plan, desk=Scripted()).start()
        sweep.wait()
        card = ModelCard()
        card._examine()
        yield [compare, Xray(compare.sides[0].snapshot()), sweep, card]


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 900, "height": 1200})
    yield context.new_page()
    context.close()


def show(page: Any, parts: list[Part], theme: str = "") -> None:
    page.set_content(f"<!doctype html><style>:root {{ {theme} }}</style>")
    for part in parts:
        columns = columns_of(part.generation) if isinstance(part, Xray) else {}
        sent = [[name, str(own.dtype), own.tolist()] for name, own in columns.items()]
        told = json.loads(json.dumps(part._whole()))
        clean = [[a, b, [None if v != v else v for v in c]] for a, b, c in sent]
        page.evaluate(SHOW, [part._esm, part._css, told, clean])
    page.wait_for_function("document.querySelectorAll('.wb-tokens [data-token]').length > 3")


def choose(page: Any, token: int) -> None:
    page.locator(".wb-tokens [data-token]").nth(token).click()


@pytest.mark.parametrize("host", HOSTS)
def test_texts_stand_out_on_the_ground_of_every_host(
    page: Any, parts: list[Part], host: str
) -> None:
    theme, ground = HOSTS[host]
    show(page, parts, theme)
    choose(page, 2)
    own = page.evaluate("getComputedStyle(document.querySelector('.wb-part')).backgroundColor")
    assert own == ground
    assert page.evaluate(CONTRAST) == []


def test_nothing_moves_where_a_reader_wants_none(page: Any, parts: list[Part]) -> None:
    page.emulate_media(reduced_motion="reduce")
    show(page, parts)
    page.add_style_tag(content=".wb-part * { transition: color 1s; animation: wb 1s }")
    page.add_style_tag(content=".wb-part * { scroll-behavior: smooth }")
    assert page.evaluate(MOVING) == 0, "not even by a theme's own rules"
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(MOVING) > 0


def test_colours_that_mean_something_stay_where_a_system_forces_its_own(
    page: Any, parts: list[Part]
) -> None:
    page.emulate_media(forced_colors="active")
    show(page, parts)
    colours = """(name) => new Set([...document.querySelectorAll(name)].map((e) =>
        getComputedStyle(e).backgroundColor)).size"""
    assert page.evaluate(colours, ".wb-legend li") > 1
    page.emulate_media(forced_colors="none")


def test_one_polite_line_speaks_for_a_view(page: Any, parts: list[Part]) -> None:
    compare, xray = parts[0], parts[1]
    show(page, [compare, xray])
    page.evaluate(
        """() => {
            const [outer, inner] = document.querySelectorAll('.wb-part');
            outer.append(inner);
        }"""
    )
    choose(page, 3)
    page.wait_for_function(f"({SPEAKING})().some((words) => words.includes('token 3'))")
    assert len(page.evaluate(SPEAKING)) == 1
    assert page.locator("[aria-live=assertive]").count() == 0
    assert page.locator("[role=log]").count() == 4
    logs = "() => [...document.querySelectorAll('[role=log]')].map((e) => e.ariaLive)"
    assert set(page.evaluate(logs)) == {"off"}, "hundreds of words a second are no speech"


def test_a_narrow_place_stacks_what_stands_side_by_side(page: Any, parts: list[Part]) -> None:
    page.set_viewport_size({"width": 390, "height": 1200})
    show(page, parts)
    for name in (".wb-arm", ".wb-xray > *", ".wb-box"):
        boxes = [one.bounding_box() for one in page.locator(name).all()]
        for above, below in pairwise(boxes):
            assert below["y"] >= above["y"] + above["height"], name
    wide = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(wide), "nothing sticks out to the side"
    page.set_viewport_size({"width": 900, "height": 1200})


def test_a_kernel_that_never_answers_is_said_in_every_part(page: Any, parts: list[Part]) -> None:
    """No endless spinner: what was running is shown as not running."""
    page.clock.install()
    page.set_content("<!doctype html>")
    for part in parts:
        told = json.loads(json.dumps(part._whole()))
        told |= {"status": "running"} if "status" in told else {}
        told |= {"loading": True} if "loading" in told else {}
        page.evaluate(SHOW, [part._esm, part._css, told, []])
    page.clock.run_for(1000)
    assert page.locator("progress:visible").count() > 0
    page.clock.run_for(10_000)
    said = page.locator(".wb-trouble").all_inner_texts()
    assert len(said) == len(parts)
    assert all("has not answered" in words and "kept" in words for words in said)
    stops = page.get_by_role("button", name="Stop")
    assert stops.evaluate_all("(all) => all.every((e) => e.disabled)")
    assert page.get_by_label("Loading").is_hidden()
