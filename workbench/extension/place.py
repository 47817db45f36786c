"""Where a build of the extension is kept: a folder for one torch, CUDA, Python and GPU.

::

    ~/.cache/torch_extensions, or TORCH_EXTENSIONS_DIR
    └── workbench-exllamav2-0.3.2-cp312-torch2.11.0+cu130-sm9.0
        ├── exllamav2_ext/          as torch's builder makes it: objects, build.ninja, the library
        ├── building                locked by the process that builds
        ├── built                   written when the library has been loaded once: it is whole
        └── log.txt                 all that was said by the last build
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

NAME = "exllamav2_ext"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder for one build; the name of the extension in it.

    Nobody else builds in it, so what stands in the way of a build there may be removed.
    """

    folder: Path
    name: str = NAME

    @property
    def library(self) -> Path:
        return self.folder / self.name / f"{self.name}.so"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def built(self) -> bool:
        """Whether a whole library is there: one that a killed build left does not count."""
        return (self.folder / "built").is_file() and self.library.is_file()


def place_here(torch: Any, environ: Mapping[str, str] = os.environ) -> Place:
    """The place of this process's build.

    Args:
        torch: The module; its GPUs are asked for their compute capability.
        environ: Of the process that builds.
    """
    root = environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions"
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    parts = (
        "workbench-exllamav2",
        metadata.version("exllamav2"),
        python,
        f"torch{torch.__version__}",
        f"sm{architectures(torch, environ)}",
    )
    return Place(Path(root) / re.sub(r"[^\w.+-]", "_", "-".join(parts)))


def architectures(torch: Any, environ: Mapping[str, str] = os.environ) -> str:
    """What is compiled for: as the user says, else the GPUs that torch sees; e.g. ``8.6_9.0``."""
    if given := environ.get("TORCH_CUDA_ARCH_LIST"):
        return given
    count = torch.cuda.device_count()
    found = {torch.cuda.get_device_capability(index) for index in range(count)}
    return "_".join(f"{major}.{minor}" for major, minor in sorted(found)) or "none"
