"""A real JupyterLab in a real browser: one server for all tests, a page and a kernel a notebook."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

REQUIRED = os.environ.get("WORKBENCH_BROWSER_TESTS") == "required"
SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}


def missing(reason: str) -> None:
    """Skip, with the reason; fail where the tests must run."""
    if REQUIRED:
        pytest.fail(f"{reason}, and WORKBENCH_BROWSER_TESTS says that these tests must run")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        missing("there is no Chromium here")
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a JupyterLab, and the folder that it shows."""
    folder = tmp_path_factory.mktemp("lab")
    config = tmp_path_factory.mktemp("config")
    (config / "labconfig").mkdir()
    (config / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(SETTINGS))
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port = own.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--port={port}", "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token="]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True"]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_DATA_DIR": str(config / "data"),
        "WORKBENCH_HOME": str(folder / "runs"),
        "IPYTHONDIR": str(config / "ipython"),
    }
    with (folder.parent / "lab.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api/status", process, folder.parent / "lab.log")
        yield address, folder
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start: {log.read_text()[-2000:]}")


class Lab:
    """One notebook in one page."""

    def __init__(self, page: Any, address: str, folder: Path) -> None:
        self.page = page
        self.address = address
        self.folder = folder
        self.name = ""

    def open(self, *cells: str, name: str = "test") -> None:
        """A notebook of these cells, its kernel ready."""
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        self.name = f"{name}-{time.time_ns()}.ipynb"
        nbformat.write(book, self.folder / self.name)
        self.goto()

    def goto(self) -> None:
        """The notebook in this page, as after a reload."""
        self.page.goto(f"{self.address}/lab/workspaces/{self.name[:-6]}/tree/{self.name}?reset")
        self.page.wait_for_selector(".jp-NotebookPanel", timeout=60_000)
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
            "?.status === 'idle'",
            timeout=60_000,
        )

    def run(self, cell: int) -> None:
        """Run a cell; returns at once."""
        self.page.evaluate(
            """async (index) => {
                const app = window.jupyterapp;
                const panel = app.shell.currentWidget;
                panel.content.activeCellIndex = index;
                app.commands.execute('notebook:run-cell');
            }""",
            cell,
        )

    def result(self, cell: int) -> str:
        """The text of a cell's outputs, once it has run."""
        self.page.wait_for_function(
            """(index) => {
                const cell = window.jupyterapp.shell.currentWidget.content.widgets[index];
                return cell.model.executionState === 'idle' && cell.model.executionCount !== null;
            }""",
            arg=cell,
            timeout=60_000,
        )
        return str(
            self.page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea").inner_text()
        )


@pytest.fixture
def lab(browser: Any, server: tuple[str, Path]) -> Iterator[Lab]:
    context = browser.new_context(viewport={"width": 1300, "height": 1100})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    found = Lab(page, *server)
    yield found
    context.close()
    assert not [error for error in errors if "ResizeObserver" not in error]


@pytest.fixture
def eventually(lab: Lab) -> Callable[..., None]:
    def wait(condition: str, arg: Any = None, seconds: float = 90) -> None:
        lab.page.wait_for_function(condition, arg=arg, timeout=1000 * seconds)

    return wait
