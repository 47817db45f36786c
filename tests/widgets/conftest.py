"""A real JupyterLab in a real browser: one server for all tests, a page and a kernel a notebook."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from workbench_widgets.browser import Lab, chromium, jupyterlab
from workbench_widgets.browser import browser as opened_browser

from workbench.errors import WorkbenchError

LIGHT = "JupyterLab Light"
REQUIRED = os.environ.get("WORKBENCH_BROWSER_TESTS") == "required"


def missing(reason: str) -> None:
    """Skip, with the reason; fail where the tests must run."""
    if REQUIRED:
        pytest.fail(f"{reason}, and WORKBENCH_BROWSER_TESTS says that these tests must run")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    try:
        chromium()
    except WorkbenchError as error:
        missing(error.message)
    with opened_browser() as found:
        yield found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a JupyterLab, and the folder that it shows."""
    folder = tmp_path_factory.mktemp("lab")
    with jupyterlab(folder, tmp_path_factory.mktemp("config") / "own") as address:
        yield address, folder


@pytest.fixture(scope="session")
def kept_lab(browser: Any, server: tuple[str, Path]) -> Iterator[Lab]:
    """One page for all tests: JupyterLab and the model libraries are waited for once."""
    context = browser.new_context()
    yield Lab(context.new_page(), *server)
    context.close()


@pytest.fixture
def lab(kept_lab: Lab) -> Iterator[Lab]:
    """The page as it is at first: its size, its theme; no error in it when the test has ended."""
    page = kept_lab.page
    page.set_viewport_size({"width": 1300, "height": 1100})
    errors: list[str] = []

    def note(error: object) -> None:
        errors.append(str(error))

    page.on("pageerror", note)
    yield kept_lab
    page.remove_listener("pageerror", note)
    if page.evaluate("document.body.dataset.jpThemeName ?? ''") not in ("", LIGHT):
        kept_lab.theme(LIGHT)
    assert not [error for error in errors if "ResizeObserver" not in error]


@pytest.fixture
def eventually(lab: Lab) -> Callable[..., None]:
    def wait(condition: str, arg: Any = None, seconds: float = 90) -> None:
        lab.page.wait_for_function(condition, arg=arg, timeout=1000 * seconds)

    return wait
