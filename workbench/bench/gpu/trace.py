"""A torch profiler's trace as figures: what the device did a step, by kind of work, and its gaps.

Pure functions of what ``export_chrome_trace`` writes, which is the profiler's documented
form: events with ``cat``, ``name``, ``ts`` and ``dur`` in microseconds, and ``args``
whose ``correlation`` joins a kernel to the call that launched it. On a CPU, where there
are no kernels, torch's operators stand in for them, less what they call.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SAMPLING = "workbench.sampling"  # the range within which what is launched is sampling

# What a name of that kind holds, one of these words; the first kind that fits.
_KINDS = (
    ("attention", "flash fmha attention attn sdpa"),
    (
        "matrices",
        "gemm gemv cutlass cublas nvjet splitk matmul reconstruct ::mm ::bmm addmm linear",
    ),
    ("cache and indexing", "index gather scatter fp16_to_q q_to_fp16 catarray"),
    ("copies", "copy memcpy memset ::to ::cat"),
    (
        "norm, rope, elementwise",
        "norm rope act_mul elementwise vectorized reduce ::add ::mul silu rsqrt ::pow ::mean",
    ),
)
_OTHER = "other"
KINDS = ("sampling", *(kind for kind, _ in _KINDS), _OTHER)

_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")
_CALLS = ("cuda_runtime", "cuda_driver")
_LONGEST = 12  # names that are told


@dataclass(frozen=True, slots=True)
class Work:
    """One kernel or copy."""

    name: str
    kind: str  # of ``KINDS``
    start: float  # microseconds
    end: float
    own: float  # microseconds, less what it calls


def works(events: Sequence[Mapping[str, Any]]) -> list[Work]:
    """What the device did, in the order in which it began.

    Args:
        events: ``traceEvents`` of a trace.
    """
    done = [event for event in events if event.get("ph") == "X"]
    sampled = _Inside(event for event in done if event.get("name") == SAMPLING and _is_host(event))
    device = [event for event in done if event.get("cat") in _DEVICE]
    if not device:
        found = [_work(event, sampled(event["ts"]), own) for event, own in own_times(done)]
        return sorted(found, key=lambda work: work.start)
    launched = {_correlation(event): event["ts"] for event in done if event.get("cat") in _CALLS}
    calls = [launched.get(_correlation(event), -1.0) for event in device]
    pairs = zip(device, calls, strict=True)
    found = [_work(event, sampled(call), event["dur"]) for event, call in pairs]
    return sorted(found, key=lambda work: work.start)


def of_kernels(events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a trace has what a device did, and not only what the host did."""
    return any(event.get("cat") == "kernel" for event in events)


def summary(found: Sequence[Work], steps: int) -> dict[str, Any]:
    """Milliseconds a step of every kind, the device's busy time and gaps, and the longest names.

    Args:
        found: What the device did.
        steps: In so many steps.

    Returns:
        ``busy_ms``: some work ran; ``gap_ms``: none did, between the first and the last of a
        trace; ``works``: kernels and copies; ``kinds``: name -> ms; ``longest``: rows of
        name, ms, count. All of them a step.
    """
    totals: defaultdict[str, float] = defaultdict(float)
    names: defaultdict[str, float] = defaultdict(float)
    for work in found:
        totals[work.kind] += work.own
        names[work.name] += work.own
    counts = Counter(work.name for work in found)
    busy, span = _busy(found), _span(found)
    each = 1e3 * steps  # microseconds of all steps to milliseconds of one
    longest = sorted(names, key=names.__getitem__, reverse=True)[:_LONGEST]
    return {
        "busy_ms": busy / each,
        "gap_ms": (span - busy) / each,
        "works": len(found) / steps,
        "kinds": {kind: totals[kind] / each for kind in KINDS if totals[kind]},
        "longest": [
            {"name": _short(name), "ms": names[name] / each, "count": counts[name] / steps}
            for name in longest
        ],
    }


def kind_of(name: str) -> str:
    """The kind of work that a kernel's or an operator's name tells."""
    lower = name.lower()
    fitting = (kind for kind, words in _KINDS if any(word in lower for word in words.split()))
    return next(fitting, _OTHER)


def own_times(events: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], float]]:
    """Each operator, with its microseconds less those of the operators that it calls."""
    threads: defaultdict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "cpu_op":
            threads[event.get("pid"), event.get("tid")].append(event)
    for own in threads.values():
        own.sort(key=lambda event: (event["ts"], -event["dur"]))
        left = [float(event["dur"]) for event in own]
        callers: list[int] = []
        for place, event in enumerate(own):
            while callers and _end(own[callers[-1]]) <= event["ts"]:
                callers.pop()
            if callers:
                left[callers[-1]] -= event["dur"]
            callers.append(place)
        yield from zip(own, left, strict=True)


class _Inside:
    """Whether a moment lies within one of some ranges."""

    def __init__(self, ranges: Iterable[Mapping[str, Any]]) -> None:
        self._ranges = sorted((event["ts"], _end(event)) for event in ranges)

    def __call__(self, t: float) -> bool:
        return any(start <= t < end for start, end in self._ranges)


def _work(event: Mapping[str, Any], sampling: bool, own: float) -> Work:
    name = str(event["name"])
    kind = "copies" if event["cat"] in ("gpu_memcpy", "gpu_memset") else kind_of(name)
    return Work(name, "sampling" if sampling else kind, event["ts"], _end(event), own)


def _is_host(event: Mapping[str, Any]) -> bool:
    return event.get("cat") in ("user_annotation", "cpu_op")


def _correlation(event: Mapping[str, Any]) -> Any:
    return event.get("args", {}).get("correlation")


def _end(event: Mapping[str, Any]) -> float:
    return float(event["ts"] + event["dur"])


def _busy(found: Sequence[Work]) -> float:
    """Microseconds in which at least one ran; works are in the order of their starts."""
    total, reached = 0.0, float("-inf")
    for work in found:
        total += max(0.0, work.end - max(work.start, reached))
        reached = max(reached, work.end)
    return total


def _span(found: Sequence[Work]) -> float:
    return max(work.end for work in found) - found[0].start if found else 0.0


def _short(name: str) -> str:
    """A kernel's name without its return type and most of its template's arguments."""
    plain = name.removeprefix("void ")
    return plain if len(plain) <= 80 else f"{plain[:77]}…"
