"""The facts about a machine that the checks judge."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from workbench.extension import Headers
from workbench.telemetry import Gpu


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found; ``None`` and empty: not there."""

    python: tuple[int, int, int]
    platform: str
    versions: Mapping[str, str] = field(default_factory=dict)  # of installed packages, by name
    requirements: Mapping[str, str] = field(default_factory=dict)  # of this project, e.g. ">=1,<2"
    torch_error: str | None = None  # why torch cannot be imported
    torch_cuda: str | None = None  # the CUDA that torch was built for
    torch_archs: tuple[str, ...] = ()  # what its kernels were compiled for: sm_80, compute_90 …
    torch_sees_gpu: bool = False
    torch_gpu: str | None = None  # the name of the one that it computes on
    torch_capability: tuple[int, int] | None = None  # of that one
    driver: str | None = None
    gpus: tuple[Gpu, ...] = ()
    cuda_home: Path | None = None
    nvcc: str | None = None  # its version
    headers: Headers = field(default_factory=Headers)
    compiler: str | None = None
    compiler_version: tuple[int, ...] = ()  # of GCC; empty: another compiler
    compiler_bound: tuple[int, ...] = ()  # the first GCC that this nvcc does not take
    ninja: str | None = None
    cores: int = 1
    memory: int = 2**34  # bytes that are free
    max_jobs: str | None = None  # compilers at once, as the user says
    extension: Path | None = None  # ExLlamaV2's
    extension_from: Literal["installed", "built"] = "built"  # with exllamav2, or here before
    extension_error: str | None = None  # why it cannot be loaded
    flash_error: str | None = None  # why flash-attn cannot be imported
    nvml: bool = False  # the driver can be asked through nvidia-ml-py
    sqlite: tuple[int, ...] = sqlite3.sqlite_version_info
    home: Path = Path(".runs")  # where runs are stored
    home_error: str | None = None  # why nothing can be written there
    free_disk: int = 0  # bytes

    @property
    def wsl(self) -> bool:
        """Linux inside Windows, which has the driver."""
        return "microsoft" in self.platform.lower()

    @property
    def capability(self) -> tuple[int, int] | None:
        """Of the GPU that computes; where torch sees none, of the best there is."""
        if self.torch_capability is not None:
            return self.torch_capability
        return max((gpu.capability for gpu in self.gpus), default=None)

    @property
    def builds(self) -> bool:
        """Whether the extension has still to be built."""
        return self.torch_sees_gpu and (self.extension is None or self.extension_error is not None)
