"""How the next token is drawn: one call an iteration for all live requests.

Every engine draws here, so engines differ in logits only. ``law`` says what is drawn; this
module groups the rows by the work they need, feeds each its uniform number, and brings ids,
log-probabilities and alternatives to the host in one copy.

The uniform number depends on (seed, position) only, so equal logits give the same token
alone, in a batch, in another order of rows, after a resume and on another engine.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import torch
from torch import Tensor

from workbench.errors import EngineError
from workbench.records import Alternatives, Sampling
from workbench.sampling import law

_PAIR = struct.Struct("<QQ")
_ELEMENTS_CPU = 2**21  # logits worked on at a time, so that the allocator reuses its memory
_ELEMENTS_GPU = 2**25


@dataclass(frozen=True, slots=True)
class Row:
    """What one row of logits is drawn with, and what is wanted of it."""

    sampling: Sampling
    position: int  # tokens generated so far in this request
    seen: Tensor | None = None  # int64 [n], ids of the context; for a repetition penalty only
    logprobs: bool = False  # report the log-probability of the drawn id
    alternatives: int = 0  # report so many most likely ids
    ruled_out: tuple[int, ...] = ()  # ids that cannot be drawn; the reports know nothing of it
    forced: int | None = None  # id that is put in instead of a drawn one, and reported on


@dataclass(frozen=True, slots=True)
class Drawn:
    """One entry a row. Log-probabilities are natural, of the softmax of the raw logits.

    They describe the model, not the draw: no penalty, temperature or truncation is in
    them. Ids that the logits rule out (-inf) are never alternatives.
    """

    ids: list[int]
    logprobs: list[float | None]  # None where not asked for
    alternatives: list[Alternatives | None]  # most likely first, equal ones by id


class UndrawableLogits(EngineError):
    """Rows of logits hold NaN, +inf or nothing but -inf.

    Drawing keeps no state: the other rows can be drawn in a second call.
    """

    def __init__(self, message: str, *, remedy: str, rows: tuple[int, ...] = ()) -> None:
        super().__init__(message, remedy=remedy)
        self.rows = rows


def uniform(seed: int, position: int) -> float:
    """The number in [0, 1) of a (seed, position): 53 bits of the BLAKE2b of the packed pair."""
    digest = hashlib.blake2b(_PAIR.pack(seed, position), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


@torch.inference_mode()
def draw(logits: Tensor, rows: Sequence[Row]) -> Drawn:
    """Draw one token a row, on the device of the logits.

    Args:
        logits: Floating [rows, vocabulary], without padding; -inf rules an id out.
        rows: What each row is drawn with.

    Raises:
        UndrawableLogits: Rows hold NaN, +inf or, outside what is ruled out, nothing but -inf.
        ValueError: ``rows`` does not fit ``logits``, or lacks the ids a penalty needs.
    """
    if logits.ndim != 2 or not rows or logits.shape[0] != len(rows):
        raise ValueError(f"{len(rows)} rows do not fit logits of shape {tuple(logits.shape)}.")
    raw = logits.float()
    # Rows that are not simply drawn; one look at each, for a small model's step is not much more.
    special = [i for i, row in enumerate(rows) if row.ruled_out or row.forced is not None]
    final = _penalised(raw, rows)
    if special:
        final = _without_ruled_out(final, rows, special)
    peak, ids = law.largest(final)
    for way, members in _work(rows, final):
        at = _index(members, final)
        ids[at] = _drawn(final[at], peak[at], [rows[i] for i in members], way)
    if special:
        _put_forced(ids, rows, special)
    recorded = _recorded(raw, ids, rows)
    # One copy to the host; ids are exact in float64.
    table = torch.cat((peak[:, None].double(), ids[:, None], *recorded), 1)
    return _read(table.tolist(), rows)


class _Way(Enum):
    PLAIN = auto()  # any token can come
    COUNTED = auto()  # top-k bounds the candidates
    MASSED = auto()  # nucleus or min-p bounds them


def _work(rows: Sequence[Row], final: Tensor) -> Iterator[tuple[_Way, list[int]]]:
    """The rows that are drawn and not greedy, by the way they are drawn, in portions."""
    ways: dict[_Way, list[int]] = {}
    for index, row in enumerate(rows):
        s = row.sampling
        if s.temperature == 0 or row.forced is not None:
            continue
        way = _Way.MASSED if s.top_p < 1 or s.min_p > 0 else _Way.PLAIN
        ways.setdefault(_Way.COUNTED if s.top_k else way, []).append(index)
    step = _portion(final)
    for way, members in ways.items():
        yield from ((way, members[first : first + step]) for first in range(0, len(members), step))


def _portion(logits: Tensor) -> int:
    """Rows that are worked on at a time."""
    most = _ELEMENTS_CPU if logits.device.type == "cpu" else _ELEMENTS_GPU
    return max(1, most // logits.shape[1])


def _index(members: list[int], final: Tensor) -> Tensor | slice:
    """What picks some rows; a slice, which copies nothing, where they are neighbours."""
    if members[-1] - members[0] + 1 == len(members):
        return slice(members[0], members[-1] + 1)
    return torch.tensor(members, device=final.device)


def _drawn(logits: Tensor, peak: Tensor, rows: Sequence[Row], way: _Way) -> Tensor:
    drawn_with = [(row.sampling, uniform(row.sampling.seed, row.position)) for row in rows]
    settings = law.settings(drawn_with, logits)
    top = peak.double()[:, None]
    if way is _Way.PLAIN:
        return law.plain(logits, top, settings)
    return law.truncated(logits, top, settings, counted=way is _Way.COUNTED)


def _penalised(raw: Tensor, rows: Sequence[Row]) -> Tensor:
    hit = [i for i, row in enumerate(rows) if row.sampling.repetition_penalty != 1]
    if not hit:
        return raw
    seen = [ids for i in hit if (ids := rows[i].seen) is not None]
    if len(seen) < len(hit):
        raise ValueError("A row has a repetition penalty but not the ids it has seen.")
    by = torch.tensor([rows[i].sampling.repetition_penalty for i in hit], device=raw.device)
    return law.penalised(raw, hit, seen, by)


def _without_ruled_out(final: Tensor, rows: Sequence[Row], among: Sequence[int]) -> Tensor:
    pairs = [(i, token) for i in among for token in rows[i].ruled_out if token < final.shape[1]]
    if not pairs:
        return final
    return law.ruled_out(final, torch.tensor(pairs, device=final.device))


def _put_forced(ids: Tensor, rows: Sequence[Row], among: Sequence[int]) -> None:
    pairs = [(i, token) for i in among if (token := rows[i].forced) is not None]
    if pairs:
        at, forced = torch.tensor(pairs, device=ids.device).unbind(1)
        ids[at] = forced


def _recorded(raw: Tensor, ids: Tensor, rows: Sequence[Row]) -> tuple[Tensor, ...]:
    """Log-probabilities, of the drawn id first, and the alternatives' ids, where a row wants any.

    Few operations, because a small model's step has not many more.
    """
    members = [i for i, row in enumerate(rows) if row.logprobs or row.alternatives]
    if not members:
        return ()
    if len(members) == len(rows):
        return _named(raw, ids[:, None], rows)
    at = _index(members, raw)
    columns = _named(raw[at], ids[at][:, None], [rows[i] for i in members])
    return tuple(_spread(column, at, len(rows)) for column in columns)


def _named(logits: Tensor, ids: Tensor, rows: Sequence[Row]) -> tuple[Tensor, ...]:
    """The columns of rows that all want some."""
    count = min(max(row.alternatives for row in rows), logits.shape[1])
    if not count:
        return (_log_probabilities(logits, ids),)
    best = law.most_likely(logits, count)
    return _log_probabilities(logits, torch.cat((ids, best), 1)), best.double()


def _log_probabilities(logits: Tensor, ids: Tensor) -> Tensor:
    step = _portion(logits)
    if len(logits) <= step:
        return law.log_probabilities(logits, ids)
    parts = zip(torch.split(logits, step), torch.split(ids, step), strict=True)
    return torch.cat([law.log_probabilities(part, of) for part, of in parts])


def _spread(column: Tensor, at: Tensor | slice, rows: int) -> Tensor:
    """A column of some rows as one of all rows; 0 in the others, which is never read."""
    whole = column.new_zeros(rows, column.shape[1])
    whole[at] = column
    return whole


def _read(table: list[list[float]], rows: Sequence[Row]) -> Drawn:
    bad = tuple(index for index, line in enumerate(table) if not math.isfinite(line[0]))
    if bad:
        raise UndrawableLogits(
            f"The model's output for row {', '.join(map(str, bad))} is not a distribution.",
            remedy="Check the model's weights, or load it with another number format.",
            rows=bad,
        )
    return Drawn(
        ids=[int(line[1]) for line in table],
        logprobs=[line[2] if row.logprobs else None for line, row in zip(table, rows, strict=True)],
        alternatives=[
            _best(line, row.alternatives) if row.alternatives else None
            for line, row in zip(table, rows, strict=True)
        ],
    )


def _best(line: list[float], most: int) -> Alternatives:
    count = (len(line) - 3) // 2
    pairs = zip(line[3 + count :], line[3 : 3 + count], strict=True)
    return tuple((int(i), p) for i, p in pairs if p > -math.inf)[:most]
