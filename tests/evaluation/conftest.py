"""Where the benchmarks' real files lie."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "math500": "math500.jsonl",
    "aime25": "aime25.jsonl",
    "gsm8k": "gsm8k_test.jsonl",
    "mtbench": "mt_bench_question.jsonl",
}


@pytest.fixture(scope="session")
def real() -> Callable[[str], Path]:
    """The file of a benchmark; tests that need one that is not here are skipped."""
    named = os.environ.get("WORKBENCH_BENCHMARK_DATA")
    near = [base / "shared" / "data" for base in (ROOT.parent, ROOT.parent.parent)]
    folders = [place for place in ([Path(named)] if named else near) if place.is_dir()]

    def find(name: str) -> Path:
        if not folders:
            pytest.skip("no benchmark data: name its folder in WORKBENCH_BENCHMARK_DATA")
        path = folders[0] / FILES[name]
        if not path.is_file():
            pytest.skip(f"{path.name} is not among the benchmark data")
        return path

    return find
