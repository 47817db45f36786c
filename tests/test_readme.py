"""What the README says is run: its code blocks, its links, its map of the house."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.cli.app import run

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALLING = "python3 -m venv"  # these two lines are what .ci/run runs


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and a terminal as wide as a reader's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code: str, elsewhere: None, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


COMMANDS = [
    line
    for block in blocks("bash")
    for line in block.splitlines()
    if line.strip() and INSTALLING not in line
]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_run(line: str, elsewhere: None, capfd: pytest.CaptureFixture[str]) -> None:
    """In this process: that ``workbench`` is there as a command is shown by ``test_cli``."""
    program, *arguments = shlex.split(line, comments=True)
    assert program == "workbench"
    assert run(arguments) == 0
    told = capfd.readouterr()
    assert told.out.strip()
    assert "Traceback" not in told.err


def test_there_are_two_installing_commands_of_one_line() -> None:
    marked = re.findall(r"<!-- run: (\w+) -->\n```bash\n(.*?)```", TEXT, flags=re.DOTALL)
    assert [name for name, _ in marked] == ["report", "tests"]
    assert all(code.strip().count("\n") == 0 and INSTALLING in code for _, code in marked)


def summary(file: Path) -> str:
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return doc.split("\n")[0].rstrip(".")


def rooms(folder: Path, depth: int) -> Iterator[str]:
    """A line for every file and package below a folder: its name and its docstring's first line."""
    for file in sorted(folder.glob("*.py")):
        if file.name != "__init__.py":
            yield f"{'  ' * depth}{file.name:<{26 - 2 * depth}} {summary(file)}"
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        yield f"{'  ' * depth}{inner.name + '/':<{26 - 2 * depth}} {summary(inner / '__init__.py')}"
        yield from rooms(inner, depth + 1)


def house() -> str:
    packages = (ROOT / "workbench", ROOT / "widgets" / "workbench_widgets")
    lines = []
    for package in packages:
        name = f"{package.relative_to(ROOT)}/"
        lines += [f"{name:<26} {summary(package / '__init__.py')}", *rooms(package, 1)]
    return "\n".join(lines)


def test_the_map_is_that_of_the_code() -> None:
    """`python tests/test_readme.py` prints it."""
    assert house() in TEXT


def test_pictures_and_local_links_exist() -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


if __name__ == "__main__":
    print(house())
