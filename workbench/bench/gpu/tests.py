"""``pytest -m gpu`` in a process of its own, where the tests lie beside the package."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
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


_MARK = "mark.gpu"
_PATIENCE = 20.0  # seconds to write what is known, once pytest is asked to stop


def tests(bed: Bed) -> Iterator[tuple[str, Any]]:
    """How many passed, and which did not, as far as the tests are at hand."""
    bed.clear()  # they load models of their own
    yield from ran(_root(), bed.sizes.tests, bed.left).items()


def _root() -> Path:
    """The checkout: where the package lies, or where an installed one is used from."""
    package = Path(workbench.__file__).parents[1]
    places = (package, Path.cwd())
    return next((place for place in places if (place / "tests" / "engines").is_dir()), package)


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
    files = marked(root, where)
    if not files:
        raise EngineError("The tests are not beside the package.", remedy="Run it from a checkout.")
    with TemporaryDirectory() as kept:
        report = Path(kept) / "report.xml"
        said = _pytest(root, files, report, seconds)
        if not report.is_file():
            raise EngineError(f"pytest could not run: {said}", remedy="Run `pytest -m gpu`.")
        return read(report.read_text(encoding="utf-8"), cut_off="Interrupt" in said)


def marked(root: Path, where: str) -> list[str]:
    """The files that have tests for a GPU: others may need packages that are not here."""
    place = root / where
    files = sorted(place.rglob("test_*.py")) if place.is_dir() else [place]
    found = (file for file in files if file.is_file() and _MARK in file.read_text("utf-8"))
    return [str(file.relative_to(root)) for file in found]


def read(report: str, *, cut_off: bool = False) -> dict[str, Any]:
    """A JUnit report of pytest as counts and reasons.

    Args:
        report: Its text.
        cut_off: Whether pytest was stopped: it tells the test under way as one that passed.
    """
    cases = list(ElementTree.fromstring(report).iter("testcase"))  # noqa: S314  (pytest's own)
    failed = {_name(case): _why(case, "failure", "error") for case in cases if _is(case, "failed")}
    skipped = [_why(case, "skipped") for case in cases if _is(case, "skipped")]
    return {
        "passed": max(0, len(cases) - len(failed) - len(skipped) - cut_off),
        "cut_off": cut_off,
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


def _pytest(root: Path, files: Sequence[str], report: Path, seconds: float) -> str:
    """The end of what it says, or why there is none."""
    command = [sys.executable, "-m", "pytest", *_OPTIONS, f"--junitxml={report}", *files]
    process = subprocess.Popen(  # noqa: S603  (this interpreter, tests of ours)
        command,
        cwd=root,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = _said(process, max(1.0, seconds - _PATIENCE)).strip().splitlines()
    return " / ".join(lines[-4:]) if lines else f"it ended with {process.returncode}"


def _said(process: subprocess.Popen[str], seconds: float) -> str:
    """All that it says; asked to stop when its time is over, it still reports what it did."""
    for end, limit in ((signal.SIGINT, seconds), (signal.SIGKILL, _PATIENCE)):
        try:
            return process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            process.send_signal(end)
    return process.communicate()[0]
