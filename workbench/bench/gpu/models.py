"""The models that are measured: random weights, written once into a folder and kept.

A folder that is there already is taken, if its model has the right shape and format: the
real 8B can stand there too, and then its figures are not those of a synthetic model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from workbench.bench.gpu.sizes import LIKE, Sizes
from workbench.errors import ModelError
from workbench.models.catalogue import CATALOGUE
from workbench.models.fitting import subject
from workbench.models.synthesis import synthesise
from workbench.models.synthesis.folder import write
from workbench.models.synthesis.pool import Pool
from workbench.models.synthesis.recipe import Recipe

_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"exl2": ("exl2",), "gptq4": ("gptq-4",), "fp16": ("fp16", "bf16")}
)
_BITS = 4.0  # a weight, of EXL2
_NUMBERS = 2**20  # of a small model's pool


def provide(sizes: Sizes, form: str, folder: Path) -> bool:
    """Write the model of a format into a folder, if it is not there.

    Args:
        sizes: Of the 8B, or of what stands in for it.
        form: exl2, gptq4 or fp16.
        folder: Of that model, of no other.

    Returns:
        Whether it was written now.

    Raises:
        ModelError: Another model stands there.
        WorkbenchError: It cannot be written.
    """
    if (folder / "config.json").is_file():
        _check(sizes, form, folder)
        return False
    _write(sizes, form, folder)
    return True


def _check(sizes: Sizes, form: str, folder: Path) -> None:
    found, wanted = subject(str(folder)), sizes.shape or CATALOGUE[LIKE].shape
    if found.shape != wanted or not found.quantization.startswith(_KINDS[form]):
        raise ModelError(
            f"The model in {folder} is {found.quantization}, and of another shape or format.",
            remedy="Give another folder with --models, or remove that one.",
        )


def _write(sizes: Sizes, form: str, folder: Path) -> None:
    if sizes.shape is None:
        synthesise(folder, like=LIKE, form=form, bits=_BITS)
        return
    plan = Recipe(sizes.shape, sizes.context, form, _BITS)
    write(plan, folder, Pool(numbers=_NUMBERS))
