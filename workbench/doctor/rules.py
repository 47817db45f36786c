"""What the machine's facts mean for the workbench, and the command that mends what is wrong.

Every check is a pure function of a ``Machine``. Without a GPU the workbench runs on the
CPU, so what only a GPU needs is never a failure there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from packaging.specifiers import SpecifierSet

from workbench.doctor.machine import Machine, probe

Status = Literal["ok", "warn", "fail"]

CONDA = "conda env create -f environment.yml"
_GIB = 2**30
_WEIGHTS = 16 * _GIB  # of the 8B model in fp16
_FLASH_CAPABILITY = (8, 0)  # flash-attn 2 needs Ampere
_SQLITE = (3, 35, 0)  # RETURNING
# torch's own CUDA packages bring the headers that a bare toolkit lacks.
_HEADERS = (
    "export CPATH=$(python -c \"import glob, nvidia; print(':'.join("
    "i for p in nvidia.__path__ for i in glob.glob(p + '/*/include')))\")"
)


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    ``ok``: nothing to do; ``warn``: the workbench runs, with less; ``fail``: the main job
    does not run until ``remedy``, a command or an instruction, is followed.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


def checks(machine: Machine | None = None) -> list[Check]:
    """Every check in order.

    Args:
        machine: The facts; default: this machine's, which imports torch.
    """
    facts = machine or probe()
    return [
        _python(facts),
        Check("platform", "ok", facts.platform),
        _torch(facts),
        _gpu(facts),
        _exllamav2(facts),
        _extension(facts),
        _toolkit(facts),
        _headers(facts),
        _program("C++ compiler", facts.compiler, f"Install g++, or {CONDA}", facts),
        _program("ninja", facts.ninja, "pip install ninja", facts),
        _flash_attn(facts),
        _package("transformers", facts, needed=False),
        *(_package(name, facts) for name in ("jupyterlab", "ipykernel", "ipywidgets")),
        _store(facts),
        _sqlite(facts),
    ]


def _python(machine: Machine) -> Check:
    version = ".".join(map(str, machine.python))
    if (3, 11) <= machine.python < (3, 14):
        return Check("Python", "ok", version)
    return Check("Python", "fail", version, "Install Python 3.11, 3.12 or 3.13.")


def _torch(machine: Machine) -> Check:
    if "torch" in machine.versions and machine.torch_error:
        remedy = f"pip install --force-reinstall {_quoted('torch', machine)}"
        return Check("torch", "fail", f"cannot be imported: {machine.torch_error}", remedy)
    check = _package("torch", machine)
    built = f"for CUDA {machine.torch_cuda}" if machine.torch_cuda else "without CUDA"
    return _with_found(check, f"{check.found}, {built}") if check.status == "ok" else check


def _gpu(machine: Machine) -> Check:
    found = "; ".join(
        f"{gpu.name}, compute capability {gpu.capability[0]}.{gpu.capability[1]}, "
        f"{gpu.free / _GIB:.1f} of {gpu.total / _GIB:.1f} GiB free"
        for gpu in machine.gpus
    )
    found = f"{found}; driver {machine.driver}" if machine.driver else found
    if not machine.gpus and not machine.torch_sees_gpu:
        remedy = "None needed for the demo model; the 8B model wants an NVIDIA GPU."
        return Check("GPU", "ok", "none: models run on the CPU", remedy)
    if not machine.torch_sees_gpu:
        remedy = (
            "Update the NVIDIA driver, or install a torch for the one you have (pytorch.org)."
            if machine.torch_cuda
            else "Install a torch built for CUDA (pytorch.org says how)."
        )
        return Check("GPU", "warn", f"{found}; torch cannot use it", remedy)
    if machine.gpus and max(gpu.free for gpu in machine.gpus) < _WEIGHTS:
        remedy = "Free the GPU, or use EXL2 weights: the 8B model in fp16 needs 16 GiB and a cache."
        return Check("GPU", "warn", found, remedy)
    return Check("GPU", "ok", found or "one that torch can use")


def _exllamav2(machine: Machine) -> Check:
    return _package("exllamav2", machine)


def _extension(machine: Machine) -> Check:
    name = "ExLlamaV2 extension"
    if machine.extension_error:
        remedy = "Reinstall exllamav2 for this torch: pip install --force-reinstall --no-deps "
        found = f"cannot be imported: {machine.extension_error}"
        return Check(name, "fail", found, remedy + _quoted("exllamav2", machine))
    if machine.extension:
        return Check(name, "ok", str(machine.extension))
    if not machine.torch_sees_gpu:
        return Check(name, "ok", "not needed without a GPU: the portable natives run")
    remedy = "Nothing: the first start builds it, which takes minutes and what is listed below."
    return Check(name, "ok", "not built yet", remedy)


def _toolkit(machine: Machine) -> Check:
    name = "CUDA toolkit"
    if machine.nvcc is None:
        return _program(name, None, CONDA, machine)
    found = f"nvcc {machine.nvcc} in {machine.cuda_home}"
    built, given = machine.torch_cuda, machine.nvcc
    if _builds(machine) and built and built.split(".")[0] != given.split(".")[0]:
        remedy = f"Install CUDA {built} and set CUDA_HOME, or {CONDA}"
        return Check(name, "fail", f"{found}, but torch is for CUDA {built}", remedy)
    return Check(name, "ok", found)


def _headers(machine: Machine) -> Check:
    found = "found" if machine.cuda_headers else None
    return _program("CUDA headers", found, _HEADERS, machine)


def _program(name: str, found: str | None, remedy: str, machine: Machine) -> Check:
    """Something that only the build of the extension needs."""
    if found:
        return Check(name, "ok", found)
    if not _builds(machine):
        return Check(name, "ok", "none, and not needed here")
    return Check(name, "fail", "none, and ExLlamaV2's extension has to be built", remedy)


def _builds(machine: Machine) -> bool:
    return machine.torch_sees_gpu and machine.extension is None


def _flash_attn(machine: Machine) -> Check:
    name, version = "flash-attn", machine.versions.get("flash-attn")
    if machine.flash_error:
        found = f"{version or 'a copy'} that cannot be imported: {machine.flash_error}"
        return Check(name, "fail", found, "pip uninstall flash-attn, or build it for this torch.")
    if version and _within(version, ">=2.5.7"):
        return Check(name, "ok", version)
    if not machine.torch_sees_gpu:
        return Check(name, "ok", f"{version or 'none'}, and not needed without a GPU")
    if machine.gpus and max(gpu.capability for gpu in machine.gpus) < _FLASH_CAPABILITY:
        return Check(name, "ok", "none: this GPU is too old for it; torch's attention runs")
    found = f"{version or 'none'}: torch's attention runs, which is slower"
    return Check(name, "warn", found, 'conda install -c conda-forge "flash-attn>=2.5.7"')


def _package(name: str, machine: Machine, *, needed: bool = True) -> Check:
    version = machine.versions.get(name)
    remedy = f"pip install {_quoted(name, machine)}"
    if version is None and needed:
        return Check(name, "fail", "not installed", remedy)
    if version is None:
        return Check(name, "warn", "not installed: the reference engine cannot run", remedy)
    wanted = machine.requirements.get(name, "")
    if _within(version, wanted):
        return Check(name, "ok", version)
    status: Status = "fail" if wanted.startswith("==") else "warn"
    return Check(name, status, f"{version}; tested with {wanted}", remedy)


def _within(version: str, wanted: str) -> bool:
    return SpecifierSet(wanted).contains(version, prereleases=True)


def _quoted(name: str, machine: Machine) -> str:
    return f'"{name}{machine.requirements.get(name, "")}"'


def _with_found(check: Check, found: str) -> Check:
    return Check(check.name, check.status, found, check.remedy)


def _store(machine: Machine) -> Check:
    name, where = "run store", machine.home.absolute()
    if machine.home_error:
        remedy = "export WORKBENCH_HOME=/a/folder/you/can/write"
        return Check(name, "fail", f"{where} cannot be written: {machine.home_error}", remedy)
    found = f"{where}, {machine.free_disk / _GIB:.1f} GiB free"
    if machine.free_disk < _GIB:
        return Check(name, "warn", found, "Free some space, or set WORKBENCH_HOME to another disk.")
    return Check(name, "ok", found)


def _sqlite(machine: Machine) -> Check:
    version = ".".join(map(str, machine.sqlite))
    if machine.sqlite >= _SQLITE:
        return Check("SQLite", "ok", version)
    wanted = ".".join(map(str, _SQLITE))
    remedy = f"Use a Python with SQLite {wanted} or newer, e.g. {CONDA}"
    return Check("SQLite", "fail", version, remedy)
