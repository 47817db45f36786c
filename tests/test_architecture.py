"""The house is built as drawn: who may know whom, how large rooms are, what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "workbench"
WIDGETS = ROOT / "widgets" / "workbench_widgets"
FILES = sorted(PACKAGE.rglob("*.py")) + sorted(WIDGETS.rglob("*.py"))
LONGEST_FILE = 300
LONGEST_FUNCTION = 45  # lines, without the docstring; the habit is ten

# From the ground up. A room imports from its own row only itself, and from the rows before it.
ROWS: tuple[tuple[str, ...], ...] = (
    ("errors", "printable"),
    ("records",),
    ("thinking", "private", "telemetry"),
    ("codec", "chat", "sampling", "metrics", "counterfactual"),
    ("models", "store", "extension"),
    ("engines", "doctor"),
    ("stream",),
    ("session",),
    ("evaluation",),
    ("experiments", "plots"),
    ("interchange",),
    ("pages",),
    ("report",),
    ("bench",),
    ("cli",),
)
RANK = {room: rank for rank, row in enumerate(ROWS) for room in row}
HEAVY = ("torch", "transformers", "exllamav2", "pandas", "plotly", "ipywidgets", "numpy", "jinja2")


def module_name(path: Path) -> str:
    base = ROOT if PACKAGE in path.parents else ROOT / "widgets"
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "workbench" and len(parts) > 1 else None


def imports(tree: ast.AST) -> list[tuple[str, int]]:
    """Every module of ours that a file imports, with the line."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(name, node.lineno) for name in [node.module, *names]]
        elif isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
    return [(name, line) for name, line in found if name.split(".")[0] == "workbench"]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_room_imports_only_from_rows_before_it(path: Path) -> None:
    module = module_name(path)
    own = room_of(module)
    if own is None:
        return
    assert own in RANK, f"{own} stands in no row of the plan"
    for name, line in imports(ast.parse(path.read_text(encoding="utf-8"))):
        other = room_of(name)
        if other is None or other == own or not is_room(other):
            continue
        assert RANK[other] < RANK[own], f"{path.name}:{line} imports {name}"


def is_room(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def test_the_workbench_never_imports_its_widgets() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert "workbench_widgets" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                size = (body[-1].end_lineno or 0) - body[0].lineno + 1
                assert size <= LONGEST_FUNCTION, f"{node.name} has {size} lines"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_no_mutable_globals_and_no_work_at_import(path: Path) -> None:
    """Module level holds definitions and constants: no containers that change, no bare calls."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant) or guarded(node), ast.unparse(node)
        value = (
            getattr(node, "value", None) if isinstance(node, ast.Assign | ast.AnnAssign) else None
        )
        targets = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else ""
        if isinstance(value, ast.List | ast.Dict | ast.Set) and targets != "__all__":
            pytest.fail(f"{path.name}:{node.lineno} has a mutable global")


def guarded(node: ast.Expr) -> bool:
    """Registration of commands is what a decorator would do; it changes only the object at hand."""
    called = node.value
    return isinstance(called, ast.Call) and ast.unparse(called.func).endswith(".add_typer")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_of_our_own_stand_at_the_top(path: Path) -> None:
    """Inside functions they hide cycles; what must load late is named to importlib."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert not imports(node), f"{path.name}:{node.lineno} {node.name}"


def test_importing_the_workbench_loads_nothing_heavy() -> None:
    code = f"import sys, workbench; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.strip() == "[]"


def test_the_public_names_are_those_of_all_and_few() -> None:
    import workbench

    assert sorted(workbench.__all__) == [n for n in sorted(dir(workbench)) if not n.startswith("_")]
    assert len(workbench.__all__) <= 20
    for name in workbench.__all__:
        assert getattr(workbench, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = workbench.nothing_of_that_name  # type: ignore[attr-defined]


def test_nothing_else_stands_at_the_top() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, check=False, cwd=ROOT
    ).stdout.split("\n")
    top = {name.split("/")[0] for name in tracked if name}
    if not top:
        pytest.skip("not a git checkout")
    visible = {name for name in top if not name.startswith(".")}
    assert visible == {
        "LICENSE",
        "README.md",
        "environment.yml",
        "notebooks",
        "pyproject.toml",
        "tests",
        "widgets",
        "workbench",
    }
