"""A real JupyterLab in a real browser, for tests, measurements and pictures."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from workbench.errors import WorkbenchError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SETTINGS = (("@jupyterlab/apputils-extension:notification", (("fetchNews", "false"),)),)
_TRIES = 600  # tenths of a second that the server may take to begin
_PATIENCE = 60_000  # milliseconds that a page may take to begin


def chromium() -> str:
    """The program.

    Raises:
        WorkbenchError: There is none, or playwright, which drives it, is missing.
    """
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise WorkbenchError(
            "There is no Chromium here.", remedy="Install it, e.g. apt-get install chromium."
        )
    return found


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, driven by playwright.

    Raises:
        WorkbenchError: One of the two is missing.
    """
    program = chromium()
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415  (only tests install it)
    except ImportError as error:
        raise WorkbenchError(
            "playwright is not installed.", remedy='pip install ".[test]" brings it.'
        ) from error
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def jupyterlab(folder: Path, own: Path) -> Iterator[str]:
    """The address of a JupyterLab that shows a folder.

    Args:
        folder: What it shows; runs are kept in ``folder/runs``.
        own: An empty folder for its settings and its log.

    Raises:
        WorkbenchError: It does not begin.
    """
    (own / "labconfig").mkdir(parents=True)
    settings = {plugin: dict(values) for plugin, values in _SETTINGS}
    (own / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(settings))
    port = _free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--port={port}", "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token="]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True"]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(own),
        "JUPYTER_DATA_DIR": str(own / "data"),
        "IPYTHONDIR": str(own / "ipython"),
        "WORKBENCH_HOME": str(folder / "runs"),
    }
    with (own / "lab.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/status", process, own / "lab.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(_TRIES):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=1):  # noqa: S310  (of this machine)
                return
        except OSError:
            time.sleep(0.1)
    raise WorkbenchError("JupyterLab did not start.", remedy=log.read_text()[-1000:])


class Lab:
    """One notebook in one page.

    Args:
        page: playwright's.
        address: Of the server.
        folder: That the server shows.
    """

    def __init__(self, page: Any, address: str, folder: Path) -> None:
        self.page = page
        self.address = address
        self.folder = folder
        self.name = ""

    def open(self, *cells: str, name: str = "test") -> None:
        """A notebook of these cells, its kernel ready.

        In a page that shows JupyterLab already the notebook takes the place of the one before,
        and its kernel, emptied: JupyterLab and the model libraries are waited for once.
        """
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        self.name = f"{name}-{time.time_ns()}.ipynb"
        nbformat.write(book, self.folder / self.name)
        if self.page.evaluate("() => Boolean(window.jupyterapp?.shell.currentWidget?.context)"):
            self.page.evaluate(_REPLACE, [self.name, _EMPTY])
            self._ready()
        else:
            self.goto()

    def goto(self) -> None:
        """The notebook in this page, as after a reload."""
        self.page.goto(f"{self.address}/lab/workspaces/{self.name[:-6]}/tree/{self.name}?reset")
        self._ready()

    def _ready(self) -> None:
        self.page.wait_for_selector(".jp-NotebookPanel", timeout=_PATIENCE)
        self.page.wait_for_function(_IDLE, arg=self.name, timeout=_PATIENCE)

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

    def save(self) -> None:
        """Write the notebook, its outputs included."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme, and wait until it is there."""
        self.page.evaluate(
            "(name) => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})",
            name,
        )
        self.page.wait_for_function(
            "(name) => document.body.dataset.jpThemeName === name", arg=name, timeout=_PATIENCE
        )
        self.page.wait_for_timeout(500)  # its style sheet

    def result(self, cell: int, seconds: float = 60) -> str:
        """The text of a cell's outputs, once it has run."""
        self.page.wait_for_function(
            """(index) => {
                const cell = window.jupyterapp.shell.currentWidget.content.widgets[index];
                return cell.model.executionState === 'idle' && cell.model.executionCount !== null;
            }""",
            arg=cell,
            timeout=1000 * seconds,
            polling=100,
        )
        outputs = self.page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea")
        return str(outputs.inner_text())


_IDLE = """(name) => {
    const panel = window.jupyterapp?.shell.currentWidget;
    return panel?.context?.path === name && panel.content.widgets.length > 0
        && panel.sessionContext.session?.kernel?.status === 'idle';
}"""

# What a kernel holds of the notebook before: views, names, threads that write.
_EMPTY = """
import ipywidgets as _i
_i.Widget.close_all()
get_ipython().run_line_magic("reset", "-f")
"""

_REPLACE = """async ([name, empty]) => {
    const app = window.jupyterapp;
    const panel = app.shell.currentWidget;
    const kernel = panel.sessionContext.session?.kernel;
    const lives = kernel && !kernel.isDisposed && kernel.status !== 'dead';
    if (lives) await kernel.requestExecute({ code: empty, silent: true }).done;
    await panel.context.save();
    panel.dispose();
    const with_ = lives ? { kernel: { id: kernel.id } } : {};
    await app.commands.execute('docmanager:open', { path: name, ...with_ });
}"""
