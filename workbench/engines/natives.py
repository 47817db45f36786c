"""Bring ExLlamaV2 into the process: on its CUDA extension, or on the portable natives.

ExLlamaV2 decides at its first import which of the two it runs on, for the whole
process, and sets torch to one thread. Both are met here, in one place.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import torch

from workbench import extension, telemetry
from workbench.engines import attention, portable
from workbench.engines.base import LoadProgress
from workbench.errors import EngineError

_IMPORTING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Runtime:
    """ExLlamaV2's modules, imported, and what they run on."""

    library: Any  # exllamav2
    generator: Any  # workbench.engines.generator
    device: str
    attention: str

    @property
    def portable(self) -> bool:
        return self.device == "cpu"

    @contextlib.contextmanager
    def threads(self) -> Iterator[None]:
        """One torch thread while the portable natives compute; the caller's count afterwards.

        Their tensors are small: a second thread brings little, and where another
        process wants the core, waiting for it costs up to a hundred times the work.
        """
        if not self.portable:
            yield
            return
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def free(self) -> int:
        """Bytes that are free on the GPU; what torch keeps for reuse counts as free."""
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        free: int = torch.cuda.mem_get_info(self.device)[0]
        return free + unused

    def forget(self) -> None:
        """Let go of the tensors of the last forward pass."""
        attention.forget(self.library.attn)
        if self.portable:
            portable.forget()

    def synchronize(self) -> None:
        """Wait until the device has done what was asked of it."""
        if not self.portable:
            torch.cuda.synchronize(self.device)


def load(
    device: str | None = None,
    attention_choice: str | None = None,
    progress: LoadProgress | None = None,
) -> Runtime:
    """Import ExLlamaV2 for a device.

    The portable natives run where there is no GPU that torch can use, or where the user
    asks for ``cpu``; never because the extension is broken. On a GPU there is no third
    way: they compute in the memory of the CPU.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:0``; ``None`` takes the GPU when there is one.
        attention_choice: See ``attention.install``.
        progress: Called with (done, in all, ``"objects"``) while the extension is built.

    Raises:
        EngineError: The device is not there, the extension cannot be loaded, or
            this process already runs ExLlamaV2 on the other kind of device.
    """
    chosen = _device(device)
    if chosen == "cpu":
        _install_portable()
    elif portable.installed():
        raise EngineError(
            "This process already runs ExLlamaV2 on the CPU.",
            remedy="Restart the kernel, and load the model on the GPU first.",
        )
    else:
        _provide_extension(progress)
    library = _import_library()
    if chosen == "cpu":
        portable.redirect()
    name = attention.install(import_module("exllamav2.attn"), attention_choice)
    return Runtime(library, import_module("workbench.engines.generator"), chosen, name)


def _device(asked: str | None) -> str:
    has_gpu = torch.cuda.is_available()
    if asked is None:
        if not has_gpu:
            _say_what_lies_idle()
        return "cuda:0" if has_gpu else "cpu"
    if asked == "cpu":
        return asked
    if asked not in ("cuda", "cuda:0"):
        raise EngineError(
            f"There is no device called {asked!r} here.",
            remedy="Choose cpu or cuda:0; hide other GPUs with CUDA_VISIBLE_DEVICES.",
        )
    if not has_gpu:
        raise EngineError(
            "There is no CUDA GPU that torch can use.",
            remedy="Choose device cpu, or see what is missing with `workbench doctor`.",
        )
    return "cuda:0"


def _say_what_lies_idle() -> None:
    """A GPU that torch cannot use is no reason to refuse, and none to say nothing."""
    for gpu in telemetry.cards() or ():
        warnings.warn(
            f"The model runs on the CPU: torch cannot use the {gpu.name}. "
            "`workbench doctor` has the command that mends it.",
            stacklevel=2,
        )


def _install_portable() -> None:
    try:
        portable.install()
    except RuntimeError as error:
        raise EngineError(
            "This process already runs ExLlamaV2 on the GPU.",
            remedy="Restart the kernel to run on the CPU.",
        ) from error


def _provide_extension(progress: LoadProgress | None) -> None:
    toolkit = extension.cuda_home()
    tell = None if progress is None else partial(progress, what="objects")
    extension.provide(torch, toolkit, tell)


def _import_library() -> Any:
    """The library; one thread at a time, for what is set aside meanwhile is the process's own."""
    with _IMPORTING:
        return _imported()


def _imported() -> Any:
    threads = torch.get_num_threads()
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), _without_broken_attention():
            library = import_module("exllamav2")  # prints a warning about CPU builds of torch
            import_module("exllamav2.generator")
    except Exception as error:  # whatever the libraries that it imports raise
        raise EngineError(
            f"ExLlamaV2 could not be imported: {_first_line(error)}",
            remedy="`workbench doctor` says what is missing and how to mend it.",
        ) from error
    finally:
        torch.set_num_threads(threads)
    return library


@contextlib.contextmanager
def _without_broken_attention() -> Iterator[None]:
    """Keep a flash-attn that cannot be imported from breaking ExLlamaV2, which tries it.

    Xformers is kept from it altogether: in paged mode it is never called.
    """
    hidden = {"EXLLAMA_NO_XFORMERS"}
    broken = None if "exllamav2" in sys.modules else extension.flash_attn_error()
    if broken is not None:
        hidden.add("EXLLAMA_NO_FLASH_ATTN")
        warnings.warn(
            f"flash-attn cannot be imported ({broken}): torch's attention runs. "
            "`workbench doctor` has the command that mends it.",
            stacklevel=2,
        )
    ours = hidden - os.environ.keys()
    os.environ.update(dict.fromkeys(ours, "1"))
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
