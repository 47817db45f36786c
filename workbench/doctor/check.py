"""One finding of the doctor, and how findings are put."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from packaging.specifiers import SpecifierSet

from workbench.doctor.machine import Machine

Status = Literal["ok", "warn", "fail"]

GIB = 2**30


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


def package(name: str, machine: Machine) -> Check:
    """Whether a package is there, in the version that this project asks for."""
    version = machine.versions.get(name)
    remedy = f"pip install {quoted(name, machine)}"
    if version is None:
        return Check(name, "fail", "not installed", remedy)
    wanted = machine.requirements.get(name, "")
    if within(version, wanted):
        return Check(name, "ok", version)
    status: Status = "fail" if wanted.startswith("==") else "warn"
    return Check(name, status, f"{version}; tested with {wanted}", remedy)


def within(version: str, wanted: str) -> bool:
    """Whether a version lies in a range."""
    return SpecifierSet(wanted).contains(version, prereleases=True)


def quoted(name: str, machine: Machine) -> str:
    """A package with its range, for a shell."""
    return f'"{name}{machine.requirements.get(name, "")}"'
