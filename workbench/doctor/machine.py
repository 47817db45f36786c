"""The facts about this machine that the checks judge; the only part that looks around."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module, metadata, util
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = "nemotron-workbench"
EXTENSION = "exllamav2_ext"
_FLASH = "flash_attn_2_cuda"  # where it is broken, `import exllamav2` fails with it
_PACKAGES = (
    "torch",
    "exllamav2",
    "flash-attn",
    "transformers",
    "jupyterlab",
    "ipykernel",
    "ipywidgets",
)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, as its driver describes it."""

    name: str
    capability: tuple[int, int]
    total: int  # bytes
    free: int  # bytes


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found; ``None`` and empty: not there."""

    python: tuple[int, int, int]
    platform: str
    versions: Mapping[str, str] = field(default_factory=dict)  # of installed packages, by name
    requirements: Mapping[str, str] = field(default_factory=dict)  # of this project, e.g. ">=1,<2"
    torch_error: str | None = None  # why torch cannot be imported
    torch_cuda: str | None = None  # the CUDA that torch was built for
    torch_sees_gpu: bool = False
    driver: str | None = None
    gpus: tuple[Gpu, ...] = ()
    cuda_home: Path | None = None
    nvcc: str | None = None  # its version
    cuda_headers: bool = False  # cusparse.h is there, which torch's headers need
    compiler: str | None = None
    ninja: str | None = None
    extension: Path | None = None  # ExLlamaV2's, installed or built before
    extension_error: str | None = None  # why the installed one cannot be imported
    flash_error: str | None = None  # why flash-attn cannot be imported
    sqlite: tuple[int, ...] = sqlite3.sqlite_version_info
    home: Path = Path(".runs")  # where runs are stored
    home_error: str | None = None  # why nothing can be written there
    free_disk: int = 0  # bytes


def probe(environ: Mapping[str, str] = os.environ) -> Machine:
    """Look at this machine. Imports torch; writes nothing, compiles nothing."""
    versions = {name: found for name in _PACKAGES if (found := _version(name))}
    torch_error = _import_error("torch")
    cuda, sees_gpu = _torch_cuda() if torch_error is None else (None, False)
    driver, gpus = _nvidia_smi()
    cuda_home = _cuda_home(environ)
    extension = _installed(EXTENSION)
    home = Path(environ.get("WORKBENCH_HOME") or ".runs")
    return Machine(
        python=sys.version_info[:3],
        platform=f"{platform.system()} {platform.release()}, {platform.machine()}",
        versions=versions,
        requirements=_requirements(),
        torch_error=torch_error,
        torch_cuda=cuda,
        torch_sees_gpu=sees_gpu,
        driver=driver,
        gpus=gpus,
        cuda_home=cuda_home,
        nvcc=_nvcc_version(cuda_home),
        cuda_headers=_has_headers(cuda_home, environ),
        compiler=_first_program(environ, "c++", "g++", "clang++", "cl"),
        ninja=_first_program(environ, "ninja"),
        extension=extension or _cached_extension(environ),
        extension_error=_import_error(EXTENSION) if extension and not torch_error else None,
        flash_error=_import_error(_FLASH) if _installed(_FLASH) else None,
        home=home,
        home_error=_write_error(home),
        free_disk=_free(home),
    )


def gpus() -> tuple[Gpu, ...]:
    """This machine's NVIDIA GPUs, by their driver; empty where there are none."""
    return _nvidia_smi()[1]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> dict[str, str]:
    """The versions that this project asks for; none if it is not installed."""
    try:
        lines = metadata.requires(PROJECT) or []
    except metadata.PackageNotFoundError:
        return {}
    wanted = map(Requirement, lines)
    return {r.name: str(r.specifier) for r in wanted if r.specifier}


def _installed(module: str) -> Path | None:
    """The file of a module that can be found; a stand-in without a file is not one."""
    try:
        spec = util.find_spec(module)
    except ValueError:  # something in sys.modules that never came from a file
        return None
    return Path(spec.origin) if spec and spec.origin and os.path.exists(spec.origin) else None


def _import_error(module: str) -> str | None:
    # A broken binary package raises whatever its loader raises.
    try:
        import_module(module)
    except Exception as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None


def _torch_cuda() -> tuple[str | None, bool]:
    torch = import_module("torch")
    return torch.version.cuda, bool(torch.cuda.is_available())


def _nvidia_smi() -> tuple[str | None, tuple[Gpu, ...]]:
    """Driver version and GPUs, without opening a context on any."""
    fields = "driver_version,name,compute_cap,memory.total,memory.free"
    output = _output("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits")
    rows = [[cell.strip() for cell in line.split(",")] for line in output.splitlines()]
    rows = [row for row in rows if len(row) == 5 and row[2].replace(".", "", 1).isdigit()]
    return (rows[0][0] if rows else None), tuple(_gpu(*row[1:]) for row in rows)


def _gpu(name: str, capability: str, total: str, free: str) -> Gpu:
    major, _, minor = capability.partition(".")
    mebibyte = 2**20
    return Gpu(name, (int(major), int(minor or 0)), int(total) * mebibyte, int(free) * mebibyte)


def _cuda_home(environ: Mapping[str, str]) -> Path | None:
    """Where torch's extension builder looks for the CUDA toolkit."""
    if given := environ.get("CUDA_HOME") or environ.get("CUDA_PATH"):
        return Path(given)
    if nvcc := shutil.which("nvcc", path=environ.get("PATH")):
        return Path(nvcc).parent.parent
    default = Path("/usr/local/cuda")
    return default if default.is_dir() else None


def _nvcc_version(cuda_home: Path | None) -> str | None:
    if cuda_home is None:
        return None
    words = _output(str(cuda_home / "bin" / "nvcc"), "--version").replace(",", "").split()
    return words[words.index("release") + 1] if "release" in words[:-1] else None


def _has_headers(cuda_home: Path | None, environ: Mapping[str, str]) -> bool:
    folders = [Path(part) for part in environ.get("CPATH", "").split(os.pathsep) if part]
    if cuda_home:
        folders += [cuda_home / "include", *cuda_home.glob("targets/*/include")]
    return any((folder / "cusparse.h").is_file() for folder in folders)


def _first_program(environ: Mapping[str, str], *names: str) -> str | None:
    return next(
        filter(None, (shutil.which(name, path=environ.get("PATH")) for name in names)), None
    )


def _cached_extension(environ: Mapping[str, str]) -> Path | None:
    """The extension that torch's builder left for this Python; it may be rebuilt all the same."""
    root = environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions"
    python = f"py{sys.version_info.major}{sys.version_info.minor}*"
    places = (f"{python}/{EXTENSION}/{EXTENSION}.*", f"{EXTENSION}/{EXTENSION}.*")
    built = (path for place in places for path in Path(root).glob(place))
    return next((path for path in built if path.suffix in (".so", ".pyd")), None)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next((p for p in (folder.absolute(), *folder.absolute().parents) if p.is_dir()), folder)


def _write_error(folder: Path) -> str | None:
    if folder.exists() and not folder.is_dir():
        return "it is a file"
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)) as file:
            file.write(b"workbench")
    except OSError as error:
        return error.strerror or str(error)
    return None


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(_existing(folder)).free
    except OSError:
        return 0


def _output(*command: str) -> str:
    """What a program prints; nothing if it is not there, fails or hangs."""
    try:
        result = subprocess.run(  # noqa: S603 - fixed programs, no shell
            command, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout
