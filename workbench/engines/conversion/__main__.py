"""The process that ExLlamaV2's converter runs in: ``python -m workbench.engines.conversion``.

The first argument is the device, ``cpu`` or ``cuda``; what follows are the converter's own. Only
this process is changed: on a CPU it gets the portable natives, and what the converter sends to a
GPU stays where it is. On a GPU nothing is replaced; the extension is built where there is none.
"""

from __future__ import annotations

import os
import runpy
import sys
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from workbench import extension
from workbench.engines import portable
from workbench.engines.conversion.natives import FUNCTIONS
from workbench.engines.conversion.progress import BUILDING, status
from workbench.errors import EngineError

CONVERTER = "exllamav2.conversion.convert_exl2"
_CPU = torch.device("cpu")
_PARTS = (  # where torch is asked for a GPU, or for products in half precision
    "exllamav2.conversion.adaptivegptq",
    "exllamav2.conversion.measure",
    "exllamav2.conversion.quantize",
    "exllamav2.attn",
    "exllamav2.linear",
)


def main() -> None:
    """Run the converter with the arguments of the command line."""
    device, *arguments = sys.argv[1:]
    if device == "cpu":
        _stay_on_the_cpu()
    else:
        _provide_extension()
    sys.argv = [CONVERTER, *arguments]
    runpy.run_module(CONVERTER, run_name="__main__")


def _provide_extension() -> None:
    if extension.flash_attn_error() is not None:
        os.environ["EXLLAMA_NO_FLASH_ATTN"] = "1"  # a broken one would break the import
    try:
        extension.provide(torch, extension.cuda_home(), _building)
    except EngineError as error:
        print(f" ## {error}", flush=True)  # as the converter complains
        sys.exit(2)


def _building(done: int, total: int) -> None:
    print(status(BUILDING, done / max(total, 1)), flush=True)


def _stay_on_the_cpu() -> None:
    portable.install()
    natives = sys.modules[portable.NAME]
    for name, function in FUNCTIONS.items():
        _replace(natives, name, function)
    for part in _PARTS:
        _replace(import_module(part), "torch", _Torch())
        # It collects after every matrix, for a GPU's memory; here that is most of the time.
        _replace(import_module(part), "gc", SimpleNamespace(collect=lambda: 0))
    portable.redirect()
    _replace(Tensor, "to", _staying(Tensor.to))
    _replace(Tensor, "cuda", _copy)


def _replace(place: Any, name: str, value: Any) -> None:
    setattr(place, name, value)


class _Torch:
    """``torch`` with one GPU that is the CPU; products are summed in float32, as a GPU does it."""

    cuda = SimpleNamespace(
        OutOfMemoryError=torch.cuda.OutOfMemoryError,
        device_count=lambda: 1,
        empty_cache=lambda: None,
        synchronize=lambda *_: None,
    )

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def device(self, name: Any) -> torch.device:
        return _CPU

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.matmul(a.float(), b.float()).to(a.dtype)


def _staying(move: Any) -> Any:
    """``Tensor.to`` that copies where it would move to a GPU: the converter writes into copies."""

    def to(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        there = any(_is_gpu(value) for value in args)
        where = [_CPU if _is_gpu(value) else value for value in args]
        return move(tensor.clone() if there else tensor, *where, **kwargs)

    return to


def _is_gpu(value: Any) -> bool:
    """Whether the converter means its GPU: by name, or as ``_Torch`` made it of a number."""
    return isinstance(value, torch.device) or str(value).startswith("cuda")


def _copy(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return tensor.clone()


if __name__ == "__main__":
    main()
