"""What a call of the sampling law costs, beside the same law by sorting the whole vocabulary."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from workbench.records import Sampling
from workbench.sampling import Row, draw, uniform

SETTINGS: Mapping[str, Sampling] = MappingProxyType(
    {
        "greedy": Sampling(),
        "temperature 1": Sampling(temperature=1.0),
        "temperature 0.6, top-p 0.95": Sampling(temperature=0.6, top_p=0.95),
        "all settings": Sampling(
            temperature=0.8, top_k=50, top_p=0.95, min_p=0.05, repetition_penalty=1.1
        ),
    }
)
_CONTEXT = 512  # ids a penalised row has seen
_CACHED = 2**18  # elements sorted at a time: more of them only fall out of the cache
_TINY = 1e-300  # stands in for the temperature of greedy rows, which it does not decide


def measure(
    vocabulary: int = 128_256,
    rows: Sequence[int] = (1, 16, 64),
    *,
    device: str = "cpu",
    seconds: float = 0.2,
) -> list[dict[str, Any]]:
    """Time the law on two kinds of logits, for each number of rows and each of ``SETTINGS``.

    ``peaked`` logits fall off by rank as a language model's do; ``flat`` ones are normal
    noise, of which a nucleus keeps thousands: the worst case.

    Args:
        vocabulary: Columns of the logits.
        rows: Batch sizes.
        device: Where the logits are.
        seconds: Least time spent on one figure; the fastest call in it counts.

    Returns:
        One dict a figure: what was measured, ``microseconds_call`` and ``microseconds_row``
        of the law, ``full_sort_microseconds_call``, their ratio as ``speedup``, and
        ``equal_ids``: whether both drew the same.
    """
    figures = []
    for count in rows:
        for shape, logits in _logits(count, vocabulary, device).items():
            for name, sampling in SETTINGS.items():
                batch = _batch(count, sampling, vocabulary, device)
                figure = {"vocabulary": vocabulary, "rows": count, "logits": shape}
                figures.append(figure | {"settings": name} | _compare(logits, batch, seconds))
    return figures


@torch.inference_mode()
def full_sort(logits: Tensor, rows: Sequence[Row]) -> list[int]:
    """The law as one would write it down: truncated rows sort their whole vocabulary."""
    step = max(1, _CACHED // logits.shape[1])
    starts = range(0, len(rows), step)
    return [i for at in starts for i in _sorted(logits[at : at + step], rows[at : at + step])]


def _sorted(logits: Tensor, rows: Sequence[Row]) -> list[int]:
    z = logits.float().clone()
    for line, row in zip(z, rows, strict=True):
        penalty = row.sampling.repetition_penalty
        if row.seen is not None and penalty != 1:
            old = line[row.seen]
            line[row.seen] = torch.where(old > 0, old / penalty, old * penalty)
    best = z.argmax(-1)
    if all(row.sampling.temperature == 0 for row in rows):
        return [int(i) for i in best.tolist()]
    temperature, top_k, top_p, min_p, u = _columns(rows, z)
    weights = (z.double() - z.gather(1, best[:, None])).div_(temperature.clamp(min=_TINY)).exp_()
    if any(row.sampling.top_k or row.sampling.top_p < 1 for row in rows):
        order = z.sort(dim=-1, descending=True, stable=True).indices
        weights = _truncated(weights.gather(1, order), order, top_k, top_p)
    reached = (weights * (weights >= min_p)).cumsum(-1)
    drawn = torch.searchsorted(reached, u * reached[:, -1:], right=True)[:, 0]
    return [int(i) for i in torch.where(temperature[:, 0] == 0, best, drawn).tolist()]


def _truncated(ranked: Tensor, order: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    rank = torch.arange(ranked.shape[1], device=ranked.device)
    ranked = ranked * ((top_k == 0) | (rank < top_k))
    reached = ranked.cumsum(-1)
    crossing = (reached < top_p * reached[:, -1:]).sum(-1, keepdim=True)
    ranked *= (top_p == 1) | (rank <= crossing)
    return torch.zeros_like(ranked).scatter_(1, order, ranked)


def _columns(rows: Sequence[Row], z: Tensor) -> tuple[Tensor, ...]:
    settings = [row.sampling for row in rows]
    table = [
        (s.temperature, s.top_k, s.top_p, s.min_p, uniform(s.seed, row.position))
        for s, row in zip(settings, rows, strict=True)
    ]
    return torch.tensor(table, dtype=torch.float64, device=z.device)[:, None].unbind(-1)


def _compare(logits: Tensor, batch: Sequence[Row], seconds: float) -> dict[str, Any]:
    law = _fastest(lambda: draw(logits, batch), seconds)
    plain = _fastest(lambda: full_sort(logits, batch), seconds)
    return {
        "threads": torch.get_num_threads(),
        "microseconds_call": round(law * 1e6, 1),
        "microseconds_row": round(law * 1e6 / len(batch), 2),
        "full_sort_microseconds_call": round(plain * 1e6, 1),
        "speedup": round(plain / law, 2),
        "equal_ids": draw(logits, batch).ids == full_sort(logits, batch),
    }


def _fastest(call: Callable[[], object], seconds: float) -> float:
    """Seconds of the fastest call within the time, after one that warms up."""
    call()
    best, calls, end = float("inf"), 0, time.perf_counter() + seconds
    while not calls or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best, calls = min(best, time.perf_counter() - start), calls + 1
    return best


def _logits(rows: int, vocabulary: int, device: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(rows, vocabulary, generator=generator)
    rank = noise.argsort(-1).argsort(-1)
    peaked = -1.5 * torch.log1p(rank.float()) + 0.1 * noise
    return {"peaked": peaked.to(device), "flat": (2.5 * noise).to(device)}


def _batch(rows: int, sampling: Sampling, vocabulary: int, device: str) -> list[Row]:
    generator = torch.Generator().manual_seed(1)
    seen = torch.randint(vocabulary, (rows, _CONTEXT), generator=generator).to(device)
    return [Row(sampling, position, seen[position]) for position in range(rows)]
