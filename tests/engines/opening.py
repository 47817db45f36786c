"""Engines opened on the CPU for a test, and made to fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.engines.exllama import ExllamaEngine
from workbench.records import EngineSpec

LONGEST = 2048  # tokens; as long as the whole cache


@contextmanager
def opened(model: Path | str, **settings: Any) -> Iterator[ExllamaEngine]:
    engine = ExllamaEngine(EngineSpec(model=str(model), **{"device": "cpu", **settings}))
    yield engine
    engine.close()


@contextmanager
def broken(engine: ExllamaEngine) -> Iterator[None]:
    """The model's forward pass fails meanwhile."""

    def forward(*args: object, **kwargs: object) -> None:
        raise RuntimeError("boom")

    model = engine._loaded.generator.model
    model.forward_chunk = forward
    yield
    del model.forward_chunk
