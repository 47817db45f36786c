from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import fields
from pathlib import Path
from random import Random

import pytest
from torch import Tensor

from workbench.engines.attention import TORCH
from workbench.engines.exllama import ExllamaEngine
from workbench.errors import EngineError, InvalidInput
from workbench.models.weights import weights_sha256
from workbench.records import EngineSpec, Started

from .contract import ModelContract, Trace, answers, ask
from .opening import LONGEST, broken, opened


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


@pytest.fixture(scope="module")
def thinker() -> Iterator[ExllamaEngine]:
    engine = ExllamaEngine(EngineSpec(model="demo", device="cpu"))
    yield engine
    engine.close()


@pytest.fixture
def longest() -> int:
    return LONGEST


@pytest.fixture
def breaking() -> Callable[[ExllamaEngine], AbstractContextManager[None]]:
    return broken


class TestContract(ModelContract):
    """The contract, on the portable natives and a random model."""


# --- the cache ------------------------------------------------------------------------------------


def first_of(trace: Trace) -> Started:
    (first, *_) = trace.events
    assert isinstance(first, Started)
    return first


def test_a_prompt_seen_before_is_read_from_the_cache(
    roomy: ExllamaEngine, stops: frozenset[int]
) -> None:
    request = ask("the tide " * 150, max_tokens=10)
    (cold,) = answers(roomy, [request], stops)
    (warm,) = answers(roomy, [request], stops)
    assert first_of(cold).cached_tokens < 256
    assert first_of(warm).cached_tokens == first_of(warm).prompt_tokens - 1
    assert warm.ids == cold.ids


def test_a_forced_closing_is_no_second_prefill(
    thinker: ExllamaEngine, thinker_stops: frozenset[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, widths = thinker._loaded.generator.model, []
    forward = model.forward_chunk

    def counting(input_ids: Tensor, **settings: object) -> object:
        widths.append(input_ids.shape[1])
        return forward(input_ids=input_ids, **settings)

    monkeypatch.setattr(model, "forward_chunk", counting)
    request = ask("What is 98 - 17?", thinking_tokens=9, max_tokens=60)
    (trace,) = answers(thinker, [request], thinker_stops)
    assert any(chunk.forced for chunk in trace.chunks)
    assert trace.reason == "stop"
    assert widths[-len(trace.ids) - 1 :] == [1] * (len(trace.ids) + 1)  # the stop token too
    assert 1 not in widths[: -len(trace.ids) - 1]


def test_requests_share_the_pages_of_a_common_prefix(
    roomy: ExllamaEngine, stops: frozenset[int]
) -> None:
    requests = [ask("the same wave " * 120 + f"{i}", max_tokens=10) for i in range(8)]
    together = answers(roomy, requests, stops)
    shared = [first_of(trace).cached_tokens >= 512 for trace in together[1:]]
    roomy._loaded.generator.reset()
    alone = []
    for request in requests:
        alone += answers(roomy, [request], stops)
        roomy._loaded.generator.reset()
    assert all(shared)
    assert [trace.ids for trace in together] == [trace.ids for trace in alone]


def test_nothing_of_a_failed_step_is_reused(engine: ExllamaEngine, stops: frozenset[int]) -> None:
    request = ask("a reef " * 100, max_tokens=10)
    answers(engine, [request], stops)
    engine.submit(request)
    engine.step()
    with broken(engine):
        engine.step()
    (again,) = answers(engine, [request], stops)
    assert first_of(again).cached_tokens == 0


def test_pages_that_are_moved_keep_what_they_hold(
    model_folder: Path, stops: frozenset[int]
) -> None:
    # Requests of many lengths in a small cache make ExLlamaV2 rearrange its pages.
    source = Random(0)
    texts = [f"{source.randrange(8)} gulls " * source.choice((20, 60, 100)) for _ in range(60)]
    rounds = [[ask(text, max_tokens=8) for text in texts[i : i + 3]] for i in range(0, 60, 3)]
    with opened(model_folder, cache_tokens=3072) as small, opened(model_folder) as large:
        pages, reused = small._loaded.generator.all_pages, 0
        for requests in rounds:
            before = [page.page_index for page in pages]
            answers(small, requests, stops)
            if before != [page.page_index for page in pages]:
                warm = [answers(small, [request], stops)[0] for request in requests]
                reused += sum(first_of(trace).cached_tokens >= 256 for trace in warm)
                large._loaded.generator.reset()
                cold = answers(large, requests, stops)
                assert [trace.ids for trace in warm] == [trace.ids for trace in cold]
        assert reused >= 3


# --- loading --------------------------------------------------------------------------------------


def test_an_open_engine_says_what_it_is(engine: ExllamaEngine, model_folder: Path) -> None:
    spec = engine.spec
    open_fields = {field.name for field in fields(spec) if getattr(spec, field.name) is None}
    # the folder has neither; the rest is an endpoint's
    assert open_fields == {"revision", "template_sha256", "endpoint", "server"} | {
        "speculation",
        "draft_tokens",
    }
    assert (spec.kind, spec.device, spec.attention) == ("exllama", "cpu", TORCH)
    assert (spec.quantization, spec.cache) == ("fp16", "fp32")
    assert (spec.context, spec.cache_tokens, spec.max_batch) == (LONGEST, LONGEST, 16)
    assert spec.synthetic
    assert spec.weights_sha256 == weights_sha256(model_folder)


def test_the_cache_is_rounded_to_whole_pages_and_bounds_a_request(model_folder: Path) -> None:
    with opened(model_folder, cache_tokens=1000) as small:
        assert small.spec.cache_tokens == 768
        with pytest.raises(InvalidInput, match="768"):
            small.submit(ask("Hi", max_tokens=760))


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "npu"},
        {"device": "cuda:7"},
        {"attention": "none"},
        {"attention": "flash-attn"},
        {"cache": "q3"},
        {"sampler": "dice"},
    ],
)
def test_what_the_engine_has_not_is_refused_with_a_remedy(
    model_folder: Path, wrong: dict[str, str]
) -> None:
    with pytest.raises(EngineError) as refused:
        ExllamaEngine(EngineSpec(model=str(model_folder), **{"device": "cpu"} | wrong))
    assert refused.value.remedy


def test_loading_and_generating_leave_torchs_threads_as_they_were(model_folder: Path) -> None:
    script = f"""
import torch
torch.set_num_threads(3)
from workbench.engines import open_engine
from workbench.records import EngineSpec, Message, Request, Sampling
engine = open_engine(EngineSpec(model={str(model_folder)!r}, device="cpu", cache_tokens=512))
assert torch.get_num_threads() == 3, "after loading"
engine.submit(Request((Message("user", "Hi"),), sampling=Sampling(max_tokens=3)))
while engine.step():
    pass
engine.logits([1, 2, 3])
assert torch.get_num_threads() == 3, "after generating"
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == ""  # ExLlamaV2's warnings are not the user's


def test_logits_are_for_an_idle_engine(engine: ExllamaEngine) -> None:
    ticket = engine.submit(ask("Hi", max_tokens=5))
    with pytest.raises(EngineError):
        engine.logits([1, 2, 3])
    engine.cancel(ticket)
    engine.step()
    with pytest.raises(InvalidInput):
        engine.logits([1] * (LONGEST + 1))
    assert len(engine.logits([1] * LONGEST)) == LONGEST
