"""``workbench models synthesise``: random weights in the shape of a model, with progress."""

from __future__ import annotations

from pathlib import Path

from workbench.cli.bytes import watched
from workbench.cli.models import show_info
from workbench.cli.output import console
from workbench.models.synthesis import synthesise as write


def synthesise(
    *,
    folder: Path,
    like: str,
    form: str,
    bits: float,
    layers: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Write the folder and say what is in it."""
    out = console(as_json)
    with watched(out, f"writing {folder}") as progress:
        info = write(
            folder, like=like, form=form, bits=bits, layers=layers, seed=seed, progress=progress
        )
    show_info(info, as_json=as_json)
