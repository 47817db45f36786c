"""What the doctor says of ExLlamaV2's extension: is it there, and can it be built."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.doctor.check import Check
from workbench.doctor.machine import Machine
from workbench.extension import cost
from workbench.extension.trouble import (
    BUILD,
    COMPILER,
    CONDA,
    NINJA,
    REINSTALL,
    header_packages,
)

# The first toolkit that compiles for a compute capability, newest first.
_FIRST_NVCC = (((10, 0), "12.8"), ((8, 9), "11.8"), ((8, 6), "11.1"))


def checks(machine: Machine) -> Iterator[Check]:
    """The extension, and what its build needs."""
    yield _extension(machine)
    yield _toolkit(machine)
    yield _headers(machine)
    yield _compiler(machine)
    yield _program("ninja", machine.ninja, NINJA, machine)


def _extension(machine: Machine) -> Check:
    name = "ExLlamaV2 extension"
    if machine.extension is not None:
        how = "installed" if machine.extension_from == "installed" else "built before"
        found = f"{how}: {machine.extension}"
        if machine.extension_error is None:
            return Check(name, "ok", found)
        remedy = BUILD if machine.extension_from == "built" else f"{REINSTALL} && {BUILD}"
        return Check(name, "fail", f"{found}, is broken: {machine.extension_error}", remedy)
    if not machine.torch_sees_gpu:
        return Check(name, "ok", "not needed without a GPU: the portable natives run")
    takes = cost(machine.cores, machine.memory, machine.max_jobs)
    return Check(
        name, "ok", f"not built yet: the first start does it, {takes}; {BUILD} does it now"
    )


def _toolkit(machine: Machine) -> Check:
    name = "CUDA toolkit"
    if machine.nvcc is None:
        return _program(name, None, CONDA, machine)
    found = f"nvcc {machine.nvcc} in {machine.cuda_home}"
    built, given = machine.torch_cuda, machine.nvcc
    if machine.builds and built and built.split(".")[0] != given.split(".")[0]:
        remedy = f"Install CUDA {built} and export CUDA_HOME=/usr/local/cuda-{built}, or {CONDA}"
        return Check(name, "fail", f"{found}, but torch is for CUDA {built}", remedy)
    if machine.builds and (wanted := _nvcc_for(machine)) is not None:
        remedy = f"Install CUDA {wanted} or newer of torch's major version, or {CONDA}"
        return Check(name, "fail", f"{found}, which does not know this GPU", remedy)
    return Check(name, "ok", found)


def _nvcc_for(machine: Machine) -> str | None:
    """The compiler that a card needs where the one that is here is older; ``None``: it will do.

    ExLlamaV2 compiles for no newer architecture than torch has kernels for.
    """
    capability = machine.capability or (0, 0)
    oldest = next((v for card, v in _FIRST_NVCC if capability >= card), None)
    if oldest is None or machine.nvcc is None or _numbers(machine.nvcc) >= _numbers(oldest):
        return None
    return oldest


def _headers(machine: Machine) -> Check:
    missing, folders = machine.headers.missing, machine.headers.folders
    if missing:
        found = f"{', '.join(missing)} missing"
        remedy = header_packages(machine.torch_cuda)
        return _program("CUDA headers", None, remedy, machine, found)
    if folders:
        where = ", ".join(map(str, folders))
        return Check("CUDA headers", "ok", f"in {where}, which the build is told of")
    return Check("CUDA headers", "ok", "in the toolkit")


def _compiler(machine: Machine) -> Check:
    name, version, bound = "C++ compiler", machine.compiler_version, machine.compiler_bound
    if machine.compiler and machine.builds and version and bound and version >= bound:
        found = (
            f"GCC {_dotted(version)}, and nvcc {machine.nvcc} takes none from {_dotted(bound)} on"
        )
        older = bound[0] - 1
        remedy = (
            f"sudo apt-get install g++-{older} && export CC=gcc-{older} CXX=g++-{older}, or {CONDA}"
        )
        return Check(name, "fail", found, remedy)
    return _program(name, machine.compiler, COMPILER, machine)


def _program(
    name: str, found: str | None, remedy: str, machine: Machine, missing: str = "none"
) -> Check:
    """Something that only the build of the extension needs."""
    if found:
        return Check(name, "ok", found)
    if not machine.builds:
        return Check(name, "ok", f"{missing}, and not needed here")
    return Check(name, "fail", f"{missing}, and ExLlamaV2's extension has to be built", remedy)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
