"""Memory is given back when a model is closed or fails to load; running out of it costs little."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.engines import loading, open_engine, proof
from workbench.engines.exllama import ExllamaEngine
from workbench.engines.freeing import let_go, out_of_memory
from workbench.errors import EngineError
from workbench.records import EngineSpec, Failed, Message, Request, Sampling
from workbench.session import Session

from .contract import Trace, answers, ask

OOM = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
BIG = 10_000  # elements: of weights and caches, not of a table of pages


def spec(folder: Path, **settings: Any) -> EngineSpec:
    return EngineSpec(model=str(folder), device="cpu", **{"cache_tokens": 4096} | settings)


def big_tensors() -> list[weakref.ref[torch.Tensor]]:
    """All tensors of some size that anything holds, the caller's included."""
    gc.collect()
    held = [one for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter)]
    return [weakref.ref(one) for one in held if one.numel() > BIG]


def held_besides(before: list[weakref.ref[torch.Tensor]]) -> int:
    """How many there are that were not there before."""
    known = {id(one) for ref in before if (one := ref()) is not None}
    return sum(id(ref()) not in known for ref in big_tensors())


# --- closing --------------------------------------------------------------------------------------


def test_a_closed_engine_holds_nothing_whoever_holds_it(
    model_folder: Path, stops: frozenset[int]
) -> None:
    before = big_tensors()
    engine = ExllamaEngine(spec(model_folder))
    assert held_besides(before) > 10
    answers(engine, [ask("Hello there", max_tokens=4)] * 3, stops)
    generator, job = engine._loaded.generator, engine._loaded.job(9, [1, 2], 3)
    engine.close()
    assert held_besides(before) == 0
    assert (generator is not None, job is not None) == (True, True)


def test_a_closed_session_leaves_its_streams_and_no_tensors(model_folder: Path) -> None:
    before = big_tensors()
    with Session(spec(model_folder)) as session:
        stream = session.start(Request((Message("user", "Hi"),), sampling=Sampling(max_tokens=4)))
        generation = stream.result()
        assert held_besides(before) > 10
    assert held_besides(before) == 0
    assert generation.ok
    assert list(stream) == list(generation.events)


def test_another_model_takes_the_place_of_the_first(model_folder: Path) -> None:
    desk = pytest.importorskip("workbench_widgets.desk").Desk()
    before = big_tensors()
    assert desk.session(spec(model_folder)).spec.context == 8192
    first = big_tensors()
    assert desk.session(spec(model_folder, context=1024)).spec.context == 1024
    ours = {id(ref()) for ref in before}
    kept = [ref for ref in first if ref() is not None and id(ref()) not in ours]
    assert kept == []
    desk.close()
    assert held_besides(before) == 0


# --- failing to load ------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["_prove", "_generator"])
def test_a_load_that_runs_out_of_memory_is_refused_with_its_plan_and_frees_all(
    model_folder: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = big_tensors()

    def fail(*_: object) -> None:
        raise OOM

    with monkeypatch.context() as patch:
        patch.setattr(loading, where, fail)
        session = Session(spec(model_folder))
        with pytest.raises(EngineError, match="The memory ran out while") as refused:
            _ = session.spec
    assert "it was to take about" in str(refused.value)
    assert "(weights" in str(refused.value)
    assert refused.value.remedy
    assert held_besides(before) == 0  # the session and the error are still held
    session.close()
    with Session(spec(model_folder)) as again:
        assert again.spec.cache_tokens == 4096
    assert held_besides(before) == 0


def test_whatever_fails_after_loading_frees_all(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = big_tensors()

    def fail(*_: object) -> None:
        raise ValueError("no such template")

    monkeypatch.setattr("workbench.engines.exllama.chat_format", fail)
    session = Session(spec(model_folder))
    with pytest.raises(EngineError, match="no such template") as failed:
        _ = session.spec
    assert held_besides(before) == 0
    assert failed.value.__cause__ is None
    session.close()


def test_attention_that_is_refused_leaves_no_model(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = big_tensors()

    def refuse(*_: object) -> None:
        raise EngineError("Attention is not causal.", remedy="Report it.")

    monkeypatch.setattr(proof, "self_test", refuse)
    with pytest.raises(EngineError, match="not causal") as refused:
        open_engine(spec(model_folder))
    assert held_besides(before) == 0
    del refused


# --- running out of memory while generating -------------------------------------------------------


@contextmanager
def memory_for(engine: ExllamaEngine, rows: int) -> Iterator[list[int]]:
    """Forward passes of more rows run out of memory; yields the rows of each that was tried."""
    model, tried = engine._loaded.generator.model, []
    forward = model.forward_chunk

    def limited(input_ids: torch.Tensor, **settings: Any) -> Any:
        tried.append(input_ids.shape[0])
        ballast = torch.zeros(10 * BIG)  # what an exception's traceback would hold
        if input_ids.shape[0] > rows:
            raise torch.cuda.OutOfMemoryError(f"CUDA out of memory. {len(ballast)}")
        return forward(input_ids=input_ids, **settings)

    model.forward_chunk = limited
    yield tried
    del model.forward_chunk


@pytest.fixture
def engine(model_folder: Path) -> Iterator[ExllamaEngine]:
    engine = ExllamaEngine(spec(model_folder, cache_tokens=16_384, max_batch=8))
    yield engine
    engine.close()


def ids(traces: list[Trace]) -> list[list[int]]:
    return [list(trace.ids) for trace in traces]


REQUESTS = [
    ask(f"the {word} tide", max_tokens=24, temperature=0.8, seed=7)
    for word in ("first", "second", "third", "fourth", "fifth")
]


def test_a_batch_that_does_not_fit_is_decoded_in_parts_and_gives_the_same_ids(
    engine: ExllamaEngine, stops: frozenset[int]
) -> None:
    whole = answers(engine, REQUESTS, stops)
    engine._loaded.generator.reset()
    with memory_for(engine, 2) as tried:
        parts = answers(engine, REQUESTS, stops)
    assert ids(parts) == ids(whole)
    assert [trace.reason for trace in parts] == [trace.reason for trace in whole]
    assert max(tried) == 5
    assert tried.count(5) == 1  # it is not tried again
    assert engine._loaded.generator.max_batch_size == 2


def test_memory_that_runs_out_in_the_middle_loses_and_repeats_nothing(
    engine: ExllamaEngine, stops: frozenset[int]
) -> None:
    whole = answers(engine, REQUESTS, stops)
    engine._loaded.generator.reset()
    tickets = [engine.submit(request) for request in REQUESTS]
    events: dict[int, list[Any]] = {ticket: [] for ticket in tickets}
    steps = 0
    while any(not events[t] or not _over(events[t][-1]) for t in tickets):
        steps += 1
        if steps == 4:
            with memory_for(engine, 4):
                assert engine.step() == []
            continue
        for ticket, event in engine.step():
            events[ticket].append(event)
    for ticket, trace in zip(tickets, whole, strict=True):
        told = [i for e in events[ticket] for i in getattr(e, "ids", ())]
        assert told == list(trace.ids)
        kinds = [type(event).__name__ for event in events[ticket]]
        assert kinds.count("Started") == 1
        assert [event.t for event in events[ticket]] == sorted(e.t for e in events[ticket])


def _over(event: Any) -> bool:
    return type(event).__name__ in ("Finished", "Failed")


def test_a_request_that_does_not_fit_alone_fails_and_those_that_wait_go_on(
    engine: ExllamaEngine, stops: frozenset[int]
) -> None:
    (good,) = answers(engine, REQUESTS[:1], stops)
    first, second = engine.submit(REQUESTS[1]), engine.submit(REQUESTS[0])
    engine._loaded.generator.max_batch_size = 1
    with memory_for(engine, 0):
        told = engine.step()
    sizes = [one.numel() for ref in big_tensors() if (one := ref()) is not None]
    assert 10 * BIG not in sizes  # the exception holds none of the step's tensors
    (failed,) = [event for ticket, event in told if ticket == first and isinstance(event, Failed)]
    assert failed.error == "The memory ran out."
    assert "nvidia-smi" in failed.remedy
    assert second not in [ticket for ticket, _ in told]
    found: list[int] = []
    while events := engine.step():
        found += [
            i for ticket, event in events if ticket == second for i in getattr(event, "ids", ())
        ]
    assert found == list(good.ids)


def test_a_session_lives_through_it(model_folder: Path) -> None:
    request = Request((Message("user", "Hi"),), sampling=Sampling(max_tokens=6, temperature=0))
    with Session(spec(model_folder)) as session:
        good = session.start(request).result()
        engine: Any = session._engine
        with memory_for(engine, 0):
            failed = session.start(request).result()
        assert isinstance(failed.end, Failed)
        assert failed.end.error == "The memory ran out."
        assert session.start(request).result().ids == good.ids


# --- what is memory, and what is not --------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (OOM, True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_memory_that_ran_out_is_known_by_its_words(error: Exception, memory: bool) -> None:
    assert out_of_memory(error) is memory


def test_an_error_that_is_kept_holds_nothing() -> None:
    def work() -> None:
        ballast = torch.zeros(10 * BIG)
        try:
            raise ValueError(str(len(ballast)))
        except ValueError as error:
            raise RuntimeError("after it") from error

    before, kept = big_tensors(), []
    fails: Callable[[], None] = work
    try:
        fails()
    except RuntimeError as error:
        kept.append(error)
    assert held_besides(before) == 1
    let_go(kept[0])
    assert held_besides(before) == 0
    assert str(kept[0].__cause__) == str(10 * BIG)
