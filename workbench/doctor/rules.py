"""What the machine's facts mean for the workbench, and the command that mends what is wrong.

Every check is a pure function of a ``Machine``. Without a GPU the workbench runs on the
CPU, so what only a GPU needs is never a failure there.
"""

from __future__ import annotations

from dataclasses import replace

from workbench.doctor import build_rules, gpu_rules
from workbench.doctor.check import GIB, Check, package, quoted
from workbench.doctor.looking import probe
from workbench.doctor.machine import Machine
from workbench.extension.trouble import CONDA

_SQLITE = (3, 35, 0)  # RETURNING


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
        *gpu_rules.checks(facts),
        package("exllamav2", facts),
        *build_rules.checks(facts),
        gpu_rules.flash_attn(facts),
        gpu_rules.telemetry(facts),
        _transformers(facts),
        *(package(name, facts) for name in ("jupyterlab", "ipykernel", "ipywidgets")),
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
        remedy = f"pip install --force-reinstall {quoted('torch', machine)}"
        return Check("torch", "fail", f"cannot be imported: {machine.torch_error}", remedy)
    check = package("torch", machine)
    built = f"for CUDA {machine.torch_cuda}" if machine.torch_cuda else "without CUDA"
    return replace(check, found=f"{check.found}, {built}") if check.status == "ok" else check


def _transformers(machine: Machine) -> Check:
    check = package("transformers", machine)
    if check.status == "fail":
        return replace(
            check, status="warn", found=f"{check.found}: the reference engine cannot run"
        )
    return check


def _store(machine: Machine) -> Check:
    name, where = "run store", machine.home.absolute()
    if machine.home_error:
        remedy = "export WORKBENCH_HOME=/a/folder/you/can/write"
        return Check(name, "fail", f"{where} cannot be written: {machine.home_error}", remedy)
    found = f"{where}, {machine.free_disk / GIB:.1f} GiB free"
    if machine.free_disk < GIB:
        return Check(name, "warn", found, "Free some space, or set WORKBENCH_HOME to another disk.")
    return Check(name, "ok", found)


def _sqlite(machine: Machine) -> Check:
    version = ".".join(map(str, machine.sqlite))
    if machine.sqlite >= _SQLITE:
        return Check("SQLite", "ok", version)
    wanted = ".".join(map(str, _SQLITE))
    remedy = f"Use a Python with SQLite {wanted} or newer, e.g. {CONDA}"
    return Check("SQLite", "fail", version, remedy)
