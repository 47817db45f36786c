"""``workbench lab``: JupyterLab on a notebook that shows the live workbench."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from workbench.cli.app import run
from workbench.report.notebooks import start

LEADS = "--LabApp.default_url=/lab/tree/0_start.ipynb"


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], Any]]:
    found: list[tuple[list[str], Any]] = []

    def call(command: list[str], env: Any) -> int:
        found.append((command, env))
        return 0

    monkeypatch.setattr("subprocess.call", call)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return found


def test_the_notebook_is_put_there_once_and_opened(called: list[Any], tmp_path: Path) -> None:
    assert run(["lab", "--port", "9000", "--no-browser"]) == 0
    ((command, environment),) = called
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert command[3:] == ["0_start.ipynb", LEADS, "--port=9000", "--no-browser"]
    assert (tmp_path / "0_start.ipynb").read_bytes() == start().read_bytes()
    first = Path(environment["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0])
    told = json.loads((first / "labconfig" / "default_setting_overrides.json").read_text())
    assert told == {"@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": True}}
    (tmp_path / "0_start.ipynb").write_text("mine")
    assert run(["lab"]) == 0
    assert (tmp_path / "0_start.ipynb").read_text() == "mine"


def test_root_of_a_container_gets_it_too(
    called: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert run(["lab"]) == 0
    assert called[0][0][3:] == ["0_start.ipynb", LEADS, "--allow-root"]


def test_another_folder_is_made_and_a_checkouts_own_notebook_is_taken(
    called: list[Any], tmp_path: Path
) -> None:
    assert run(["lab", "there"]) == 0
    assert (tmp_path / "there" / "0_start.ipynb").is_file()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "0_start.ipynb").write_text("own")
    assert run(["lab"]) == 0
    assert called[1][0][3] == str(Path("notebooks") / "0_start.ipynb")


def test_a_folder_that_cannot_be_written_is_told(
    called: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(["lab", "file/below"]) == 2
    assert not called
    said = capsys.readouterr().err
    assert "cannot be written" in said
    assert "Traceback" not in said


def test_the_notebook_shows_the_workbench_with_one_cell() -> None:
    cells = nbformat.read(start(), as_version=4).cells
    (code,) = [cell.source for cell in cells if cell.cell_type == "code"]
    assert code.splitlines()[-1].startswith("Workbench(")
