"""A ``pynvml`` that tells what was recorded of cards, for tests of what reads it."""

# ruff: noqa: N802 - the names are NVML's

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

MIB = 2**20
H200 = "6f0b2c11-0000-4000-8000-000000000200"
T4 = "6f0b2c11-0000-4000-8000-000000000004"


class NVMLError(Exception):
    """As nvidia-ml-py raises it: numbered."""


NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = NVMLError(3), NVMLError(4), NVMLError(6)


@dataclass
class Board:
    """A card's answers. A list is read from the front, its last value for ever."""

    uuid: str
    name: str | bytes = "NVIDIA H200"
    bus: str = "00000000:01:00.0"
    energy: list[int] | NVMLError = field(default_factory=lambda: [1000])  # mJ
    power: list[int] | NVMLError = field(default_factory=lambda: [100_000])  # mW
    used: list[int] | NVMLError = field(default_factory=lambda: [512 * MIB])
    busy: list[int] | NVMLError = field(default_factory=lambda: [50])  # %
    processes: int | NVMLError = 1
    mig: bool = False


class Pynvml(ModuleType):
    """What the workbench uses of the module, over boards."""

    NVMLError = NVMLError

    def __init__(self, *boards: Board, driver: str | bytes = "580.65.06") -> None:
        super().__init__("pynvml")
        self.boards = boards
        self.driver = driver
        self.open = 0

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> str | bytes:
        return self.driver

    def nvmlDeviceGetCount(self) -> int:
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Board:
        return self.boards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Board:
        return self._one(lambda board: uuid == ("MIG-" if board.mig else "GPU-") + board.uuid)

    def nvmlDeviceGetHandleByPciBusId(self, place: str) -> Board:
        return self._one(lambda board: board.bus == place)

    def nvmlDeviceIsMigDeviceHandle(self, board: Board) -> bool:
        return board.mig

    def nvmlDeviceGetName(self, board: Board) -> str | bytes:
        return board.name

    def nvmlDeviceGetCudaComputeCapability(self, board: Board) -> list[int]:
        return [9, 0] if "H200" in str(board.name) else [7, 5]

    def nvmlDeviceGetMemoryInfo(self, board: Board) -> Any:
        used = self._next(board.used)
        return SimpleNamespace(total=1024 * MIB, free=1024 * MIB - used, used=used)

    def nvmlDeviceGetTotalEnergyConsumption(self, board: Board) -> int:
        return self._next(board.energy)

    def nvmlDeviceGetPowerUsage(self, board: Board) -> int:
        return self._next(board.power)

    def nvmlDeviceGetUtilizationRates(self, board: Board) -> Any:
        return SimpleNamespace(gpu=self._next(board.busy))

    def nvmlDeviceGetComputeRunningProcesses(self, board: Board) -> list[object]:
        if isinstance(board.processes, NVMLError):
            raise board.processes
        return [object()] * board.processes

    def _one(self, fits: Callable[[Board], bool]) -> Board:
        for board in self.boards:
            if fits(board):
                return board
        raise NOT_FOUND

    @staticmethod
    def _next(told: list[int] | NVMLError) -> int:
        if isinstance(told, NVMLError):
            raise told
        return told.pop(0) if len(told) > 1 else told[0]
