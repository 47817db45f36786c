"""The models that are measured: synthesised 8Bs, written once and kept."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import EngineError


def make(form: str, folder: Path) -> None:
    """Write the 8B of a format into a folder.

    Raises:
        WorkbenchError: It cannot be written.
    """
    raise EngineError(f"There is no model in {folder} ({form}).", remedy="Put one there.")
