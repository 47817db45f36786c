from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from workbench.bench.gpu import machine, record, running
from workbench.bench.gpu.bed import Job
from workbench.bench.gpu.sections import SECTIONS
from workbench.bench.gpu.sizes import REHEARSAL
from workbench.bench.sides import threads


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of every section, done on this CPU with the embedded model."""
    folder = tmp_path_factory.mktemp("rehearsal")
    path = folder / "gpu.json"
    call = {"command": "workbench bench gpu --rehearse", "date": machine.now()}
    begun = record.begun(path, machine.facts("cpu"), asdict(REHEARSAL), call)
    job = Job("cpu", REHEARSAL, folder / "models")
    with threads(1):  # a second one only waits for its core
        running.run_here(begun, job, list(SECTIONS), seconds=600, tell=lambda message: None)
    return path


@pytest.fixture(scope="session")
def document(rehearsal: Path) -> dict[str, Any]:
    return record.read(rehearsal)
