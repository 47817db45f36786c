"""Where a decode step's time goes: on the host by whose code runs, on the device by kind of work.

The host's share is timed without a profiler, which would slow it; the device's is what a
profiler records of kernels, whose own durations it does not change. So the time in which
the device waits for the host is the step without a profiler, less the kernels in it.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from workbench.bench.gpu import trace
from workbench.bench.gpu.bed import Bed, attempt
from workbench.bench.gpu.decoding import Batch, length, requests, together
from workbench.bench.gpu.speed import spec_of
from workbench.engines.exllama import ExllamaEngine
from workbench.errors import EngineError
from workbench.experiments.latency_prompts import PromptWriter
from workbench.records import Mode

_TIMED = 4  # times as many steps as are profiled

Wrap = Callable[[str, Callable[..., Any]], Callable[..., Any]]


def profiled(form: str, bed: Bed) -> Iterator[tuple[str, Any]]:
    """Decode steps of so many requests together, of a weight format."""
    spec = spec_of(bed, bed.endless(bed.model(form)))
    engine = bed.engine(spec)
    writer = PromptWriter(spec, Mode.ON, 1)
    for batch in (1, bed.sizes.several):
        bed.check_time()
        prompt = bed.sizes.behind
        asked = requests(writer, prompt, batch, length(bed) - prompt, first=1000 * batch)
        with together(engine, asked, prompt) as running:
            host = _host(engine, running, _TIMED * bed.sizes.profiled, bed.device)
            yield f"host_{batch}", host
            yield f"device_{batch}", attempt(partial(_device, bed, engine, running, host))


def split(seconds: dict[str, float], steps: int) -> dict[str, float]:
    """Milliseconds a step of each part of the host's time, from the times of what encloses it.

    Args:
        seconds: Of ``step``, of ``generator`` in it, and of ``forward``, ``waiting`` and
            ``sampling`` in that.
        steps: In so many steps.
    """
    inner = seconds["forward"] + seconds["waiting"] + seconds["sampling"]
    parts = {
        "step_ms": seconds["step"],
        "forward_ms": seconds["forward"],
        "waiting_ms": seconds["waiting"],
        "sampling_ms": seconds["sampling"],
        "generator_ms": seconds["generator"] - inner,
        "workbench_ms": seconds["step"] - seconds["generator"],
    }
    return {name: 1e3 * value / steps for name, value in parts.items()}


def _host(engine: ExllamaEngine, running: Batch, steps: int, device: str) -> dict[str, float]:
    seconds: dict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if name == "sampling":  # it would wait by itself, and count the wait as its own
                _add(seconds, "waiting", lambda: _wait(device))
            return _add(seconds, name, lambda: function(*arguments, **named))

        return wrapped

    with _around(engine, timed):
        for _ in range(steps):
            _add(seconds, "step", running.step)
    return split(seconds, steps)


def _device(
    bed: Bed, engine: ExllamaEngine, running: Batch, host: dict[str, float]
) -> dict[str, Any]:
    found = _traced(engine, running, bed.sizes.profiled, bed.device)
    if bed.device != "cpu" and not trace.of_kernels(found):
        raise EngineError(
            "The profiler saw no kernels.",
            remedy="Its library, CUPTI, may need a privilege here: see NVIDIA's ERR_NVGPUCTRPERM.",
        )
    told = trace.summary(trace.works(found), bed.sizes.profiled)
    return told | {"idle_ms": max(0.0, host["step_ms"] - told["busy_ms"])}


def _traced(engine: ExllamaEngine, running: Batch, steps: int, device: str) -> list[dict[str, Any]]:
    def marked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            with record_function(f"workbench.{name}"):
                return function(*arguments, **named)

        return wrapped

    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device != "cpu" else [])]
    with _around(engine, marked):
        running.step()  # the first call within a profiler is no ordinary one
        with profile(activities=kinds) as recorded:
            for _ in range(steps):
                running.step()
            _wait(device)
    return _events(recorded)


def _events(recorded: Any) -> list[dict[str, Any]]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(path))
        document = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    events: list[dict[str, Any]] = document["traceEvents"]
    return events


@contextmanager
def _around(engine: ExllamaEngine, wrap: Wrap) -> Iterator[None]:
    """The generator's iteration, its sampling and the model's forward pass, each wrapped."""
    generator = engine._loaded.generator
    places = (
        (generator, "iterate", "generator"),
        (generator, "draw", "sampling"),
        (generator.model, "forward_chunk", "forward"),
    )
    before = [(owner, name, vars(owner).get(name)) for owner, name, _ in places]
    for owner, name, label in places:
        setattr(owner, name, wrap(label, getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, own in before:
            if own is None:
                delattr(owner, name)
            else:
                setattr(owner, name, own)


def _add(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    try:
        return work()
    finally:
        seconds[name] += time.perf_counter() - began


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
