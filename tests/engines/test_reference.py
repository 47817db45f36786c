from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from workbench.engines.reference import ReferenceEngine
from workbench.records import EngineSpec

from .contract import ModelContract

LONGEST = 2048  # tokens of one request


@contextmanager
def opened(folder: Path, **settings: int) -> Iterator[ReferenceEngine]:
    engine = ReferenceEngine(EngineSpec(model=str(folder), device="cpu", **settings))
    yield engine
    engine.close()


@contextmanager
def broken(engine: ReferenceEngine) -> Iterator[None]:
    def forward(*args: object, **kwargs: object) -> None:
        raise RuntimeError("boom")

    model = engine._model.model  # the layers; the head comes after them
    model.forward = forward
    yield
    del model.forward


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> Iterator[ReferenceEngine]:
    with opened(model_folder, context=LONGEST, cache_tokens=LONGEST, max_batch=16) as engine:
        yield engine


@pytest.fixture(scope="module")
def poisoned(poisoned_folder: Path) -> Iterator[ReferenceEngine]:
    with opened(poisoned_folder, cache_tokens=LONGEST) as engine:
        yield engine


@pytest.fixture(scope="module")
def roomy(model_folder: Path) -> Iterator[ReferenceEngine]:
    with opened(model_folder, context=8192) as engine:
        yield engine


@pytest.fixture
def longest() -> int:
    return LONGEST


@pytest.fixture
def breaking() -> Callable[[ReferenceEngine], AbstractContextManager[None]]:
    return broken


class TestContract(ModelContract):
    """The contract, on transformers and a random model."""
