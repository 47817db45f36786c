"""``workbench models convert``: a model to EXL2, followed; stopped, the same command goes on."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from workbench.cli import guard
from workbench.cli.models import show_info
from workbench.cli.output import console
from workbench.engines.conversion.job import Job, planned
from workbench.engines.conversion.progress import Step
from workbench.engines.conversion.running import convert as run

_EVERY = 30.0  # seconds between two lines of a log about the same pass


def convert(
    *,
    source: str,
    target: Path,
    bits: float,
    head_bits: int,
    work: Path | None,
    device: str | None,
    calibration: Path | None,
    as_json: bool,
) -> int | None:
    """Convert or go on, and say what came of it."""
    job = planned(
        source,
        target,
        bits=bits,
        head_bits=head_bits,
        work=work,
        device=device,
        calibration_file=calibration,
    )
    out = console(as_json)
    try:
        with _watched(out) as tell:
            info = run(job, tell)
    except KeyboardInterrupt:
        command = _again(source, job, calibration)
        return guard.stopped(f"Stopped. What was done is kept; this goes on with it: {command}")
    show_info(info, as_json=as_json)
    return None


@contextmanager
def _watched(out: Console) -> Iterator[Callable[[Step], None]]:
    """A bar in a terminal, a line now and then in a log."""
    if not out.is_terminal:
        yield _lines(out)
        return
    with Progress(BarColumn(), TextColumn("{task.description}"), console=out) as bar:
        task = bar.add_task("starting the converter", total=1.0)
        yield lambda step: bar.update(task, completed=step.done, description=str(step))


def _lines(out: Console) -> Callable[[Step], None]:
    name, told = "", 0.0

    def tell(step: Step) -> None:
        nonlocal name, told
        if step.name != name or time.monotonic() - told >= _EVERY:
            name, told = step.name, time.monotonic()
            out.print(str(step), style="dim", soft_wrap=True)

    return tell


def _again(source: str, job: Job, calibration: Path | None) -> str:
    parts = ["workbench", "models", "convert", source, str(job.target), "--bpw", f"{job.bits:g}"]
    parts += ["--head-bits", str(job.head_bits), "--work", str(job.work), "--device", job.device]
    parts += ["--calibration", str(calibration)] if calibration else []
    return shlex.join(parts)
