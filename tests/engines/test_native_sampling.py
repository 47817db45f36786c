"""ExLlamaV2's own sampler behind the engine: the contract holds, its settings are all told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workbench.engines.exllama import ExllamaEngine
from workbench.engines.native_sampling import settings
from workbench.errors import EngineError
from workbench.records import Sampling

from .contract import ModelContract, answers, ask
from .opening import LONGEST, broken, opened


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> Iterator[ExllamaEngine]:
    sizes = {"context": LONGEST, "cache_tokens": LONGEST, "max_batch": 16}
    with opened(model_folder, **sizes, sampler="native") as engine:
        yield engine


@pytest.fixture(scope="module")
def poisoned(poisoned_folder: Path) -> Iterator[ExllamaEngine]:
    with opened(poisoned_folder, cache_tokens=LONGEST, sampler="native") as engine:
        yield engine


@pytest.fixture(scope="module")
def roomy(model_folder: Path) -> Iterator[ExllamaEngine]:
    with opened(model_folder, cache_tokens=16384, sampler="native") as engine:
        yield engine


@pytest.fixture(scope="module")
def thinker() -> Iterator[ExllamaEngine]:
    with opened("demo", sampler="native") as engine:
        yield engine


@pytest.fixture
def longest() -> int:
    return LONGEST


@pytest.fixture
def breaking() -> Callable[[ExllamaEngine], AbstractContextManager[None]]:
    return broken


class TestContract(ModelContract):
    """The contract, drawn by the other sampler."""


def test_greedy_answers_are_those_of_the_exact_sampler(
    engine: ExllamaEngine, model_folder: Path, stops: frozenset[int]
) -> None:
    assert engine.spec.sampler == "native"
    requests = [ask(f"{i} sails", max_tokens=30, repetition_penalty=1 + i / 10) for i in range(4)]
    with opened(model_folder, cache_tokens=LONGEST) as exact:
        wanted = [trace.ids for trace in answers(exact, requests, stops)]
    assert [trace.ids for trace in answers(engine, requests, stops)] == wanted


@dataclass
class Told:
    """Takes what ExLlamaV2's settings take, and says what was left to their defaults."""

    token_repetition_penalty: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    @classmethod
    def greedy(cls, **more: Any) -> Told:
        return cls(temperature=1.0, top_k=1, top_p=0.0, **more)


def test_no_setting_is_left_to_its_default() -> None:
    asked = Sampling(temperature=0.7, top_p=0.9, top_k=5, min_p=0.1, repetition_penalty=1.2)
    assert settings(Told, asked) == Told(1.2, 0.7, 5, 0.9, 0.1)
    assert settings(Told, Sampling(temperature=1.0)) == Told(1.0, 1.0, 0, 1.0, 0.0)
    assert settings(Told, Sampling()) == Told(1.0, 1.0, 1, 0.0)


def test_with_speculation_it_is_refused(model_folder: Path) -> None:
    with (
        pytest.raises(EngineError, match="numbers in a row") as refused,
        opened(model_folder, sampler="native", speculation="ngram"),
    ):
        pass
    assert "exact" in refused.value.remedy
