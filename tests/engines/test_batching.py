"""Many requests in one small cache: all end, none waits for ever, none stops the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.engines.exllama import ExllamaEngine
from workbench.records import Chunk, Event, Finished, Started

from .contract import answers, ask, ended, take
from .opening import opened


@pytest.fixture(scope="module")
def small(model_folder: Path) -> Iterator[ExllamaEngine]:
    with opened(model_folder, context=2048, cache_tokens=4096, max_batch=16) as engine:
        yield engine


@pytest.fixture(scope="module")
def large(model_folder: Path) -> Iterator[ExllamaEngine]:
    with opened(model_folder, cache_tokens=32_768, max_batch=32) as engine:
        yield engine


def test_hundreds_of_requests_share_a_small_cache(
    small: ExllamaEngine, stops: frozenset[int]
) -> None:
    begin = "the same gulls " * 80  # a page and more that all have in common
    requests = [
        ask(f"{begin if i % 2 else ''}{i}", max_tokens=3 + i % 4, temperature=0.8, seed=i)
        for i in range(300)
    ]
    together = answers(small, requests, stops)
    assert {trace.reason for trace in together} <= {"stop", "length"}
    for i in range(0, 300, 43):
        small._loaded.generator.reset()
        (alone,) = answers(small, [requests[i]], stops)
        assert alone.ids == together[i].ids
    reused = [e.cached_tokens for t in together[1::2] for e in t.events if isinstance(e, Started)]
    assert sum(bool(tokens and tokens >= 256) for tokens in reused) > 100


def test_a_burst_of_long_prompts_leaves_the_others_their_tokens(
    large: ExllamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty prompts of 1,200 tokens at once: still a token after each piece of at most 2,048."""
    model, widths = large._loaded.generator.model, list[tuple[int, int]]()
    forward = model.forward_chunk

    def counting(input_ids: Any, **settings: Any) -> Any:
        widths.append((int(input_ids.shape[0]), int(input_ids.shape[1])))
        return forward(input_ids=input_ids, **settings)

    monkeypatch.setattr(model, "forward_chunk", counting)
    first = large.submit(ask("Tell me about the sea.", max_tokens=60, min_tokens=60))
    told: dict[int, list[Event]] = {first: []}
    take(large, told, lambda: any(isinstance(event, Chunk) for event in told[first]))
    for i in range(20):
        told[large.submit(ask(f"{i} " + "sea " * 1200, max_tokens=3))] = []
    steps = 0
    while not all(map(ended, told.values())):
        widths.clear()
        news = large.step()
        for ticket, event in news:
            told[ticket].append(event)
        read = sum(width for rows, width in widths if rows == 1 and width > 1)
        assert read <= 2048
        if read and not ended(told[first]):
            steps += 1
            assert any(t == first and isinstance(event, Chunk) for t, event in news)
    assert steps >= 8
    for events in told.values():
        assert isinstance(events[-1], Finished)


def test_small_requests_do_not_pass_a_large_one_for_ever(
    small: ExllamaEngine, stops: frozenset[int]
) -> None:
    """It needs half the cache; a few that fit besides may go before it, then it is next."""
    holding = [ask(f"{i} sails", max_tokens=700, min_tokens=60, stop=("zzz",)) for i in range(4)]
    told: dict[int, list[Event]] = {small.submit(one): [] for one in holding}
    small.step()
    large = small.submit(ask("A large one.", max_tokens=1900, stop=("e",)))
    told[large] = []
    for i in range(40):
        told[small.submit(ask(f"{i} boats", max_tokens=40, min_tokens=20))] = []
    order = list[int]()
    while not all(map(ended, told.values())):
        for ticket, event in small.step():
            told[ticket].append(event)
            if isinstance(event, Started):
                order.append(ticket)
    assert order.index(large) < 20, "most of the small ones came later and start later"
