"""What the doctor says of the GPU: is it there, does torch reach it, is it new enough, is it free.

Where the numbers come from: NVIDIA's table of CUDA versions and the oldest driver of each;
the half-precision arithmetic of ExLlamaV2's kernels (``cuda/compat.cuh``), which cards have
from compute capability 5.3 on, at a 64th of its speed on 6.1 (ExLlamaV2's issue 40: one token
a second); flash-attn 2's own list of cards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from workbench.doctor.check import GIB, Check, within
from workbench.doctor.machine import Machine

Capability = tuple[int, int]

_HALF: Capability = (5, 3)  # the first that computes in half precision
_SLOW: tuple[Capability, ...] = ((6, 1),)  # that do so at a 64th of the speed
_FLASH: Capability = (8, 0)  # flash-attn 2 needs Ampere
_DRIVERS = ((13, 580), (12, 525))  # the oldest driver of a CUDA version
_WEIGHTS = 16 * GIB  # of the 8B model in fp16
_TAKEN = 0.1  # share of the memory from which on others are spoken of
# Which torch from PyPI has kernels for which cards, and runs on which driver.
_TORCH_FOR_OLD = 'pip install "torch>=2.6,<2.8"'  # CUDA 12.4 and 12.6: from compute capability 5.0
_TORCH_FOR_NEW = 'pip install --upgrade "torch>=2.8,<2.14"'  # CUDA 12.8: up to 12.0
_TORCH_FOR_DRIVER = 'pip install "torch>=2.6,<2.11"'  # CUDA 12


def checks(machine: Machine) -> Iterator[Check]:
    """The GPU, its driver, its kernels in torch, its memory; one line where there is none."""
    yield _gpu(machine)
    if machine.gpus or machine.torch_sees_gpu:
        yield _driver(machine)
        yield _kernels(machine)
        yield _memory(machine)


def _gpu(machine: Machine) -> Check:
    if not machine.gpus and not machine.torch_sees_gpu:
        remedy = "None needed for the demo model; the 8B model wants an NVIDIA GPU."
        return Check("GPU", "ok", "none: models run on the CPU", remedy)
    found = _described(machine)
    if machine.torch_sees_gpu:
        return _new_enough(machine, found)
    if machine.torch_cuda is None:
        remedy = "pip install --upgrade --force-reinstall " + _TORCH_FOR_NEW.split(" ", 3)[3]
        return Check("GPU", "fail", f"{found}; this torch was built without CUDA", remedy)
    remedy = "nvidia-smi (if it fails, restart the machine; in a container, run it with --gpus all)"
    return Check("GPU", "fail", f"{found}; torch cannot use it", remedy)


def _described(machine: Machine) -> str:
    names = [f"{gpu.name}, compute capability {_version(gpu.capability)}" for gpu in machine.gpus]
    if not names:
        names = [machine.torch_gpu or "one that torch can use"]
    if len(names) > 1 and machine.torch_gpu:
        first = f"computes on {machine.torch_gpu}; CUDA_VISIBLE_DEVICES chooses another"
        return f"{'; '.join(names)}; {first}"
    return "; ".join(names)


def _new_enough(machine: Machine, found: str) -> Check:
    capability = machine.capability
    if capability is None:
        return Check("GPU", "ok", found)
    if capability < _HALF:
        remedy = "Take a card of compute capability 7.0 or newer, or --device cpu for the demo."
        return Check("GPU", "fail", f"{found}: it cannot compute in half precision", remedy)
    if capability in _SLOW:
        said = f"{found}: half precision at a 64th of its speed, about one token a second"
        return Check("GPU", "warn", said, "Take a card of compute capability 7.0 or newer.")
    return Check("GPU", "ok", found)


def _driver(machine: Machine) -> Check:
    name, version, cuda = "GPU driver", machine.driver, machine.torch_cuda
    if version is None:
        if machine.torch_sees_gpu:
            return Check(name, "ok", "not told")
        return Check(name, "fail", "none that answers", _update(machine))
    oldest = _oldest_driver(cuda)
    if cuda is None or oldest is None or _major(version) >= oldest or machine.torch_sees_gpu:
        return Check(name, "ok", version)
    found = f"{version}: too old for torch's CUDA {cuda}, which wants {oldest} or newer"
    older = f" Or a torch for this driver: {_TORCH_FOR_DRIVER}" if _major(version) >= 525 else ""
    return Check(name, "fail", found, _update(machine) + older)


def _update(machine: Machine) -> str:
    if machine.wsl:
        return "Update the NVIDIA driver in Windows; inside WSL none is installed."
    return "sudo apt-get install nvidia-driver-580 (or your system's own way), then restart."


def _kernels(machine: Machine) -> Check:
    name, capability = "GPU kernels", machine.capability
    if capability is None or not machine.torch_archs or machine.torch_cuda is None:
        return Check(name, "ok", "not known")
    archs = ", ".join(machine.torch_archs)
    if runs_on(machine.torch_archs, capability):
        return Check(name, "ok", f"torch has them for compute capability {_version(capability)}")
    known = [at for arch in machine.torch_archs if (at := _capability(arch)) is not None]
    remedy = _TORCH_FOR_NEW if capability > max(known, default=(0, 0)) else _TORCH_FOR_OLD
    found = f"torch has none for compute capability {_version(capability)}, only {archs}"
    return Check(name, "fail", found, remedy)


def runs_on(archs: Iterable[str], capability: Capability) -> bool:
    """Whether kernels for these architectures run on a card.

    Machine code (``sm_86``) runs on cards of the same major version and no smaller minor;
    intermediate code (``compute_90``) on every card that is no older.
    """
    for arch in archs:
        built = _capability(arch)
        if built is None or capability < built:
            continue
        if arch.startswith("compute_") or built[0] == capability[0]:
            return True
    return False


def _capability(arch: str) -> Capability | None:
    """``sm_120`` as (12, 0); those for one card alone, ``sm_90a``, as if they were for all."""
    match = re.fullmatch(r"(?:sm|compute)_(\d+)(\d)[af]?", arch)
    return (int(match[1]), int(match[2])) if match else None


def _memory(machine: Machine) -> Check:
    name = "GPU memory"
    if not machine.gpus:
        return Check(name, "ok", "not told")
    gpu = next((one for one in machine.gpus if one.name == machine.torch_gpu), machine.gpus[0])
    found = f"{gpu.free / GIB:.1f} of {gpu.total / GIB:.1f} GiB free"
    taken = gpu.total - gpu.free > _TAKEN * gpu.total
    if taken and gpu.processes:
        found += f"; processes that hold some: {gpu.processes}"
    if gpu.free >= _WEIGHTS:
        return Check(name, "ok", found)
    if taken and gpu.total >= _WEIGHTS:
        remedy = "nvidia-smi shows who holds it: end that, e.g. another notebook's kernel."
        return Check(name, "warn", f"{found}: the 8B model in fp16 needs 16 and a cache", remedy)
    remedy = "workbench models fit nemotron-nano-8b (says which weights and context fit)"
    return Check(name, "warn", f"{found}: the 8B model fits as EXL2 or GPTQ", remedy)


def flash_attn(machine: Machine) -> Check:
    """Whether flash-attn runs; without it torch's attention does."""
    name, version = "flash-attn", machine.versions.get("flash-attn")
    if machine.flash_error:
        found = (
            f"{version or 'a copy'} that cannot be imported ({machine.flash_error}): torch's "
            "attention runs, which is slower"
        )
        remedy = (
            "pip install --force-reinstall --no-deps --no-build-isolation --no-cache-dir flash-attn"
            " (builds it for this torch; long), or pip uninstall flash-attn"
        )
        return Check(name, "warn", found, remedy)
    if not machine.torch_sees_gpu:
        return Check(name, "ok", f"{version or 'none'}, and not needed without a GPU")
    if machine.capability is not None and machine.capability < _FLASH:
        found = f"{version or 'none'}: this GPU is too old for it; torch's attention runs"
        return Check(name, "ok", found)
    if version and within(version, ">=2.5.7"):
        return Check(name, "ok", version)
    found = f"{version or 'none'}: torch's attention runs, which is slower"
    return Check(name, "warn", found, 'conda install -c conda-forge "flash-attn>=2.5.7"')


def telemetry(machine: Machine) -> Check:
    """Whether memory, power and energy can be measured."""
    name = "GPU telemetry"
    if machine.nvml:
        return Check(
            name, "ok", f"by nvidia-ml-py {machine.versions.get('nvidia-ml-py', '')}".strip()
        )
    if not machine.torch_sees_gpu:
        return Check(name, "ok", "none, and not needed without a GPU")
    remedy = 'pip install "nvidia-ml-py>=12.535,<14"'
    return Check(name, "warn", "none: power and energy are not measured", remedy)


def _oldest_driver(cuda: str | None) -> int | None:
    major = _major(cuda or "0")
    return next((driver for version, driver in _DRIVERS if version == major), None)


def _major(version: str) -> int:
    digits = version.split(".", maxsplit=1)[0]
    return int(digits) if digits.isdigit() else 0


def _version(capability: Capability) -> str:
    return f"{capability[0]}.{capability[1]}"
