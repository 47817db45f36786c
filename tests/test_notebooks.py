"""The notebooks as they are committed, and the reports run; the others are nbval's to run."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from workbench.report import names, parameters_of, report

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
REPORTS = [path for path in NOTEBOOKS if path.parent.name == "reports"]


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def parameters_cell(path: Path) -> nbformat.NotebookNode:
    cells = [c for c in read(path).cells if "parameters" in c.metadata.get("tags", [])]
    assert len(cells) == 1
    return cells[0]


def test_there_is_a_notebook_to_begin_with_and_a_report() -> None:
    found = {path.relative_to(ROOT / "notebooks").as_posix() for path in NOTEBOOKS}
    assert {"1_compare.ipynb", "reports/compare.ipynb"} <= found
    assert set(names()) == {path.stem for path in REPORTS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_only_pinned_outputs_are_committed(path: Path) -> None:
    """A cell keeps its output where nbval compares it; what it keeps is plain text."""
    for cell in read(path).cells:
        if cell.cell_type != "code":
            continue
        pinned = "NBVAL_CHECK_OUTPUT" in cell.source
        assert bool(cell.outputs) == pinned, cell.source
        assert (cell.execution_count is not None) == pinned  # nbval compares only cells that ran
        assert all(output.output_type == "stream" for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_format_is_current_and_cells_are_short(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "title"}
    for cell in notebook.cells:
        assert len(cell.source.splitlines()) <= 22, cell.source
        if cell.cell_type == "code":
            compile(cell.source, path.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.name)
def test_parameters_are_typed_and_commented(path: Path) -> None:
    lines = parameters_cell(path).source.splitlines()
    body = [line for line in lines if line and not line.startswith("from ")]
    for line in body:
        node = ast.parse(line).body[0]
        assert isinstance(node, ast.AnnAssign), line
        assert node.value is not None
        assert "  # " in line, line


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.name)
def test_papermill_reads_the_parameters_as_they_are_written(path: Path) -> None:
    found = papermill.inspect_notebook(str(path))
    written = {
        node.target.id: (ast.unparse(node.annotation), ast.literal_eval(node.value))
        for node in ast.parse(parameters_cell(path).source).body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.value is not None
    }
    assert list(found) == list(written)
    for name, (kind, default) in written.items():
        assert found[name]["inferred_type_name"] == kind
        assert ast.literal_eval(found[name]["default"]) == default
        assert found[name]["help"]


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.name)
def test_defaults_written_as_text_are_read_back_as_the_default(path: Path) -> None:
    """What ``workbench report NAME -p key=value`` does with each default."""
    for name, parameter in parameters_of(path.stem).items():
        default = ast.literal_eval(parameter.default)
        text = json.dumps(default) if isinstance(default, list) else str(default)
        assert parameter.parse(text) == default, name


# --- the two ways to run a report -----------------------------------------------------------------


@pytest.fixture(scope="module")
def by_command(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """``workbench report compare``: the folder it ran in, and what it said."""
    folder = tmp_path_factory.mktemp("command")
    command = "report compare -p problems=2 -p modes=on,off --out reports --json"
    done = subprocess.run(
        [sys.executable, "-m", "workbench.cli", *command.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


def test_the_command_leaves_a_run_a_notebook_and_a_page(
    by_command: tuple[Path, dict[str, str]],
) -> None:
    folder, said = by_command
    notebook, page = (folder / said[kind] for kind in ("notebook", "html"))
    assert notebook.parent == page.parent == folder / "reports"
    assert (folder / ".runs" / "runs.sqlite").is_file()
    assert 4_000_000 < page.stat().st_size < 8_000_000
    assert notebook.stat().st_size < 500_000
    text = page.read_text(encoding="utf-8")
    assert said["run"] in text
    for words in ("On was right on", "inter-token latency", "weights, SHA-256", "Thinking ·"):
        assert words in text
    assert text.count('class="figure"') == 4


def test_plain_papermill_runs_the_same_notebook(
    by_command: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder, said = by_command
    out = tmp_path / "out.ipynb"
    report = ROOT / "notebooks" / "reports" / "compare.ipynb"
    options = ["-p", "run", said["run"], "--no-progress-bar", "--cwd", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "papermill", str(report), str(out), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours = read(folder / said["notebook"])

    def text(notebook: nbformat.NotebookNode) -> list[str]:
        cells = {cell.id: cell for cell in notebook.cells}
        shown = [cells[name].outputs[0].data for name in ("conclusion", "arms", "manifest")]
        return [data["text/plain"] for data in shown]

    assert text(read(out)) == text(ours)


# --- the other reports, as small as they show everything ------------------------------------------

SMALL = {
    "sweep": {"count": 3, "temperature": [0.0, 1.0], "top_p": [0.8, 1.0], "samples": 1},
    "latency": {
        "prompt_tokens": [64, 128],
        "output_tokens": [40],
        "concurrency": [1, 2],
        "requests": 2,
        "watching": 1,
    },
    "evaluation": {"limit": 6, "samples": 2},
}


@pytest.mark.parametrize("name", SMALL)
def test_a_report_runs_to_its_end(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {*SMALL, "compare"} == set(names())
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    made = report(name, SMALL[name], tmp_path / "out")
    cells = [cell for cell in read(made.notebook).cells if cell.cell_type == "code"]
    assert all(cell.metadata.papermill["status"] == "completed" for cell in cells)
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    text = made.html.read_text(encoding="utf-8")
    assert text.count('class="figure"') >= 2
    assert "weights, SHA-256" in text
