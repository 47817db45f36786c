"""What a stranger does: ``workbench lab``, run the one cell, ask, save, come back another day."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import WorkbenchError

KEPT = "() => document.querySelector('.wb-status')?.textContent.startsWith('Kept as run')"
PATIENCE = 60_000


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[str]:
    """The address that the command prints; everything of it lies in its own folder."""
    own = tmp_path / "own"
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(own),
        "JUPYTER_DATA_DIR": str(own / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
        "IPYTHONDIR": str(own / "ipython"),
    }
    start = "from workbench.cli import main; main()"
    command = [sys.executable, "-c", start, "lab", "there", "--no-browser"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield address(tmp_path / "log", process)
    finally:
        process.terminate()
        process.wait(30)


def address(log: Path, process: subprocess.Popen[bytes]) -> str:
    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:\d+/lab/tree/\S+\?token=\w+", log.read_text())
        if found:
            return found[0]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise WorkbenchError("JupyterLab did not start.", remedy=log.read_text()[-2000:])


def test_a_stranger_asks_and_finds_it_again_another_day(browser: Any, opened: str) -> None:
    context = browser.new_context(viewport={"width": 1300, "height": 1100})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(opened)
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    page.keyboard.press("Shift+Enter")
    page.get_by_role("tab", name="Compare").wait_for()
    tabs = page.locator(".wb-tabs").get_by_role("tab")
    assert tabs.all_inner_texts() == ["Compare", "Sweep", "Model"]
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function(KEPT)
    texts = page.locator(".wb-arm .wb-flow").all_text_contents()
    assert "73" in texts[1]
    assert page.locator(".wb-good").count() == 1
    page.keyboard.press("Control+s")
    page.wait_for_function("() => !document.querySelector('.lm-TabBar-tab.jp-mod-dirty')")
    stop_kernels(page, opened)
    page.goto(opened)
    page.wait_for_function("() => document.querySelectorAll('.wb-arm').length === 2")
    assert page.locator(".wb-arm .wb-flow").all_text_contents() == texts
    page.get_by_role("button", name="Run", exact=True).click()
    told = "() => document.querySelector('.wb-trouble')?.innerText.includes('kept')"
    page.wait_for_function(told)
    assert page.get_by_role("button", name="Stop").is_disabled()
    context.close()


def stop_kernels(page: Any, opened: str) -> None:
    """As when the server is stopped overnight."""
    page.evaluate(
        """async (address) => {
            const url = new URL(address);
            const headers = { Authorization: `token ${url.searchParams.get('token')}` };
            const sessions = await (await fetch('/api/sessions', { headers })).json();
            for (const { id } of sessions)
                await fetch(`/api/sessions/${id}`, { method: 'DELETE', headers });
        }""",
        opened,
    )
