"""``workbench doctor``: what this machine has, what is missing, what mends it."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console

from workbench.cli.guard import MENDABLE
from workbench.cli.output import console, print_json, table
from workbench.doctor import Check, checks


def doctor(*, as_json: bool) -> int:
    """Every check; 2 when one of them says that the main job cannot run."""
    out = console(as_json)
    found = _checked(out)
    out.print(table(("", "check", "found"), ((one.status, one.name, one.found) for one in found)))
    for one in found:
        if one.remedy and one.status != "ok":
            out.print(f"\n{one.name}: {one.remedy}", soft_wrap=True)
    if as_json:
        print_json({"checks": [asdict(one) for one in found]})
    return MENDABLE if any(one.status == "fail" for one in found) else 0


def _checked(out: Console) -> list[Check]:
    if not out.is_terminal:
        return checks()
    with out.status("Looking around …"):
        return checks()
