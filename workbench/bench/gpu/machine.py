"""What a record is of: the GPU, its driver, limits and clocks, versions, date and commit."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

import workbench
from workbench.experiments import environment

# What nvidia-smi is asked for, and the name with its unit here.
_ASKED: Mapping[str, str] = MappingProxyType(
    {
        "name": "gpu",
        "driver_version": "driver",
        "compute_cap": "capability",
        "memory.total": "memory_mib",
        "power.limit": "power_limit_watt",
        "clocks.max.sm": "clock_sm_most_mhz",
        "clocks.max.mem": "clock_memory_most_mhz",
        "clocks.sm": "clock_sm_mhz_before",
        "ecc.mode.current": "ecc",
        "persistence_mode": "persistence",
        "temperature.gpu": "temperature_c_before",
    }
)
_TEXT = ("gpu", "driver", "capability", "ecc", "persistence")


def facts(device: str) -> dict[str, Any]:
    """All that is known of this machine before anything is measured."""
    known = environment.facts()
    versions = known["packages"]
    return {
        "rehearsal": device == "cpu",
        "device": device,
        "date": now(),
        "workbench": workbench.__version__,
        "commit": commit(),
        "python": known["python"],
        "platform": platform.platform(),
        "processor": known["processor"],
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        **{name: versions[name] for name in ("exllamav2", "flash-attn", "transformers")},
        **({"gpu": None, "driver": None} if device == "cpu" else gpu()),
    }


def gpu() -> dict[str, Any]:
    """The first GPU as its driver describes it, or else torch; what neither tells is ``None``.

    torch is asked last: it opens a context on the card, whose memory would be counted.
    """
    told = parsed(tuple(_ASKED), _smi(*_ASKED))
    for field in () if told else _ASKED:  # a field that this driver does not know fails all
        told |= parsed((field,), _smi(field))
    if told.get("gpu"):
        return told
    known = environment.gpu() or {}
    return {"gpu": known.get("name"), "capability": known.get("compute_capability"), **told}


def parsed(fields: Sequence[str], line: str) -> dict[str, Any]:
    """A line of ``nvidia-smi --format=csv,noheader,nounits`` by our names.

    Args:
        fields: As it was asked for them.
        line: Its first; the driver's word for a field that the card has not becomes ``None``.
    """
    cells = [cell.strip() for cell in line.split(",")] if line else []
    if len(cells) != len(fields):
        return {}
    told = zip((_ASKED[field] for field in fields), cells, strict=True)
    return {name: cell if name in _TEXT else _number(cell) for name, cell in told}


def now() -> str:
    """The date and time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command() -> str:
    """The command line as it was given, without the folders of this machine."""
    return " ".join(["workbench", *(Path(word).name for word in sys.argv[1:])])


def commit() -> str | None:
    """The commit of the checkout that runs, ``+`` where files differ; ``None``: it is none."""
    root = Path(workbench.__file__).parents[1]
    name = _output("git", "-C", str(root), "rev-parse", "--short=12", "HEAD")
    if not name or not (root / "pyproject.toml").is_file():
        return None
    changed = _output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return f"{name}+" if changed else name


def _smi(*fields: str) -> str:
    query = f"--query-gpu={','.join(fields)}"
    lines = _output("nvidia-smi", query, "--format=csv,noheader,nounits").splitlines()
    return lines[0] if lines else ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # [N/A]
        return None


def _output(*words: str) -> str:
    """What a program prints; nothing if it is not there, fails or hangs."""
    try:
        done = subprocess.run(  # noqa: S603  (fixed programs, no shell)
            words, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
