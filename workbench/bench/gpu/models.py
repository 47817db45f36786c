"""The models that are measured: random weights, written once into a folder and kept."""

from __future__ import annotations

from pathlib import Path

from workbench.bench.gpu.sizes import LIKE, Sizes
from workbench.models.synthesis import synthesise
from workbench.models.synthesis.folder import write
from workbench.models.synthesis.pool import Pool
from workbench.models.synthesis.recipe import Recipe

_BITS = 4.0  # a weight, of EXL2
_NUMBERS = 2**20  # of a small model's pool


def make(sizes: Sizes, form: str, folder: Path) -> None:
    """Write the model of a format into a folder.

    Args:
        sizes: Of the 8B, or of what stands in for it.
        form: exl2, gptq4 or fp16.
        folder: Must not exist, or be empty.

    Raises:
        WorkbenchError: It cannot be written.
    """
    if sizes.shape is None:
        synthesise(folder, like=LIKE, form=form, bits=_BITS)
        return
    plan = Recipe(sizes.shape, sizes.context, form, _BITS)
    write(plan, folder, Pool(numbers=_NUMBERS))
