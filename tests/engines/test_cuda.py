"""The engine on a CUDA GPU: its contract, and its numbers beside those of transformers.

A process runs ExLlamaV2 on one kind of device only, so these run by `pytest -m gpu` and
not among the tests that run it on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
import torch

from workbench.bench.gpu.divergence import divergent, logits_apart
from workbench.bench.sides import answers
from workbench.chat import conversation
from workbench.engines.exllama import ExllamaEngine
from workbench.engines.reference import ReferenceEngine
from workbench.evaluation.problems import arithmetic_suite
from workbench.models.memory import CACHES
from workbench.records import EngineSpec, Mode

from . import opening
from .contract import ModelContract, ask
from .opening import LONGEST, broken

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

DEVICE = "cuda:0"


@pytest.fixture(scope="module", autouse=True)
def chosen(request: pytest.FixtureRequest) -> None:
    if request.config.option.markexpr != "gpu":
        pytest.skip("runs ExLlamaV2 on the GPU: pytest -m gpu")


def opened(folder: Path | str, **settings: int | str) -> AbstractContextManager[ExllamaEngine]:
    return opening.opened(folder, device=DEVICE, **settings)


@pytest.fixture(scope="module")
def engine(chosen: None, model_folder: Path) -> Iterator[ExllamaEngine]:
    with opened(model_folder, context=LONGEST, cache_tokens=LONGEST, max_batch=16) as engine:
        yield engine


@pytest.fixture(scope="module")
def poisoned(chosen: None, poisoned_folder: Path) -> Iterator[ExllamaEngine]:
    with opened(poisoned_folder, cache_tokens=LONGEST) as engine:
        yield engine


@pytest.fixture(scope="module")
def roomy(chosen: None, model_folder: Path) -> Iterator[ExllamaEngine]:
    with opened(model_folder, cache_tokens=16384) as engine:
        yield engine


@pytest.fixture(scope="module")
def thinker(chosen: None) -> Iterator[ExllamaEngine]:
    with opened("demo", cache_tokens=16384) as engine:
        yield engine


@pytest.fixture
def longest() -> int:
    return LONGEST


@pytest.fixture
def breaking() -> Callable[[ExllamaEngine], AbstractContextManager[None]]:
    return broken


class TestContract(ModelContract):
    """The contract, on ExLlamaV2's own kernels and a random model."""


# --- beside transformers --------------------------------------------------------------------------


@contextmanager
def reference(precision: str) -> Iterator[ReferenceEngine]:
    pytest.importorskip("transformers")
    spec = EngineSpec(kind="reference", device=DEVICE, quantization=precision)
    with closing(ReferenceEngine(spec)) as engine:
        yield engine


@pytest.fixture(scope="module")
def texts(thinker: ExllamaEngine) -> list[list[int]]:
    """Prompts of the embedded model with its own greedy answers."""
    modes = list(Mode)
    problems = arithmetic_suite(12)
    requests = [ask(one.prompt, modes[i % 3], max_tokens=120) for i, one in enumerate(problems)]
    said = answers(thinker, requests)
    pairs = zip(requests, said, strict=True)
    return [[*thinker.encode(*conversation(request)), *ids] for request, ids in pairs]


def test_half_precision_errs_no_more_than_that_of_transformers(
    thinker: ExllamaEngine, texts: list[list[int]]
) -> None:
    ours = [thinker.logits(text) for text in texts]
    with reference("fp32") as exact:
        wanted = [exact.logits(text) for text in texts]
    with reference("fp16") as half:
        theirs = [half.logits(text) for text in texts]
    mine, other = logits_apart(ours, wanted), logits_apart(theirs, wanted)
    assert mine["equal_argmax"] >= 0.99
    assert mine["kl_mean"] <= max(4 * other["kl_mean"], 1e-5)


@pytest.mark.parametrize("cache", [kind for kind in CACHES if kind != "fp16"])
def test_a_quantised_cache_keeps_the_answer(
    thinker: ExllamaEngine, texts: list[list[int]], cache: str
) -> None:
    wanted = [thinker.logits(text) for text in texts[:4]]
    with opened("demo", cache=cache, cache_tokens=2048) as engine:
        found = [engine.logits(text, piece=1) for text in texts[:4]]
    apart = logits_apart(found, wanted)
    assert apart["equal_argmax"] >= {"q8": 0.98, "q6": 0.95, "q4": 0.85}[cache]
    assert apart["logit_difference_most"] > 0, "it would not be quantised"


# --- repeats and memory ---------------------------------------------------------------------------


def test_the_same_request_alone_gives_the_same_ids(thinker: ExllamaEngine) -> None:
    request = ask("What is 47 + 38 - 12?", max_tokens=100)
    first, *later = (answers(thinker, [request])[0] for _ in range(5))
    assert [divergent(first, one) for one in later] == [None] * 4


def test_closing_gives_the_memory_back(chosen: None) -> None:
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        with opened("demo", cache_tokens=16384) as engine:
            answers(engine, [ask("What is 4 + 5?", max_tokens=20)])
            assert torch.cuda.memory_allocated() > before + 2**24
        assert torch.cuda.memory_allocated() <= before + 2**26
