"""``workbench models get``: a model from the hub, with progress; run again it goes on."""

from __future__ import annotations

from workbench.cli.bytes import watched
from workbench.cli.models import show_info
from workbench.cli.output import console
from workbench.models.folder import inspect
from workbench.models.getting import get as download


def get(*, model: str, revision: str | None, bits: float | None, as_json: bool) -> None:
    """Download, check, and say what is in the folder."""
    with watched(console(as_json), f"getting {model}") as progress:
        folder = download(model, revision=revision, bits=bits, progress=progress)
    show_info(inspect(folder), as_json=as_json)
