"""The browser's modules by their own tools: units in vitest, types by tsc."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import missing

WIDGETS = Path(__file__).resolve().parents[2] / "widgets"


@pytest.fixture(scope="session")
def tools() -> Path:
    """Node's packages, where ``npm ci`` has put them."""
    if shutil.which("node") is None:
        missing("there is no Node.js here")
    if not (WIDGETS / "node_modules").is_dir():
        missing("`npm ci --prefix widgets` has not been run")
    return WIDGETS


@pytest.mark.parametrize("script", ["check", "test"])
def test_modules_pass_their_own_tools(tools: Path, script: str) -> None:
    command = ["npm", "run", "--silent", script]
    found = subprocess.run(
        command, cwd=tools, capture_output=True, text=True, check=False, env=os.environ
    )
    assert found.returncode == 0, found.stdout + found.stderr
