from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from workbench.engines.exllama import ExllamaEngine
from workbench.records import EngineSpec

from .contract import ModelContract

LONGEST = 2048  # tokens; as long as the whole cache


@contextmanager
def opened(folder: Path, **settings: int) -> Iterator[ExllamaEngine]:
    engine = ExllamaEngine(EngineSpec(model=str(folder), device="cpu", **settings))
    yield engine
    engine.close()


@contextmanager
def broken(engine: ExllamaEngine) -> Iterator[None]:
    def forward(*args: object, **kwargs: object) -> None:
        raise RuntimeError("boom")

    model = engine._loaded.generator.model
    model.forward_chunk = forward
    yield
    del model.forward_chunk


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> Iterator[ExllamaEngine]:
    with opened(model_folder, context=LONGEST, cache_tokens=LONGEST, max_batch=16) as engine:
        yield engine


@pytest.fixture(scope="module")
def poisoned(poisoned_folder: Path) -> Iterator[ExllamaEngine]:
    with opened(poisoned_folder, cache_tokens=LONGEST) as engine:
        yield engine


@pytest.fixture(scope="module")
def roomy(model_folder: Path) -> Iterator[ExllamaEngine]:
    with opened(model_folder, cache_tokens=16384) as engine:
        yield engine


@pytest.fixture
def longest() -> int:
    return LONGEST


@pytest.fixture
def breaking() -> Callable[[ExllamaEngine], AbstractContextManager[None]]:
    return broken


class TestContract(ModelContract):
    """The contract, on the portable natives and a random model."""
