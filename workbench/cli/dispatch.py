"""From a verb to the function that does it, in a module that is loaded only then."""

from __future__ import annotations

from importlib import import_module

import typer

from workbench.cli import guard


def do(verb: str, **arguments: object) -> None:
    """Call ``module.function`` of this package, and end with its exit code."""

    def work() -> int | None:
        module, _, function = verb.rpartition(".")
        code: int | None = getattr(import_module(f"workbench.cli.{module}"), function)(**arguments)
        return code

    raise typer.Exit(guard.exit_code(work))
