"""The call: what becomes of sections that fail, hang, or end their process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from workbench.bench.gpu import record, running, sections, work
from workbench.bench.gpu.bed import Bed, Job, OutOfTime
from workbench.bench.gpu.sections import SECTIONS, Section, chosen
from workbench.bench.gpu.sizes import REHEARSAL
from workbench.bench.gpu.work import Begun, Ended, Value
from workbench.bench.gpu.worker import line, message
from workbench.errors import EngineError, InvalidInput

FACTS = {"rehearsal": True, "gpu": None}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job("cpu", REHEARSAL, tmp_path / "models")


@pytest.fixture
def written(tmp_path: Path) -> record.Record:
    return record.begun(tmp_path / "gpu.json", FACTS, {}, {})


def statuses(written: record.Record) -> dict[str, str]:
    kept = record.read(written.path)["sections"]
    return {name: one["status"] for name, one in kept.items()}


# --- in one process ------------------------------------------------------------------------------


def refused(bed: Bed) -> Iterator[tuple[str, Any]]:
    yield "first", 1
    raise EngineError("It is too large.", remedy="Take less.")


def broken(bed: Bed) -> Iterator[tuple[str, Any]]:
    yield "first", 2
    raise RuntimeError("CUDA error: unspecified launch failure\nmore")


def slow(bed: Bed) -> Iterator[tuple[str, Any]]:
    yield "first", 3
    raise OutOfTime


def good(bed: Bed) -> Iterator[tuple[str, Any]]:
    yield "first", 4


def test_a_section_that_fails_takes_no_others_along(
    monkeypatch: pytest.MonkeyPatch, job: Job, written: record.Record
) -> None:
    made = {one.__name__: Section("", 9, one) for one in (refused, broken, slow, good)}
    monkeypatch.setattr(work, "SECTIONS", made)
    running.run_here(written, job, list(made), seconds=60, tell=lambda told: None)
    kept = record.read(written.path)["sections"]
    assert [one["status"] for one in kept.values()] == ["failed", "failed", "out of time", "done"]
    assert [one["values"]["first"] for one in kept.values()] == [1, 2, 3, 4]
    assert kept["refused"]["reason"] == "It is too large. Take less."
    assert kept["broken"]["reason"].startswith("RuntimeError: CUDA error: unspecified launch f")
    assert "test_running.py:" in kept["broken"]["reason"]
    assert "/" not in kept["broken"]["reason"]


def test_a_call_without_time_begins_nothing(job: Job) -> None:
    with closing(Bed(job, lambda *asked: None)) as bed:
        told = list(work.work(["ceiling", "parity"], bed, 1.0))
    assert [one.section for one in told if isinstance(one, Ended)] == ["ceiling", "parity"]
    assert {one.status for one in told if isinstance(one, Ended)} == {"out of time"}
    assert len(told) == 2


# --- in a process of their own --------------------------------------------------------------------


def pretending(*lines: str) -> list[str]:
    """A worker that says the same whatever it is asked, then does what its last line is."""
    *said, last = lines
    code = "\n".join([f"print({one!r}, flush=True)" for one in said] + [last])
    return [sys.executable, "-c", f"import sys, time\n{code}"]


BEGUN = line(Begun("ceiling", 0.0))
DONE = line(Ended("ceiling", "done", None, 0.1))


def test_a_section_that_hangs_is_killed_and_the_next_process_goes_on(
    monkeypatch: pytest.MonkeyPatch, job: Job, written: record.Record
) -> None:
    monkeypatch.setattr(running, "_GRACE", 0.3)
    worker = pretending(BEGUN, line(Value("ceiling", "bytes", 7)), "time.sleep(60)")
    asked = iter([worker, pretending(line(Ended("parity", "done", None, 0.1)), "")])
    started = running._started
    monkeypatch.setattr(running, "_started", lambda _, text: started(next(asked), text))
    running.run(written, job, ["ceiling", "parity"], seconds=60, tell=lambda told: None)
    assert statuses(written) == {"ceiling": "out of time", "parity": "done"}
    kept = record.read(written.path)["sections"]["ceiling"]
    assert kept["values"] == {"bytes": 7}
    assert kept["reason"].startswith("stopped after")


def test_a_section_that_ends_its_process_has_failed(job: Job, written: record.Record) -> None:
    worker = pretending(BEGUN, "sys.stderr.write('words\\nillegal memory access\\n'); sys.exit(3)")
    running.run(written, job, ["ceiling"], seconds=60, tell=lambda told: None, worker=worker)
    kept = record.read(written.path)["sections"]["ceiling"]
    assert kept["status"] == "failed"
    assert kept["reason"] == "its process ended (3): illegal memory access"


def test_a_process_that_never_begins_ends_the_call(job: Job, written: record.Record) -> None:
    worker = pretending("raise SystemExit('no torch here')")
    names = ["ceiling", "parity"]
    running.run(written, job, names, seconds=60, tell=lambda told: None, worker=worker)
    kept = record.read(written.path)["sections"]
    assert [kept[name]["status"] for name in names] == ["failed", "failed"]
    assert kept["parity"]["reason"] == "its process ended (1): no torch here"


def test_a_real_process_does_a_section(job: Job, written: record.Record) -> None:
    told: list[Any] = []
    running.run(written, job, ["ceiling"], seconds=60, tell=told.append)
    assert isinstance(told[0], Begun)
    assert isinstance(told[-1], Ended)
    assert statuses(written) == {"ceiling": "done"}
    assert record.read(written.path)["sections"]["ceiling"]["values"]["bytes_per_second"] > 0


def test_messages_go_through_a_line() -> None:
    for one in (
        Begun("ceiling", 2.0),
        Value("ceiling", "x", {"a": [1, None]}),
        Ended("ceiling", "failed", "why", 1.0, True),
    ):
        assert message(line(one)) == one


# --- which ---------------------------------------------------------------------------------------


def test_sections_are_chosen_in_their_own_order() -> None:
    assert chosen([], []) == tuple(SECTIONS)
    assert chosen(["parity", "ceiling"], []) == ("ceiling", "parity")
    assert "parity" not in chosen([], ["parity"])
    with pytest.raises(InvalidInput, match="no section 'speed'"):
        chosen(["speed"], [])
    assert sections.SECTIONS is SECTIONS
