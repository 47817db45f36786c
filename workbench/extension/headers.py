"""The CUDA headers that the extension is compiled with, and where those lie that are not found.

torch's headers ask for cusparse, cublas and cusolver, the extension's for curand. A toolkit
may be no more than a compiler and its runtime; torch's own packages from PyPI carry the rest
in ``nvidia/*/include``, where no compiler looks by itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import util
from pathlib import Path

NEEDED = ("cusparse.h", "cublas_v2.h", "cusolverDn.h", "curand_kernel.h")


def cuda_home(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where torch's extension builder looks for the CUDA toolkit."""
    if given := environ.get("CUDA_HOME") or environ.get("CUDA_PATH"):
        return Path(given)
    if nvcc := shutil.which("nvcc", path=environ.get("PATH")):
        return Path(nvcc).parent.parent
    default = Path("/usr/local/cuda")
    return default if default.is_dir() else None


@dataclass(frozen=True, slots=True)
class Headers:
    """What was found."""

    missing: tuple[str, ...] = ()  # that lie nowhere
    folders: tuple[Path, ...] = ()  # that have to be named to the compiler: CPATH

    def environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """An environment in which the compiler finds them."""
        parts = [environ["CPATH"]] if environ.get("CPATH") else []
        parts += map(str, self.folders)
        return dict(environ) | ({"CPATH": os.pathsep.join(parts)} if parts else {})


def headers(
    toolkit: Path | None,
    environ: Mapping[str, str] = os.environ,
    packages: Iterable[Path] | None = None,
) -> Headers:
    """Look for every header that is needed.

    Args:
        toolkit: See ``cuda_home``.
        environ: Its ``CPATH`` is searched by the compiler already.
        packages: Folders of the namespace package ``nvidia``; default: this Python's.
    """
    known = [Path(part) for part in environ.get("CPATH", "").split(os.pathsep) if part]
    more: list[Path] = []
    if toolkit is not None:
        known.append(toolkit / "include")
        more += sorted(toolkit.glob("targets/*/include"))  # where conda puts them
    for package in _packages() if packages is None else packages:
        more += sorted(package.glob("*/include"))
    missing, folders = [], []
    for name in NEEDED:
        if any((folder / name).is_file() for folder in known):
            continue
        found = next((folder for folder in more if (folder / name).is_file()), None)
        if found is None:
            missing.append(name)
        else:
            folders.append(found)
    return Headers(tuple(missing), tuple(dict.fromkeys(folders)))


def _packages() -> list[Path]:
    spec = util.find_spec("nvidia")
    return [Path(path) for path in (spec and spec.submodule_search_locations) or ()]
