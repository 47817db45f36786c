"""The quantised cache: its format, and a model that goes on reasoning with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.linalg import hadamard

from workbench.engines import attention, loading
from workbench.engines.portable_cache import dequantised, quantised
from workbench.errors import EngineError
from workbench.evaluation.problems import arithmetic_suite
from workbench.experiments import compare, execute
from workbench.models.config import read_config
from workbench.models.fitting import shape_of
from workbench.models.memory import cache_bytes
from workbench.records import EngineSpec
from workbench.session import Session
from workbench.store import Store

KINDS = ("q8", "q6", "q4")


def values(seed: int = 0, tokens: int = 5, width: int = 128) -> torch.Tensor:
    return torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed))


def expected(row: torch.Tensor, bits: int) -> torch.Tensor:
    """64 values through the format as its kernel is written: lane t holds values 2t and 2t + 1."""
    half, turn = 2 ** (bits - 1), torch.tensor(hadamard(32), dtype=torch.float64)
    lanes = turn @ row.double().view(32, 2)
    for first in (0, 16):
        lane = lanes[first : first + 16]
        scale = (lane.abs().max() / half).half().double()
        steps = (lane / lane.abs().max() * half + half).round().clamp(0, 2 * half - 1)
        lanes[first : first + 16] = (steps - half) * scale
    return (turn @ lanes / 32).view(-1)


@pytest.mark.parametrize("bits", [4, 8])
def test_values_go_through_as_the_kernels_have_it(bits: int) -> None:
    given = values()
    packed, scales = quantised(given, bits)
    assert packed.dtype == torch.uint8
    assert packed.shape == (5, 128 * bits // 8)
    assert scales.dtype == torch.float16
    assert scales.shape == (5, 4)
    back = dequantised(packed, scales, bits).double()
    for token in range(5):
        for part in (slice(0, 64), slice(64, 128)):
            wanted = expected(given[token, part], bits)
            assert torch.allclose(back[token, part], wanted, atol=1e-4)


@pytest.mark.parametrize(("bits", "error"), [(4, 0.12), (8, 0.008)])
def test_the_error_is_what_so_many_bits_allow(bits: int, error: float) -> None:
    given = values(tokens=200)
    back = dequantised(*quantised(given, bits), bits)
    assert float((back - given).pow(2).mean().sqrt()) < error
    assert float((back - given).abs().max()) > 0


def test_nothing_stays_nothing() -> None:
    assert not dequantised(*quantised(torch.zeros(2, 64), 4), 4).any()


@pytest.fixture(scope="module", params=KINDS)
def loaded(request: pytest.FixtureRequest) -> Iterator[tuple[str, Any]]:
    spec = EngineSpec(model="demo", cache=request.param, cache_tokens=2048, max_batch=4)
    model = loading.load(spec)
    yield request.param, model
    model.close()


def test_the_cache_takes_what_the_memory_plan_says(loaded: tuple[str, Any]) -> None:
    kind, model = loaded
    cache = model.generator.cache
    held = [*cache.all_tensors(), *(t for pair in cache.temp_tensors.values() for t in pair)]
    size = sum(tensor.numel() * tensor.element_size() for tensor in held)
    assert size == cache_bytes(shape_of(read_config(model.folder)), kind, 2048)
    assert model.spec.cache == kind


def piecewise(kind: str, ids: torch.Tensor) -> torch.Tensor:
    """Logits of ids fed 50 at a time, so that what lies before them is read from the cache."""
    spec = EngineSpec(model="demo", cache=kind, cache_tokens=2048, max_batch=4)
    model = loading.load(spec)
    try:
        parts = [
            attention.forward(
                model.generator.model, model.generator.cache, ids[:, i : i + 50], [i], [[0, 1]]
            )
            for i in range(0, ids.shape[1], 50)
        ]
    finally:
        model.close()
    return torch.cat(parts, dim=1)


def test_logits_are_the_closer_the_more_bits() -> None:
    ids = torch.arange(1, 301)[None] * 7919 % 400
    wanted = piecewise("fp16", ids)
    errors = [float((piecewise(kind, ids) - wanted).pow(2).mean().sqrt()) for kind in KINDS]
    spread = float(wanted.std())
    assert 0 < errors[0] < errors[1] < errors[2] < 0.2 * spread
    assert errors[0] < 0.02 * spread


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_reasons_on_with_it(kind: str, tmp_path: Path) -> None:
    plan = compare(arithmetic_suite(4, seed=3), modes=["on"], temperature=0.0)
    few = replace(plan, cells=plan.cells[:1])
    spec = EngineSpec(model="demo", cache=kind, cache_tokens=8192)
    with Session(spec) as session, Store(tmp_path / "runs.sqlite") as store:
        run = execute(plan, session=session, store=store, concurrency=4)
        again = execute(few, session=session, store=store, concurrency=1)
    assert sum(score.value == 1 for score in run.scores) >= 3
    assert {spec["cache"] for spec in run.environment["engines"]} == {kind}
    assert again.generations[0].ids == run.generations[0].ids, "whatever the batch"


def test_a_cache_that_there_is_not() -> None:
    with pytest.raises(EngineError) as caught:
        loading.load(EngineSpec(model="demo", cache="q5"))
    assert "q8" in caught.value.remedy
