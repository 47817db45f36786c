"""What only a GPU can show: its memory comes back, and a real shortage of it is survived."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from workbench.engines.exllama import ExllamaEngine
from workbench.errors import EngineError
from workbench.records import EngineSpec, Failed
from workbench.session import Session

from .contract import answers, ask

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

NEAR = 64 * 2**20  # bytes
SPEC = EngineSpec(model="demo", device="cuda:0", cache_tokens=65_536, max_batch=8)


def allocated() -> int:
    gc.collect()
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()


@contextmanager
def no_more_than(more: int) -> Iterator[None]:
    """This process may take so many bytes beside those it has."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + more) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_closed_model_gives_its_memory_back() -> None:
    before = allocated()
    for tokens in (65_536, 131_072):
        spec = EngineSpec(model="demo", device="cuda:0", cache_tokens=tokens)
        with Session(spec) as session:
            stream = session.start(ask("What is 12 + 30?", max_tokens=32))
            assert stream.result().ok
            assert allocated() > before + NEAR
        assert allocated() - before < NEAR, "the stream and the session are still held"


def test_a_load_that_runs_out_of_memory_is_refused_and_another_works() -> None:
    before = allocated()
    with no_more_than(NEAR), pytest.raises(EngineError, match="memory ran out") as refused:
        ExllamaEngine(EngineSpec(model="demo", device="cuda:0", cache_tokens=262_144))
    assert "cache" in str(refused.value)
    assert allocated() - before < NEAR
    ExllamaEngine(SPEC).close()
    assert allocated() - before < NEAR


def test_a_request_that_runs_out_of_memory_fails_and_the_next_works(
    thinker_stops: frozenset[int],
) -> None:
    engine = ExllamaEngine(SPEC)
    long, short = ask("What is 1 + 1? " * 120, max_tokens=8), ask("What is 2 + 3?", max_tokens=8)
    try:
        (good,) = answers(engine, [short], thinker_stops)
        with no_more_than(0):
            engine.submit(long)
            told = engine.step()
        failed = [event for _, event in told if isinstance(event, Failed)]
        assert [one.error for one in failed] == ["The memory ran out."]
        (again,) = answers(engine, [short], thinker_stops)
        assert list(again.ids) == list(good.ids)
    finally:
        engine.close()
