from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from shutil import copytree

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from workbench.chat import conversation
from workbench.engines.exllama import ExllamaEngine
from workbench.engines.reference import ReferenceEngine
from workbench.errors import EngineError, ModelError
from workbench.evaluation.problems import arithmetic_suite
from workbench.models.catalogue import CATALOGUE
from workbench.models.folder import check as folder_info
from workbench.models.weights import weights_sha256
from workbench.records import EngineSpec, Message, Mode

from .contract import ModelContract, Trace, answers, ask

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


@pytest.fixture(scope="module")
def thinker() -> Iterator[ReferenceEngine]:
    engine = ReferenceEngine(EngineSpec(model="demo", device="cpu"))
    yield engine
    engine.close()


@pytest.fixture
def longest() -> int:
    return LONGEST


@pytest.fixture
def breaking() -> Callable[[ReferenceEngine], AbstractContextManager[None]]:
    return broken


class TestContract(ModelContract):
    """The contract, on transformers and a random model."""


# --- loading --------------------------------------------------------------------------------------


def test_an_open_engine_says_what_it_is(engine: ReferenceEngine, model_folder: Path) -> None:
    spec = engine.spec
    open_fields = {field.name for field in fields(spec) if getattr(spec, field.name) is None}
    # the folder has neither; the rest is an endpoint's
    assert open_fields == {"revision", "template_sha256", "endpoint", "server"} | {
        "speculation",
        "draft_tokens",
    }
    assert (spec.kind, spec.device, spec.attention) == ("reference", "cpu", "sdpa")
    assert (spec.quantization, spec.cache) == ("fp32", "fp32")
    assert (spec.context, spec.cache_tokens, spec.max_batch) == (LONGEST, LONGEST, 16)
    assert spec.synthetic
    assert spec.weights_sha256 == weights_sha256(model_folder)


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "npu"},
        {"device": "cuda:7"},
        {"attention": "flash-attn"},
        {"quantization": "exl2-4.0bpw"},
        {"sampler": "dice"},
    ],
)
def test_what_the_engine_has_not_is_refused_with_a_remedy(
    model_folder: Path, wrong: dict[str, str]
) -> None:
    with pytest.raises(EngineError) as refused:
        ReferenceEngine(EngineSpec(model=str(model_folder), **{"device": "cpu"} | wrong))
    assert refused.value.remedy


def test_quantized_weights_are_refused(model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "quantized"
    copytree(model_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="gptq-4bit"):
        ReferenceEngine(EngineSpec(model=str(folder), device="cpu"))


def test_without_transformers_the_remedy_is_the_extra(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EngineError, match=r"pip install .nemotron-workbench\[reference\]"):
        ReferenceEngine(EngineSpec(model=str(model_folder), device="cpu"))


def test_loading_says_nothing(model_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with opened(model_folder):
        assert capfd.readouterr() == ("", "")


# --- parity with ExLlamaV2 ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exllama(model_folder: Path) -> Iterator[ExllamaEngine]:
    engine = ExllamaEngine(EngineSpec(model=str(model_folder), device="cpu"))
    yield engine
    engine.close()


@given(text=st.text(), prefill=st.text(max_size=20))
def test_prompts_are_the_same(
    engine: ReferenceEngine, exllama: ExllamaEngine, text: str, prefill: str
) -> None:
    messages = [Message("system", "detailed thinking on"), Message("user", text)]
    assert engine.encode(messages, prefill) == exllama.encode(messages, prefill)


def test_equal_logits_give_equal_draws(
    engine: ReferenceEngine, exllama: ExllamaEngine, stops: frozenset[int]
) -> None:
    settings = [{}, {"top_p": 0.9}, {"top_k": 20}, {"repetition_penalty": 1.2}, {"min_p": 0.05}]
    requests = [
        ask(f"{i} lakes", temperature=i / 8, seed=i, max_tokens=40, **settings[i % 5])
        for i in range(20)
    ]
    ours, theirs = answers(exllama, requests, stops), answers(engine, requests, stops)
    assert [trace.ids for trace in ours] == [trace.ids for trace in theirs]
    assert [trace.reason for trace in ours] == [trace.reason for trace in theirs]


LLAMA_3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}


@pytest.mark.parametrize(
    "scaling",
    [None, LLAMA_3, {"rope_type": "linear", "factor": 4.0}],
    ids=["plain", "3.1", "linear"],
)
def test_logits_are_those_of_transformers(
    model_folder: Path, tmp_path: Path, scaling: dict[str, float] | None
) -> None:
    folder = tmp_path / "model"
    copytree(model_folder, folder)
    config = json.loads((folder / "config.json").read_text()) | {"rope_scaling": scaling}
    (folder / "config.json").write_text(json.dumps(config))
    source = torch.Generator().manual_seed(0)
    ids = torch.randint(8, 400, (1500,), generator=source).tolist()
    exllama = ExllamaEngine(EngineSpec(model=str(folder), device="cpu"))
    with opened(folder) as reference:
        assert_same_logits(exllama.logits(ids), reference.logits(ids))
    exllama.close()


def assert_same_logits(ours: Tensor, theirs: Tensor) -> float:
    """Equal but for the rounding of float32; returns the largest difference."""
    worst = float((ours - theirs).abs().max())
    assert worst <= 1e-4 * float(theirs.std())
    assert torch.equal(ours.argmax(-1), theirs.argmax(-1))
    return worst


# --- parity on the embedded model -----------------------------------------------------------------

DEMO = CATALOGUE["demo"].folder
needs_demo = pytest.mark.skipif(
    DEMO is None or not (DEMO / "model.safetensors").is_file(),
    reason="the embedded model has no weights yet",
)
PROMPTS = 200


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[ExllamaEngine, ReferenceEngine]]:
    spec = EngineSpec(model="demo", device="cpu")
    engines = ExllamaEngine(spec), ReferenceEngine(replace(spec, kind="reference"))
    yield engines
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def demo_traces(pair: tuple[ExllamaEngine, ReferenceEngine]) -> list[Trace]:
    """Greedy answers of ExLlamaV2 to 200 prompts, decoded together, the modes in turn."""
    modes = list(Mode)
    problems = arithmetic_suite(PROMPTS)
    requests = [
        ask(problem.prompt, modes[i % 3], max_tokens=200) for i, problem in enumerate(problems)
    ]
    return answers(pair[0], requests, check_demo_stops())


def check_demo_stops() -> frozenset[int]:
    assert DEMO is not None
    return frozenset(folder_info(DEMO).eos_ids)


@needs_demo
def test_greedy_ids_are_those_of_transformers_on_200_prompts(
    pair: tuple[ExllamaEngine, ReferenceEngine], demo_traces: list[Trace]
) -> None:
    # Greedy decoding takes these ids if and only if each is the most likely behind those before
    # it, so one forward pass a prompt decides it, the token that stopped it included.
    stops, tokens = check_demo_stops(), 0
    for trace in demo_traces:
        prompt = pair[1].encode(*conversation(trace.request))
        said = pair[1].logits([*prompt, *trace.ids]).argmax(-1).tolist()[len(prompt) - 1 :]
        assert said[: len(trace.ids)] == trace.ids, trace.request
        assert trace.reason == "length" or said[len(trace.ids)] in stops
        tokens += len(said)
    print(f"greedy ids equal on {len(demo_traces)} prompts, {tokens} tokens")


@needs_demo
def test_greedy_decoding_is_that_of_the_reference_engine(
    pair: tuple[ExllamaEngine, ReferenceEngine], demo_traces: list[Trace]
) -> None:
    chosen = demo_traces[:12]
    again = answers(pair[1], [trace.request for trace in chosen], check_demo_stops())
    assert [trace.ids for trace in again] == [trace.ids for trace in chosen]
    assert [trace.reason for trace in again] == [trace.reason for trace in chosen]


@needs_demo
def test_teacher_forced_logits_are_those_of_transformers(
    pair: tuple[ExllamaEngine, ReferenceEngine], demo_traces: list[Trace]
) -> None:
    worst = 0.0
    for trace in demo_traces[::4]:
        ids = [*pair[0].encode(*conversation(trace.request)), *trace.ids]
        worst = max(worst, assert_same_logits(pair[0].logits(ids), pair[1].logits(ids)))
    print(f"largest difference of a logit over {len(demo_traces[::4])} texts: {worst:.2g}")


@needs_demo
def test_budgets_and_lengths_give_the_ids_of_exllama(
    pair: tuple[ExllamaEngine, ReferenceEngine],
) -> None:
    requests = [
        ask(
            problem.prompt,
            temperature=0.6 * (i % 2),
            seed=i,
            thinking_tokens=(0, 7, 20, 40)[i % 4],
            min_tokens=12 * (i % 3),
            max_tokens=70,
        )
        for i, problem in enumerate(arithmetic_suite(12))
    ]
    ours, theirs = (answers(engine, requests, check_demo_stops()) for engine in pair)
    assert [trace.ids for trace in ours] == [trace.ids for trace in theirs]
    forced = [[chunk.forced for chunk in trace.chunks if chunk.ids] for trace in ours]
    assert forced == [[chunk.forced for chunk in trace.chunks if chunk.ids] for trace in theirs]
    assert sum(map(any, forced)) >= 10
