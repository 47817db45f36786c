"""The store: bytes a token, the cost of an append, the time of a list."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from workbench import metrics
from workbench.records import (
    Cell,
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Finished,
    Generation,
    Message,
    Mode,
    Plan,
    Problem,
    Progress,
    Request,
    Started,
)
from workbench.store import Store

_VOCABULARY = 128_256


def stream(tokens: int, seed: int = 0, *, uptime: float = 400_000.0) -> tuple[Event, ...]:
    """A generation as an engine stamps it: one chunk a token, thinking before the answer.

    Ids follow Zipf's law over a Llama 3 vocabulary in a random order, so they hold about
    as much information as those of real text; steps take 25 ms, give or take 2.

    Args:
        tokens: How many are generated.
        seed: Of everything that is drawn.
        uptime: What the monotonic clock shows, seconds; times are differences of it.
    """
    rng = np.random.default_rng(seed)
    ids = rng.permutation(_VOCABULARY)[(rng.zipf(1.2, 4 * tokens + 64) - 1) % _VOCABULARY][:tokens]
    clock = np.round(uptime + 0.3 + np.cumsum(np.abs(rng.normal(0.025, 0.002, tokens + 1))), 9)
    times = (clock - uptime).tolist()
    logprobs = (-rng.exponential(0.4, tokens)).astype(np.float32).tolist()
    chunks = [
        Chunk(times[i], (token,), _text(token), _channel(i, tokens), (logprobs[i],))
        for i, token in enumerate(ids.tolist())
    ]
    prompt = (Started(0.01, 300, 256), Progress(0.3, 300, 300))
    return (*prompt, *chunks, Finished(times[-1], "stop"))


def cells(count: int) -> tuple[Cell, ...]:
    """Different questions in both modes, one cell each."""
    spec = EngineSpec(device="cuda:0", context=131_072, attention="flash-attn")
    return tuple(
        Cell(
            spec,
            Request((Message("user", f"What is {i} * 17 + 4?"),), list(Mode)[i % 2]),
            Problem(f"arithmetic-{i}", f"What is {i} * 17 + 4?", str(i * 17 + 4), "easy"),
        )
        for i in range(count)
    )


def measure(generations: int = 10_000) -> dict[str, float]:
    """The figures of one run, with the sizes and units in their names."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            **_size(Path(folder) / "size.sqlite"),
            **_append(Path(folder) / "append.sqlite"),
            **_list(Path(folder) / "list.sqlite", generations),
        }


def record(store: Store, events: Sequence[Sequence[Event]]) -> str:
    """A finished run of the given generations; its id."""
    plan = Plan("bench", cells(len(events)))
    run = store.begin_run(plan, {})
    for index, (cell, own) in enumerate(zip(plan.cells, events, strict=True)):
        generation = Generation(cell.request, cell.spec, tuple(own))
        recorder = store.begin_generation(run, index, cell)
        for event in own:
            recorder.append(event)
        recorder.finish(generation, metrics.measure(generation), {"incomplete": False})
    store.finish_run(run)
    return run


def _size(path: Path, generations: int = 64, tokens: int = 400) -> dict[str, float]:
    """Bytes of the whole file a token: events, requests, metrics and indexes together."""
    with Store(path) as store:
        record(store, [stream(tokens, seed) for seed in range(generations)])
    return {"store_bytes_per_token": path.stat().st_size / (generations * tokens)}


def _append(path: Path, repeats: int = 20) -> dict[str, float]:
    """What the engine's thread pays for an event."""
    events = stream(1000)
    with Store(path) as store:
        run = store.begin_run(Plan("bench", cells(repeats)), {})
        costs = []
        for index, cell in enumerate(cells(repeats)):
            recorder = store.begin_generation(run, index, cell)
            start = time.perf_counter()
            for event in events:
                recorder.append(event)
            costs.append((time.perf_counter() - start) / len(events))
            recorder.finish(Generation(cell.request, cell.spec, events), {}, {})
        start = time.perf_counter()
        store.flush()
        written = time.perf_counter() - start
    return {"store_append_us": median(costs) * 1e6, "store_flush_s": written}


def _list(path: Path, generations: int) -> dict[str, float]:
    events = stream(50)
    with Store(path) as store:
        run = record(store, [events] * generations)
    with Store(path, read_only=True) as store:
        start = time.perf_counter()
        rows = store.generations(run)
        seconds = time.perf_counter() - start
    return {"store_list_s": seconds, "store_list_rows_per_s": len(rows) / seconds}


def _text(token: int) -> str:
    """A piece of a word that is the token's own."""
    letters = ""
    while token:
        token, digit = divmod(token, 26)
        letters += chr(ord("a") + digit)
    return " " + letters


def _channel(position: int, tokens: int) -> Channel:
    return Channel.THINKING if position < 0.8 * tokens else Channel.ANSWER
