"""What lists of the store hold: runs and generations without their tokens."""

from __future__ import annotations

import os
import platform
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import psutil

from workbench import codec
from workbench.errors import InvalidInput
from workbench.records import Cell, End, EngineSpec, Failed, Finished, Plan, Problem, Request

Status = Literal["running", "finished", "failed", "interrupted", "unknown"]

RUNS = """
SELECT id, created, host, pid, status, summary, environment, plan,
    (SELECT count(*) FROM generations WHERE run = key),
    (SELECT count(*) FROM generations WHERE run = key AND finish IS NOT NULL)
FROM runs WHERE :key IS NULL OR key = :key ORDER BY created DESC, key DESC LIMIT :limit
"""
GENERATIONS = """
SELECT idx, specs.spec, cell, finish, metrics, flags
FROM generations JOIN specs ON specs.key = generations.spec
WHERE run = :run AND (:idx IS NULL OR idx = :idx) ORDER BY idx
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
    packed_plan: bytes = field(repr=False)

    @property
    def plan(self) -> Plan:
        """All that it set out to do, unpacked at every call.

        Raises:
            InvalidInput: The plan is damaged, or of a newer version.
        """
        return unpack_plan(self.packed_plan)


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
        status=status or _status(host, pid, created),
        environment=codec.loads(environment),
        packed_plan=plan,
    )


def generation_rows(found: Sequence[tuple[Any, ...]]) -> list[GenerationRow]:
    """The rows of ``GENERATIONS``; the specs they share are decoded once."""
    if not found:
        return []
    indices, specs, *texts = zip(*found, strict=True)
    known = {spec: codec.from_json(EngineSpec, codec.loads(spec)) for spec in set(specs)}
    cells, ends, metrics, flags = map(_decoded, texts)
    columns = (indices, specs, cells, ends, metrics, flags)
    return [
        GenerationRow(index, _cell(known[spec], cell), _end(end), numbers or {}, marks or {})
        for index, spec, cell, end, numbers, marks in zip(*columns, strict=True)
    ]


def pack_plan(plan: Plan) -> bytes:
    """A plan as deflated JSON: cells are so alike that little of them is left."""
    return zlib.compress(codec.dumps(codec.to_json(plan)).encode("ascii"))


def unpack_plan(packed: bytes) -> Plan:
    """What ``pack_plan`` packed."""
    try:
        text = zlib.decompress(packed).decode("ascii")
    except (zlib.error, ValueError) as error:
        raise InvalidInput(
            f"A stored plan is damaged: {error}.", remedy="Restore the store from a backup."
        ) from error
    return codec.from_json(Plan, codec.loads(text))


def owner() -> tuple[str, int]:
    """The host and the process that begin a run here."""
    return platform.node(), os.getpid()


def _decoded(column: Iterable[str | None]) -> list[Any]:
    """All values of a column in one go, which takes a third less time than one by one."""
    values: list[Any] = codec.loads(f"[{','.join(text or 'null' for text in column)}]")
    return values


def _cell(spec: EngineSpec, fields: Mapping[str, Any]) -> Cell:
    problem = fields["problem"]
    return Cell(
        spec=spec,
        request=codec.from_json(Request, fields["request"]),
        problem=None if problem is None else codec.from_json(Problem, problem),
        sample=fields["sample"],
    )


def _end(data: Any) -> End | None:
    event = None if data is None else codec.event_from_json(data)
    return event if isinstance(event, Finished | Failed) else None


def _status(host: str, pid: int, created: float) -> Status:
    if host != platform.node():
        return "unknown"
    try:
        process = psutil.Process(pid)
        # A younger process has only been given the same number.
        own = process.create_time() <= created + _CLOCK_STEP
        alive = own and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        alive = False
    return "running" if alive else "interrupted"
