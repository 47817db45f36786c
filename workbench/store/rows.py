"""What lists of the store hold: runs and generations without their tokens."""

from __future__ import annotations

import os
import platform
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import psutil

from workbench import codec
from workbench.records import Cell, End, EngineSpec, Failed, Finished, Plan, Problem, Request
from workbench.store import facts
from workbench.store.database import intact

Status = Literal["running", "finished", "failed", "interrupted", "unknown"]

RUNS = """
SELECT id, created, host, pid, status, summary, environment, plan,
    (SELECT count(*) FROM generations WHERE run = key),
    (SELECT count(*) FROM generations WHERE run = key AND ended)
FROM runs WHERE :key IS NULL OR key = :key ORDER BY created DESC, key DESC LIMIT :limit
"""
GENERATIONS = """
SELECT idx, specs.spec, facts
FROM generations JOIN specs ON specs.key = generations.spec
WHERE run = :run AND idx > :after ORDER BY idx LIMIT :most
"""
_CLOCK_STEP = 2.0  # seconds by which a process may seem younger than the run it began


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run, without its generations."""

    id: str
    created: datetime  # UTC, the only wall-clock time of a run
    kind: str  # of its plan
    title: str  # its plan in one line
    planned: int  # generations that the plan has
    begun: int  # generations that have begun
    ended: int  # generations that have ended, however
    status: Status  # unknown: another machine began it, and it has not been finished
    environment: Mapping[str, Any]
    pid: int  # of the process that began it
    packed_plan: bytes = field(repr=False)

    @property
    def plan(self) -> Plan:
        """All that it set out to do, unpacked at every call.

        Raises:
            StoreError: The plan is damaged, or of a newer version.
        """
        with intact(f"The plan of run {self.id}"):
            text = zlib.decompress(self.packed_plan).decode("ascii")
            return codec.from_json(Plan, codec.loads(text))


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """A generation, without its tokens."""

    index: int  # of its cell in the plan
    cell: Cell
    end: End | None  # None: it has not ended
    metrics: Mapping[str, float | None]  # empty until it has ended
    flags: Mapping[str, bool]  # empty until it has ended

    @property
    def finish_reason(self) -> str | None:
        """``stop``, ``length``, ``cancelled``, ``failed``; ``None`` while it has not ended."""
        if isinstance(self.end, Finished):
            return self.end.reason
        return None if self.end is None else "failed"


def run_row(columns: tuple[Any, ...]) -> RunRow:
    """The row of ``RUNS``."""
    run, created, host, pid, status, summary, environment, plan, begun, ended = columns
    about = codec.loads(summary)
    return RunRow(
        id=run,
        created=datetime.fromtimestamp(created, UTC),
        kind=about["kind"],
        title=about["title"],
        planned=about["cells"],
        begun=begun,
        ended=ended,
        status=status or status_of(run, host, pid, taken_up(about, created)),
        environment=codec.loads(environment),
        pid=pid,
        packed_plan=plan,
    )


def generation_rows(found: Sequence[tuple[int, str, bytes]]) -> list[GenerationRow]:
    """The rows of ``GENERATIONS``; the specs they share are decoded once."""
    texts = {spec for _, spec, _ in found}
    specs = {text: codec.from_json(EngineSpec, codec.loads(text)) for text in texts}
    known = facts.unpack(packed for _, _, packed in found)
    return [
        GenerationRow(index, _cell(specs[spec], row), _end(row), row["metrics"], row["flags"])
        for (index, spec, _), row in zip(found, known, strict=True)
    ]


def pack_plan(plan: Plan) -> bytes:
    """A plan as deflated JSON: cells are so alike that little of them is left."""
    return zlib.compress(codec.dumps(codec.to_json(plan)).encode("ascii"))


def owner() -> tuple[str, int]:
    """The host and the process that begin a run here."""
    return platform.node(), os.getpid()


def _cell(spec: EngineSpec, row: Mapping[str, Any]) -> Cell:
    problem = row["problem"]
    return Cell(
        spec=spec,
        request=codec.from_json(Request, row["request"]),
        problem=None if problem is None else codec.from_json(Problem, problem),
        sample=row["sample"],
        concurrency=row.get("concurrency"),
        follows=row.get("follows"),
    )


def _end(row: Mapping[str, Any]) -> End | None:
    event = None if row["end"] is None else codec.event_from_json(row["end"])
    return event if isinstance(event, Finished | Failed) else None


def taken_up(summary: Mapping[str, Any], created: float) -> float:
    """When the process that owns a run began with it, Unix time: it may have been resumed."""
    return float(summary.get("reopened", created))


def status_of(run: str, host: str, pid: int, since: float) -> Status:
    """What has become of a run that was not finished.

    Args:
        run: Its id.
        host: The machine of the process that owns it.
        pid: That process.
        since: When it began with the run, Unix time.
    """
    if host != platform.node():
        return "unknown"
    try:
        process = psutil.Process(pid)
        # A younger process has only been given the same number.
        own = process.create_time() <= since + _CLOCK_STEP
        alive = own and process.status() != psutil.STATUS_ZOMBIE
        if pid == os.getpid():  # its store may be closed, on a disk that did not take the end
            alive = own and any(run in getattr(t, "open_runs", ()) for t in threading.enumerate())
    except psutil.Error:
        alive = False
    return "running" if alive else "interrupted"
