"""Sections done one after the other in this process, told as messages."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workbench.bench.gpu.bed import Bed, OutOfTime, reason
from workbench.bench.gpu.record import Status
from workbench.bench.gpu.sections import SECTIONS
from workbench.errors import WorkbenchError

_LEAST = 5.0  # seconds of the call that must be left for a section to begin


@dataclass(frozen=True, slots=True)
class Begun:
    """A section begins."""

    section: str
    seconds: float  # that it has


@dataclass(frozen=True, slots=True)
class Value:
    """It gave one value."""

    section: str
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class Ended:
    """It is over."""

    section: str
    status: Status
    reason: str | None
    seconds: float
    dead: bool = False  # the GPU can no longer be used by this process


Message = Begun | Value | Ended


def work(names: Sequence[str], bed: Bed, seconds: float) -> Iterator[Message]:
    """Do sections, as far as the time goes; a section that fails takes no others along.

    Args:
        names: Of sections.
        bed: What they share.
        seconds: For all of them together.
    """
    end = time.monotonic() + seconds
    for name in names:
        left = end - time.monotonic()
        if left < _LEAST:
            yield Ended(name, "out of time", "the call's time was over before it began", 0.0)
            continue
        allowed = min(SECTIONS[name].seconds, left)
        yield Begun(name, allowed)
        bed.allow(allowed)
        ended: Ended | None = None
        for message in _section(name, bed):
            ended = message if isinstance(message, Ended) else None
            yield message
        if ended is not None and ended.dead:
            return


def _section(name: str, bed: Bed) -> Iterator[Message]:
    began = time.monotonic()
    status: Status = "done"
    why: str | None = None
    try:
        for label, value in SECTIONS[name].measure(bed):
            yield Value(name, label, value)
    except OutOfTime:
        status, why = "out of time", f"after {time.monotonic() - began:.0f} s"
    except WorkbenchError as error:
        status, why = "failed", str(error)
    except Exception as error:  # whatever a kernel, a driver or a library raises
        status, why = "failed", f"{reason(error)} ({_where(error)})"
    dead = status != "done" and not _usable(bed)
    yield Ended(name, status, why, time.monotonic() - began, dead)


def _where(error: Exception) -> str:
    """The innermost lines that it came through, the innermost first, without folders."""
    frames = reversed(traceback.extract_tb(error.__traceback__)[-4:])
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)


def _usable(bed: Bed) -> bool:
    """Whether the device still answers; what the section left open is closed."""
    try:
        bed.clear()
        if not bed.job.rehearsal:
            torch.cuda.synchronize()
    except Exception:  # an error of the device comes back from every later call
        return False
    return True
