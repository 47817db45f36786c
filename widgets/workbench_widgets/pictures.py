"""``python -m workbench_widgets.pictures FOLDER``: the README's pictures, taken anew."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workbench.errors import WorkbenchError
from workbench_widgets.browser import Lab, browser, jupyterlab

THEMES = (("light", "JupyterLab Light"), ("dark", "JupyterLab Dark"))
_WIDTH, _HEIGHT = 1180, 1900
_COMPARE = (
    "from workbench_widgets import Compare\nCompare('What is 23 * 4 - 58?', expected='34').ask()"
)
_DOUBTED = 38  # a token of its thinking that could well have been another one
_SWEEP = (
    "import workbench as wb\nfrom workbench.evaluation.suites import suite\n"
    "from workbench_widgets import SweepGrid\n"
    "plan = wb.sweep(suite('arithmetic', 12), temperature=[0.6, 1, 1.5, 2],"
    " top_p=[0.8, 0.95, 1.0], replicates=2)\n"
    "SweepGrid(plan).start()"
)


def take(folder: Path) -> list[Path]:
    """Compare with its x-ray, and a sweep, in light and in dark.

    Raises:
        WorkbenchError: There is no Chromium, or no playwright.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    for name, theme in THEMES:
        with _lab() as lab:
            lab.page.set_viewport_size({"width": _WIDTH, "height": _HEIGHT})
            taken.append(_compare(lab, theme, folder / f"compare-{name}.png"))
            taken.append(_sweep(lab, theme, folder / f"sweep-{name}.png"))
    return taken


@contextmanager
def _lab() -> Iterator[Lab]:
    with TemporaryDirectory() as kept, browser() as opened:
        shown = Path(kept) / "folder"
        shown.mkdir()
        with jupyterlab(shown, Path(kept) / "own") as address:
            yield Lab(opened.new_context(device_scale_factor=1).new_page(), address, shown)


def _compare(lab: Lab, theme: str, path: Path) -> Path:
    lab.open(_COMPARE, name="compare")
    _wide(lab)
    lab.theme(theme)
    lab.run(0)
    page = lab.page
    page.wait_for_function(_SAYS, arg="Kept as run")
    page.get_by_role("button", name="X-ray").first.click()
    page.locator(f".wb-tokens [data-token='{_DOUBTED}']").click()
    page.locator(".wb-alternatives .wb-button").first.wait_for()
    return _picture(page, path)


def _sweep(lab: Lab, theme: str, path: Path) -> Path:
    lab.open(_SWEEP, name="sweep")
    _wide(lab)
    lab.theme(theme)
    lab.run(0)
    page = lab.page
    page.wait_for_function(_SAYS, arg="Finished", timeout=180_000)
    page.locator(".wb-tile").nth(5).click()
    page.locator(".wb-members .wb-button").first.wait_for()
    return _picture(page, path)


def _wide(lab: Lab) -> None:
    lab.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")


def _picture(page: Any, path: Path) -> Path:
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)
    page.locator(".wb-part").first.screenshot(path=path)
    return path


_SAYS = "(word) => document.querySelector('.wb-status')?.textContent.startsWith(word)"

if __name__ == "__main__":
    try:
        for picture in take(Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")):
            print(picture)
    except WorkbenchError as error:
        sys.exit(f"{error.message} {error.remedy}")
