"""Look at this machine; the only part that does. It writes nothing and compiles nothing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import Requirement

from workbench import extension, telemetry
from workbench.doctor.machine import Machine
from workbench.telemetry import Gpu

PROJECT = "nemotron-workbench"
_PACKAGES = (
    "torch",
    "exllamav2",
    "flash-attn",
    "transformers",
    "jupyterlab",
    "ipykernel",
    "ipywidgets",
    "nvidia-ml-py",
)
_WSL = "/usr/lib/wsl/lib/nvidia-smi"  # not always on the path
# In a process of its own: a library that was loaded once is loaded for good.
_LOAD = (
    "import sys, torch; from pathlib import Path; from workbench.extension import load; "
    "load(Path(sys.argv[1]), sys.argv[2])"
)


def probe(environ: Mapping[str, str] = os.environ) -> Machine:
    """The facts about this machine. Imports torch."""
    versions = {name: found for name in _PACKAGES if (found := _version(name))}
    torch_error = _import_error("torch")
    driver, cards = _driver()
    toolkit = extension.cuda_home(environ)
    nvcc = _nvcc_version(toolkit)
    compiler = _first_program(environ, "c++", "g++", "clang++", "cl")
    home = Path(environ.get("WORKBENCH_HOME") or ".runs")
    return Machine(
        python=sys.version_info[:3],
        platform=f"{platform.system()} {platform.release()}, {platform.machine()}",
        versions=versions,
        requirements=_requirements(),
        torch_error=torch_error,
        **(_torch(nvcc) if torch_error is None else {}),
        driver=driver,
        gpus=cards,
        cuda_home=toolkit,
        nvcc=nvcc,
        headers=extension.headers(toolkit, environ),
        compiler=compiler,
        compiler_version=_gcc_version(compiler),
        ninja=_first_program(environ, "ninja"),
        cores=extension.cores_here(),
        memory=psutil.virtual_memory().available,
        max_jobs=environ.get("MAX_JOBS"),
        **(_extension(environ) if torch_error is None else {}),
        flash_error=extension.flash_attn_error() if torch_error is None else None,
        nvml=telemetry.driver_version() is not None,
        home=home,
        home_error=_write_error(home),
        free_disk=_free(home),
    )


def gpus() -> tuple[Gpu, ...]:
    """This machine's NVIDIA GPUs, by their driver; empty where there are none."""
    return _driver()[1]


# --- packages -----------------------------------------------------------------------------------


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


def _import_error(module: str) -> str | None:
    # A broken binary package raises whatever its loader raises.
    try:
        import_module(module)
    except Exception as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None


# --- torch and the GPU --------------------------------------------------------------------------


def _torch(nvcc: str | None) -> dict[str, Any]:
    torch = import_module("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it says of a GPU that it cannot use, we say better
        found: dict[str, Any] = {
            "torch_cuda": torch.version.cuda,
            "torch_archs": tuple(torch.cuda.get_arch_list()),
            "torch_sees_gpu": bool(torch.cuda.is_available()),
        }
        if not found["torch_sees_gpu"]:
            return found
        name, capability = torch.cuda.get_device_name(0), torch.cuda.get_device_capability(0)
    found |= {"torch_gpu": name, "torch_capability": tuple(capability)}
    return found | {"compiler_bound": _gcc_bound(nvcc)}


def _driver() -> tuple[str | None, tuple[Gpu, ...]]:
    """Driver version and GPUs, without opening a context on any."""
    version, cards = telemetry.driver_version(), telemetry.cards()
    return (version, cards) if cards is not None else _nvidia_smi()


def _nvidia_smi() -> tuple[str | None, tuple[Gpu, ...]]:
    fields = "driver_version,name,compute_cap,memory.total,memory.free"
    asked = (f"--query-gpu={fields}", "--format=csv,noheader,nounits")
    output = _output("nvidia-smi", *asked) or _output(_WSL, *asked)
    rows = [[cell.strip() for cell in line.split(",")] for line in output.splitlines()]
    rows = [row for row in rows if len(row) == 5 and row[2].replace(".", "", 1).isdigit()]
    return (rows[0][0] if rows else None), tuple(_gpu(*row[1:]) for row in rows)


def _gpu(name: str, capability: str, total: str, free: str) -> Gpu:
    major, _, minor = capability.partition(".")
    mebibyte = 2**20
    return Gpu(name, (int(major), int(minor or 0)), int(total) * mebibyte, int(free) * mebibyte)


# --- the extension and what builds it -----------------------------------------------------------


def _extension(environ: Mapping[str, str]) -> dict[str, Any]:
    """The extension that would run here, and whether it can be loaded."""
    installed = extension.installed(extension.NAME)
    place = extension.place_here(import_module("torch"), environ)
    if installed is not None:
        return _loaded(installed, "installed")
    return _loaded(place.library, "built") if place.built else {}


def _loaded(library: Path, kind: str) -> dict[str, Any]:
    command = (sys.executable, "-c", _LOAD, str(library), extension.NAME)
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
    error = lines[-1] if result.returncode else None
    return {"extension": library, "extension_from": kind, "extension_error": error}


def _nvcc_version(toolkit: Path | None) -> str | None:
    if toolkit is None:
        return None
    words = _output(str(toolkit / "bin" / "nvcc"), "--version").replace(",", "").split()
    return words[words.index("release") + 1] if "release" in words[:-1] else None


def _first_program(environ: Mapping[str, str], *names: str) -> str | None:
    """On the path, or beside this Python: an environment need not be active."""
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join([environ.get("PATH", os.defpath), beside])
    return next(filter(None, (shutil.which(name, path=path) for name in names)), None)


def _gcc_version(compiler: str | None) -> tuple[int, ...]:
    if compiler is None or "clang" in compiler:
        return ()
    parts = _output(compiler, "-dumpfullversion", "-dumpversion").strip().split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()


def _gcc_bound(nvcc: str | None) -> tuple[int, ...]:
    """The first GCC that torch refuses for this nvcc; empty: it knows of none."""
    builder = import_module("torch.utils.cpp_extension")
    bounds = getattr(builder, "CUDA_GCC_VERSIONS", {}).get(nvcc)
    return tuple(bounds[1]) if bounds else ()


# --- the disk -----------------------------------------------------------------------------------


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
