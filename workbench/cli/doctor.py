"""``workbench doctor``: what this machine has, what is missing, what mends it."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module

from rich.console import Console

from workbench import extension
from workbench.cli.guard import MENDABLE
from workbench.cli.output import console, print_json, table
from workbench.doctor import Check, checks, probe
from workbench.errors import EngineError
from workbench.extension.trouble import REINSTALL


def doctor(*, build: bool, as_json: bool) -> int:
    """Every check; 2 when one of them says that the main job cannot run.

    Args:
        build: Build ExLlamaV2's extension first, or what is left of a build cut short.
        as_json: Print one document for programs.
    """
    out = console(as_json)
    if build:
        _build(out)
    found = _checked(out)
    out.print(table(("", "check", "found"), ((one.status, one.name, one.found) for one in found)))
    for one in found:
        if one.remedy and one.status != "ok":
            out.print(f"\n{one.name}: {one.remedy}", soft_wrap=True)
    if as_json:
        print_json({"checks": [asdict(one) for one in found]})
    return MENDABLE if any(one.status == "fail" for one in found) else 0


def _build(out: Console) -> None:
    """With a bar on stderr."""
    machine = probe()
    if not machine.torch_sees_gpu:
        raise EngineError(
            "There is no CUDA GPU that torch can use: there is nothing to build for.",
            remedy="`workbench doctor` says what is missing.",
        )
    if machine.extension_from == "installed" and machine.extension is not None:
        if machine.extension_error is None:
            out.print(f"It is installed: {machine.extension}\n", soft_wrap=True)
            return
        raise EngineError(
            f"The one that is installed is broken: {machine.extension_error}", remedy=REINSTALL
        )
    place = extension.place_here(import_module("torch"))
    broken = machine.extension_error is not None
    extension.build(place, machine.cuda_home, anew=broken)
    out.print(f"Built: {place.library}\n", soft_wrap=True)


def _checked(out: Console) -> list[Check]:
    if not out.is_terminal:
        return checks()
    with out.status("Looking around …"):
        return checks()
