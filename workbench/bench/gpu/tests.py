"""``pytest -m gpu`` in a process of its own, where the tests lie beside the package."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import workbench
from workbench.bench.gpu.bed import Bed
from workbench.errors import EngineError

_OPTIONS = (  # those of pyproject.toml are for plugins that need not be here
    "-q",
    "-m",
    "gpu",
    "-o",
    "addopts=",
    "-p",
    "no:cacheprovider",
    "--import-mode=importlib",
)


def tests(bed: Bed) -> Iterator[tuple[str, Any]]:
    """How many passed, and which did not, as far as the tests are at hand."""
    root = Path(workbench.__file__).parents[1]
    bed.clear()  # they load models of their own
    yield from ran(root, bed.sizes.tests, bed.left).items()


def ran(root: Path, where: str, seconds: float) -> dict[str, Any]:
    """Run tests that need a GPU.

    Args:
        root: Of the checkout.
        where: Folder or file of tests in it.
        seconds: After which they are stopped.

    Returns:
        ``passed``, ``failed``, ``skipped``: counts; ``failures``: name -> why; ``skips``:
        reason -> count.

    Raises:
        EngineError: They are not here, or pytest could not run them.
    """
    if not (root / where).exists():
        raise EngineError("The tests are not beside the package.", remedy="Run it from a checkout.")
    with TemporaryDirectory() as kept:
        report = Path(kept) / "report.xml"
        said = _pytest(root, where, report, seconds)
        if not report.is_file():
            raise EngineError(f"pytest could not run: {said}", remedy="Run `pytest -m gpu`.")
        return read(report.read_text(encoding="utf-8"))


def read(report: str) -> dict[str, Any]:
    """A JUnit report of pytest as counts and reasons."""
    cases = list(ElementTree.fromstring(report).iter("testcase"))  # noqa: S314  (pytest's own)
    failed = {_name(case): _why(case, "failure", "error") for case in cases if _is(case, "failed")}
    skipped = [_why(case, "skipped") for case in cases if _is(case, "skipped")]
    return {
        "passed": len(cases) - len(failed) - len(skipped),
        "failed": len(failed),
        "skipped": len(skipped),
        "failures": failed,
        "skips": dict(Counter(skipped)),
    }


def _is(case: ElementTree.Element, what: str) -> bool:
    found = ("failure", "error") if what == "failed" else (what,)
    return any(case.find(name) is not None for name in found)


def _why(case: ElementTree.Element, *names: str) -> str:
    found = next(one for name in names if (one := case.find(name)) is not None)
    return (found.get("message") or "").split("\n")[0][:200]


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '')}::{case.get('name', '')}"


def _pytest(root: Path, where: str, report: Path, seconds: float) -> str:
    """Its last line, or why there is none."""
    command = [sys.executable, "-m", "pytest", *_OPTIONS, f"--junitxml={report}", where]
    try:
        done = subprocess.run(  # noqa: S603  (this interpreter, tests of ours)
            command,
            cwd=root,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=max(1.0, seconds),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it was stopped after {seconds:.0f} s"
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else f"it ended with {done.returncode}"
