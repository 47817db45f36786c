"""``workbench bench gpu``: all that is to be measured on a GPU, into one record; or its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from workbench.bench.gpu import machine, record, running
from workbench.bench.gpu.bed import Job
from workbench.bench.gpu.readme import NOTHING, committed
from workbench.bench.gpu.sections import SECTIONS, chosen
from workbench.bench.gpu.sizes import FULL, REHEARSAL
from workbench.bench.gpu.tables import head, tables
from workbench.bench.gpu.work import Begun, Ended, Message, Value
from workbench.cli.output import console, print_json, table
from workbench.cli.ranges import names
from workbench.errors import EngineError
from workbench.store import home


def gpu(
    *,
    file: Path | None,
    show: bool,
    only: Sequence[str],
    skip: Sequence[str],
    minutes: float,
    models: Path | None,
    rehearse: bool,
    as_json: bool,
) -> int | None:
    """Measure and print, or only print; 1 where a section failed."""
    out = console(as_json)
    if show:
        _print(out, committed() if file is None else record.read(file), as_json)
        return None
    sections = chosen(names(only), names(skip))
    kept = models or home() / "bench" / ("rehearsal" if rehearse else "models")
    job = Job(_device(rehearse), REHEARSAL if rehearse else FULL, kept)
    written = _begun(file or _new(), job)
    if not only:
        sections = tuple(name for name in sections if name not in written.done())
    out.print(f"{written.path}: {', '.join(sections)}", style="dim")
    running.run(written, job, sections, seconds=60 * minutes, tell=lambda m: _tell(out, m))
    _print(out, written.document, as_json)
    return int(any(written.document["sections"][name]["status"] != "done" for name in sections))


def _device(rehearse: bool) -> str:
    if rehearse:
        return "cpu"
    if not torch.cuda.is_available():
        raise EngineError(
            "There is no CUDA GPU that torch can use.",
            remedy="`workbench doctor` says what is missing; `bench gpu --rehearse` runs on a CPU.",
        )
    return "cuda:0"


def _begun(path: Path, job: Job) -> record.Record:
    facts = machine.facts(job.device)
    call = {"command": machine.command(), "date": facts["date"], "commit": facts["commit"]}
    return record.begun(path, facts, asdict(job.sizes), call)


def _new() -> Path:
    return home() / "bench" / f"gpu-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"


def _tell(out: Console, message: Message) -> None:
    match message:
        case Begun():
            out.print(f"{message.section}: {SECTIONS[message.section].what}", style="bold")
        case Value():
            out.print(f"  {message.name}: {_short(message.value)}", style="dim")
        case Ended():
            why = f", {message.reason}" if message.reason else ""
            out.print(f"  {message.status} in {message.seconds:.1f} s{why}")


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(one)}" for name, one in value.items())
    return str(value)


def _print(out: Console, document: dict[str, Any] | None, as_json: bool) -> None:
    if document is None:
        out.print(NOTHING)
        if as_json:
            print_json(None)
        return
    for line in head(document):
        out.print(line, soft_wrap=True)
    for one in tables(document):
        out.print(f"\n{one.title}", style="bold")
        numbers = () if one.words else range(1, len(one.heads))
        out.print(table(one.heads, one.rows, right=numbers))
    if as_json:
        print_json(document)
