"""Groups of verbs with one that need not be named: ``report NAME`` is ``report run NAME``."""

from __future__ import annotations

from typing import Any

import typer.core


class _ByDefault(typer.core.TyperGroup):
    default: str
    alone: bool  # whether the default is meant where nothing follows

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = args or ([] if self.alone else ["--help"])
        ours = bool(given) and (given[0] in self.commands or given[0] == "--help")
        return super().parse_args(ctx, given if ours else [self.default, *given])


def by_default(name: str, *, alone: bool = True) -> type[typer.core.TyperGroup]:
    """A group that takes what is no command of its own as an argument of one.

    Args:
        name: Of that command.
        alone: Whether it is also meant where nothing follows; else the help is shown.
    """
    return type("Group", (_ByDefault,), {"default": name, "alone": alone})
