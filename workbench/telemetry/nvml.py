"""NVIDIA's management library (NVML), through nvidia-ml-py: which cards there are, and reading one.

Every question may be refused: by an old card, by a partition of one (MIG), to a user without
the right, on a system without the driver. What is refused is ``None``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from workbench.telemetry.readings import Reading

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, as its driver describes it."""

    name: str
    capability: tuple[int, int]
    total: int  # bytes
    free: int  # bytes
    processes: int | None = None  # that hold memory on it, this one included


class Sensor:
    """One GPU that can be read.

    Args:
        nvml: The module ``pynvml``, initialised.
        handle: The card's, or a MIG partition's.
    """

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self._partition = bool(self._told(nvml.nvmlDeviceIsMigDeviceHandle))

    def read(self) -> Reading:
        """All that the card tells now; of a partition its memory, as power is the whole card's."""
        nvml = self._nvml
        memory = self._told(nvml.nvmlDeviceGetMemoryInfo)
        used = None if memory is None else int(memory.used)
        if self._partition:
            return Reading(time.perf_counter(), memory=used)
        energy = self._told(nvml.nvmlDeviceGetTotalEnergyConsumption)
        power = self._told(nvml.nvmlDeviceGetPowerUsage)
        rates = self._told(nvml.nvmlDeviceGetUtilizationRates)
        return Reading(
            t=time.perf_counter(),
            energy=None if energy is None else energy / 1000,
            power=None if power is None else power / 1000,
            memory=used,
            utilisation=None if rates is None else rates.gpu / 100,
        )

    def _told(self, question: Callable[[Any], _T]) -> _T | None:
        return _told(self._nvml, lambda: question(self._handle))


@contextmanager
def sensor(device: str | None = None) -> Iterator[Sensor | None]:
    """The card that torch computes on; ``None`` where it cannot be read.

    Args:
        device: Of torch: ``cuda``, ``cuda:0``; ``None``: torch's current GPU, if it uses one.
    """
    properties = _torch_properties(device)
    if properties is None:
        yield None
        return
    with _opened() as nvml:
        handle = None if nvml is None else _handle(nvml, properties)
        yield None if handle is None else Sensor(nvml, handle)


def cards() -> tuple[Gpu, ...] | None:
    """This machine's GPUs by NVML; ``None``: it cannot be asked."""
    with _opened() as nvml:
        if nvml is None:
            return None
        count = _told(nvml, nvml.nvmlDeviceGetCount)
        if count is None:
            return None
        found = [_told(nvml, lambda i=i: _card(nvml, i)) for i in range(count)]  # type: ignore[misc]
        return tuple(card for card in found if card is not None)


def driver_version() -> str | None:
    """Of the NVIDIA driver; ``None``: NVML cannot be asked."""
    with _opened() as nvml:
        version = None if nvml is None else _told(nvml, nvml.nvmlSystemGetDriverVersion)
        return None if version is None else _text(version)


@contextmanager
def _opened() -> Iterator[Any]:
    """``pynvml``, initialised; ``None`` without the package or without the driver."""
    try:
        nvml = import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # its own errors cannot be named before it is there
        yield None
        return
    try:
        yield nvml
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _torch_properties(device: str | None) -> Any:
    """What torch says of its GPU; nothing is loaded or initialised to find out."""
    # While another thread is importing torch, the module stands there half made.
    cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)
    if not hasattr(cuda, "get_device_properties") or not cuda.is_available():
        return None
    if device is None:
        return cuda.get_device_properties(cuda.current_device()) if cuda.is_initialized() else None
    kind, _, index = device.partition(":")
    return cuda.get_device_properties(int(index or 0)) if kind == "cuda" else None


def _handle(nvml: Any, properties: Any) -> Any:
    """NVML numbers cards by their place on the bus, torch as it likes: the UUID says which.

    torch tells the UUID without NVML's ``GPU-`` or ``MIG-`` before it.
    """
    uuid = str(getattr(properties, "uuid", "")).removeprefix("GPU-").removeprefix("MIG-")
    for kind in ("GPU", "MIG") if uuid else ():
        handle = _told(nvml, lambda kind=kind: nvml.nvmlDeviceGetHandleByUUID(f"{kind}-{uuid}"))  # type: ignore[misc]
        if handle is not None:
            return handle
    if uuid or not hasattr(properties, "pci_bus_id"):
        return None
    place = (
        f"{getattr(properties, 'pci_domain_id', 0):08x}:"
        f"{properties.pci_bus_id:02x}:{getattr(properties, 'pci_device_id', 0):02x}.0"
    )
    return _told(nvml, lambda: nvml.nvmlDeviceGetHandleByPciBusId(place))


def _card(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    capability = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        name=_text(nvml.nvmlDeviceGetName(handle)),
        capability=(int(capability[0]), int(capability[1])),
        total=int(memory.total),
        free=int(memory.free),
        processes=_processes(nvml, handle),
    )


def _processes(nvml: Any, handle: Any) -> int | None:
    """In a container or under WSL the driver does not tell those of others."""
    found = _told(nvml, lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    return None if found is None else len(found)


def _told(nvml: Any, question: Callable[[], _T]) -> _T | None:
    try:
        return question()
    except nvml.NVMLError:
        return None


def _text(raw: str | bytes) -> str:
    """Older versions of the package give bytes."""
    return raw.decode() if isinstance(raw, bytes) else raw
