"""What a repeat needs to know: versions, machine, engine."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict
from importlib import metadata
from typing import Any

from workbench.records import EngineSpec

PACKAGES = (
    "nemotron-workbench",
    "exllamav2",
    "torch",
    "flash-attn",
    "transformers",
    "tokenizers",
    "numpy",
    "pandas",
    "plotly",
    "papermill",
    "jupyterlab",
)


def facts() -> dict[str, Any]:
    """Versions and machine, JSON-able; a package that is not installed is ``None``."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "packages": {name: _version(name) for name in PACKAGES},
        "gpu": gpu(),
    }


def engine_facts(spec: EngineSpec) -> dict[str, Any]:
    """A resolved specification, JSON-able."""
    return asdict(spec)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def gpu() -> dict[str, Any] | None:
    """Name, memory and CUDA of the first GPU; ``None`` without one, or before torch is loaded."""
    # While the engine's thread is importing torch, the module stands there half made.
    cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)
    if not hasattr(cuda, "get_device_properties") or not cuda.is_available():
        return None
    torch = sys.modules["torch"]
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
    }
