"""The process that compiles: run by its path, it imports nothing of ours.

It takes the lock of the place, clears what a killed build left there, lets ExLlamaV2 compile
itself with everything that is said written to the standard output, and marks the place as
built when the library has been loaded. A lock dies with its process, so it is never stale.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any


def main(folder: str, name: str, module: str, anew: str = "") -> None:
    """Build; nothing, if another process has done it while this one waited for its turn.

    Args:
        folder: Of the place.
        name: Of the extension.
        module: Whose import builds it.
        anew: Not empty: what is there is removed first.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    os.environ["TORCH_EXTENSIONS_DIR"] = folder
    os.environ["EXLLAMA_NO_FLASH_ATTN"] = os.environ["EXLLAMA_NO_XFORMERS"] = "1"
    filelock = importlib.import_module("filelock")  # torch needs it: it is there
    with filelock.FileLock(place / "building"):
        if anew:
            (place / "built").unlink(missing_ok=True)
            shutil.rmtree(place / name, ignore_errors=True)
        if (place / "built").exists():
            return
        (place / name / "lock").unlink(missing_ok=True)  # torch's, which would be waited for
        _let_it_be_heard(importlib.import_module("torch.utils.cpp_extension"))
        importlib.import_module(module)
        (place / "built").touch()


def _let_it_be_heard(builder: Any) -> None:
    """Have torch's builder pass on what ninja says, as it comes."""
    load = builder.load

    def heard(*args: Any, **settings: Any) -> Any:
        return load(*args, **settings | {"verbose": True})

    builder.load = heard


if __name__ == "__main__":
    main(*sys.argv[1:])
