"""Bring the extension into the process: the installed one, else the one built for this machine."""

from __future__ import annotations

import sys
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.errors import EngineError
from workbench.extension.building import Progress, build
from workbench.extension.place import NAME, Place, place_here
from workbench.extension.trouble import BUILD, REINSTALL

WITHOUT = "or run a small model without the GPU: --device cpu, EngineSpec(device='cpu')."


def provide(torch: Any, toolkit: Path | None, progress: Progress | None = None) -> None:
    """Put the extension where ``import exllamav2`` looks for it, building it if there is none.

    Args:
        torch: The module.
        toolkit: The toolkit, if it is to be built.
        progress: Called with (objects compiled, in all); default: a bar on stderr.

    Raises:
        EngineError: It is broken, or cannot be built. The remedy names the command that
            mends it, and the way without a GPU: which is never taken unasked.
    """
    if NAME in sys.modules:
        return
    if installed(NAME) is not None:
        _import_installed()
        return
    place = place_here(torch)
    if not place.built:
        try:
            build(place, toolkit, progress)
        except EngineError as error:
            raise EngineError(error.message, remedy=f"{error.remedy} Or {WITHOUT[3:]}") from error
    _import_built(place)


def installed(name: str) -> Path | None:
    """The file of a module that can be found; a stand-in without a file is not one."""
    try:
        spec = util.find_spec(name)
    except ValueError:  # something in sys.modules that never came from a file
        return None
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).exists() else None


def _import_installed() -> None:
    try:
        import_module(NAME)
    except Exception as error:  # a broken library raises whatever its loader raises
        remedy = f"{REINSTALL} && {BUILD}; {WITHOUT}"
        raise _broken("installed", installed(NAME), error, remedy) from error


def _import_built(place: Place) -> None:
    try:
        sys.modules[NAME] = load(place.library)
    except Exception as error:
        raise _broken("built", place.library, error, f"{BUILD}; {WITHOUT}") from error


def load(library: Path, name: str = NAME) -> ModuleType:
    """A library, from its file; no compiler and no builder is asked.

    Raises:
        ImportError: It is not there, or not for this torch.
    """
    spec = util.spec_from_file_location(name, library)
    if spec is None or spec.loader is None:
        raise ImportError(f"{library} is no library.")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _broken(kind: str, where: Path | None, error: Exception, remedy: str) -> EngineError:
    lines = str(error).strip().splitlines()
    said = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    return EngineError(f"ExLlamaV2's {kind} extension, {where}, is broken: {said}", remedy=remedy)
