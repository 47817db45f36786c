"""What the sections of one process share: models, one open engine, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from workbench.bench.gpu.sizes import Sizes
from workbench.bench.workload import endless
from workbench.engines import room
from workbench.engines.exllama import ExllamaEngine
from workbench.errors import EngineError, WorkbenchError
from workbench.models.fitting import subject
from workbench.models.memory import PAGE
from workbench.records import EngineSpec


class OutOfTime(Exception):
    """A section has used up its seconds; what it gave until then counts."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a process is to do."""

    device: str  # cpu or cuda:0
    sizes: Sizes
    models: Path  # folder of the synthesised models, which are kept

    @property
    def rehearsal(self) -> bool:
        """Whether the figures mean nothing."""
        return self.device == "cpu"


class Bed:
    """Opens what sections ask for, one engine at a time: several 8Bs fit few GPUs.

    Args:
        job: What is to be done.
        provide: Writes the model of a format into a folder, if it is not there; whether it did.
    """

    def __init__(self, job: Job, provide: Callable[[Sizes, str, Path], bool]) -> None:
        self.job = job
        self.made_in: dict[str, float] = {}  # seconds, of the models written here
        self.loaded_in = 0.0  # seconds, of the engine that was opened last
        self._provide = provide
        self._end = float("inf")
        self._engine: tuple[EngineSpec, ExllamaEngine] | None = None
        self._endless: dict[str, Path] = {}
        self._specs: dict[tuple[str, int, int, int], EngineSpec] = {}
        self._folders = ExitStack()

    @property
    def sizes(self) -> Sizes:
        """How much is measured."""
        return self.job.sizes

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda:0``."""
        return self.job.device

    # --- time -----------------------------------------------------------------------------------

    def allow(self, seconds: float) -> None:
        """The section that begins now has so many seconds."""
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that the section still has."""
        return self._end - time.monotonic()

    def check_time(self) -> None:
        """Stop the section if its time is over.

        Raises:
            OutOfTime: It is.
        """
        if self.left <= 0:
            raise OutOfTime

    # --- models ---------------------------------------------------------------------------------

    def model(self, form: str) -> str:
        """The folder of the model of a format, written first if it is not there.

        Raises:
            WorkbenchError: It cannot be written here.
        """
        folder = self.job.models / form
        began = time.perf_counter()
        if self._provide(self.sizes, form, folder):
            self.made_in[form] = time.perf_counter() - began
        return str(folder)

    def endless(self, model: str) -> Path:
        """A model folder whose answers do not end by themselves; it lives as long as the bed."""
        if model not in self._endless:
            self._endless[model] = self._folders.enter_context(endless(model))
        return self._endless[model]

    # --- engines --------------------------------------------------------------------------------

    def spec(
        self, model: str | Path, *, requests: int, tokens: int, context: int | None = None
    ) -> EngineSpec:
        """An engine for so many requests of so many tokens each, as far as the GPU's memory goes.

        Args:
            model: A name or folder.
            requests: Decoded together.
            tokens: Of prompt and answer of each.
            context: Most tokens of one request; default: ``tokens``.
        """
        key = (str(model), requests, tokens, max(tokens, context or 0))
        if key not in self._specs:
            self._specs[key] = self._fitting(*key)
        return self._specs[key]

    def engine(self, spec: EngineSpec) -> ExllamaEngine:
        """The engine of a specification: the open one, if it is that.

        Raises:
            WorkbenchError: It cannot be opened.
        """
        if self._engine is not None and self._engine[0] == spec:
            return self._engine[1]
        self.clear()
        began = time.perf_counter()
        engine = ExllamaEngine(spec)
        self.loaded_in = time.perf_counter() - began
        self._engine = (spec, engine)
        return engine

    def _fitting(self, model: str, requests: int, tokens: int, longest: int) -> EngineSpec:
        pages = max(requests * -(-tokens // PAGE), -(-longest // PAGE)) + 1
        asked = EngineSpec(
            model=model,
            device=self.device,
            context=longest,
            cache_tokens=pages * PAGE,
            max_batch=requests,
        )
        if self.job.rehearsal:
            return asked
        self.clear()  # what it holds would count as taken
        afforded = room.affordable_tokens(subject(model), asked, free_bytes(self.device))
        return replace(asked, cache_tokens=max(min(pages * PAGE, afforded), PAGE))

    def clear(self) -> None:
        """Close the open engine, and give its memory back."""
        if self._engine is not None:
            engine, self._engine = self._engine[1], None
            engine.close()
        if not self.job.rehearsal:
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Close what is open, and remove what was made only for now."""
        self.clear()
        self._folders.close()


def free_bytes(device: str) -> int:
    """Bytes that are free on a GPU; what torch keeps for reuse counts as free."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + unused


def attempt(work: Callable[[], Any]) -> Any:
    """A value, or why there is none: one value that fails takes no others along.

    Only what leaves the GPU usable is caught: a refusal, and memory that ran out.
    """
    try:
        return work()
    except (WorkbenchError, torch.cuda.OutOfMemoryError) as error:
        return {"failed": reason(error)}


def reason(error: BaseException) -> str:
    """What happened, in one line."""
    if isinstance(error, WorkbenchError):
        return str(error)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


@contextmanager
def waited(device: str) -> Iterator[Callable[[], float]]:
    """Seconds since the block began, all work of the device included, whenever it is asked."""
    _wait(device)
    began = time.perf_counter()

    def seconds() -> float:
        _wait(device)
        return time.perf_counter() - began

    yield seconds


def needs_gpu(device: str) -> None:
    """Refuse what only a GPU can tell.

    Raises:
        EngineError: There is none.
    """
    if device == "cpu":
        raise EngineError("Only a GPU can tell.", remedy="Run it on a CUDA GPU.")


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
