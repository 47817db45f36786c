"""The binary layout of events: columns in one block.

::

    block          flags (1 byte: 1 deflated, 2 wide logprobs, 4 wide rank_logprobs), columns
    columns        the sizes of the sections in bytes (13 uint32), then the sections:
    kinds          a byte an event: 0 the next of ``others``; for a chunk 1 + its channel's
                   place in ``Channel`` + 8 with log-probabilities + 16 with alternatives
                   + 32 where its ids were forced + 64 where one was proposed by speculation
               + 128 where that was accepted
    times          float64 a chunk
    tokens         uint32 a chunk: its number of ids
    lengths        uint32 a chunk: its number of characters
    ids            uint32 an id
    scored         uint32 a chunk with log-probabilities: their number
    logprobs       float32 a log-probability; float64 (wide) where one of them is no float32
    ranked         uint32 a chunk with alternatives: their number
    widths         uint32 a tuple of alternatives: its number of candidates
    rank_ids       uint32 a candidate
    rank_logprobs  as ``logprobs``, a candidate
    others         JSON: the array of all events that are not chunks
    text           UTF-8 of all chunks, lone surrogates kept

Everything is little-endian. In a deflated block numbers stand byte plane by byte plane
(all lowest bytes first) and times are differences of bit patterns: neighbours are alike
there, and zlib finds it. Any list of events comes back exactly as it went in.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench import codec
from workbench.errors import InvalidInput, StoreError
from workbench.records import Alternatives, Channel, Chunk, Event

Array = npt.NDArray[Any]

_DEFLATED, _WIDE, _RANK_WIDE = 1, 2, 4
_SCORED, _RANKED, _FORCED, _PROPOSED, _ACCEPTED = 8, 16, 32, 64, 128
_HEAD = struct.Struct("<13I")
_CHANNELS = tuple(Channel)
_LEVEL = 6  # of zlib: 9 takes three times as long for 1 %


def pack(events: Sequence[Event], *, deflate: bool = True) -> bytes:
    """Events as one block.

    Args:
        events: In any order and of any kind.
        deflate: Compress; without it a block is about 2.5 times as large, and cheap.
    """
    chunks = [event for event in events if isinstance(event, Chunk)]
    others = [codec.to_json(event) for event in events if not isinstance(event, Chunk)]
    scored = [chunk.logprobs for chunk in chunks if chunk.logprobs is not None]
    ranked = [chunk.alternatives for chunk in chunks if chunk.alternatives is not None]
    ranks = list(chain.from_iterable(ranked))
    logprobs = _floats(chain.from_iterable(scored))
    rank_logprobs = _floats(value for rank in ranks for _, value in rank)
    columns = (
        np.fromiter(map(_kind, events), np.uint8, len(events)),
        np.array([chunk.t for chunk in chunks], "<f8"),
        _counts(chunk.ids for chunk in chunks),
        _counts(chunk.text for chunk in chunks),
        np.array([token for chunk in chunks for token in chunk.ids], "<u4"),
        _counts(scored),
        logprobs,
        _counts(ranked),
        _counts(ranks),
        np.array([token for rank in ranks for token, _ in rank], "<u4"),
        rank_logprobs,
    )
    tail = (
        codec.dumps(others).encode("ascii"),
        "".join([chunk.text for chunk in chunks]).encode("utf-8", "surrogatepass"),
    )
    sections = [_planes(column) if deflate else column.tobytes() for column in columns]
    body = b"".join((_HEAD.pack(*map(len, (*sections, *tail))), *sections, *tail))
    flags = _DEFLATED * deflate + _WIDE * _wide(logprobs) + _RANK_WIDE * _wide(rank_logprobs)
    return bytes((flags,)) + (zlib.compress(body, _LEVEL) if deflate else body)


def unpack(block: bytes) -> tuple[Event, ...]:
    """The events of a block.

    Raises:
        StoreError: The block is damaged.
    """
    with _whole():
        return tuple(_events(block))


def text_of(block: bytes, channel: Channel) -> str:
    """The joined text of a channel's chunks, without making records of them.

    Raises:
        StoreError: The block is damaged.
    """
    with _whole():
        return "".join(_texts(block, channel))


@contextmanager
def _whole() -> Iterator[None]:
    try:
        yield
        return
    except (zlib.error, struct.error, ValueError, IndexError, StopIteration, RuntimeError) as error:
        why = str(error)
    except InvalidInput as error:
        why = error.message
    raise StoreError(
        f"Recorded events cannot be read: {why}.",
        remedy="The store is damaged: restore it from a backup, or delete this run.",
    )


# --- writing --------------------------------------------------------------------------------------


def _kind(event: Event) -> int:
    if not isinstance(event, Chunk):
        return 0
    channel = 1 + _CHANNELS.index(event.channel)
    scored = 0 if event.logprobs is None else _SCORED
    ranked = 0 if event.alternatives is None else _RANKED
    draft = 0 if event.draft is None else _PROPOSED + _ACCEPTED * event.draft
    return channel + scored + ranked + _FORCED * event.forced + draft


def _counts(items: Iterable[Sequence[Any]]) -> Array:
    return np.array(list(map(len, items)), "<u4")


def _floats(values: Iterable[float]) -> Array:
    """As float32 where that loses nothing, else as float64."""
    wide = np.array(list(values), "<f8")
    with np.errstate(over="ignore"):
        narrow = wide.astype("<f4")
    return narrow if np.array_equal(narrow, wide, equal_nan=True) else wide


def _wide(column: Array) -> bool:
    return column.dtype.itemsize == 8


def _planes(column: Array) -> bytes:
    if column.dtype == np.dtype("<f8"):
        column = np.diff(column.view("<u8"), prepend=np.uint64(0))
    return column.view(np.uint8).reshape(-1, column.dtype.itemsize).T.tobytes()


# --- reading --------------------------------------------------------------------------------------


def _events(block: bytes) -> Iterator[Event]:
    kinds, times, tokens, lengths, ids, *marks, others, text = _sections(block)
    scored, logprobs, ranked, widths, rank_ids, rank_logprobs = marks
    ranks = zip(rank_ids.tolist(), rank_logprobs.tolist(), strict=True)
    candidates: Iterator[Alternatives] = _dealt(ranks, widths)
    rest = map(codec.event_from_json, codec.loads(others.tobytes().decode("ascii")))
    characters = text.tobytes().decode("utf-8", "surrogatepass")
    ends = accumulate(lengths.tolist())
    every_scored = _dealt(iter(logprobs.tolist()), scored)
    every_ranked = _dealt(candidates, ranked)
    chunks = zip(
        times.tolist(), _dealt(iter(ids.tolist()), tokens), lengths.tolist(), ends, strict=True
    )
    for kind in kinds.tolist():
        if not kind:
            yield next(rest)
            continue
        t, own, length, end = next(chunks)
        yield Chunk(
            t,
            own,
            characters[end - length : end],
            _CHANNELS[(kind & 7) - 1],
            next(every_scored) if kind & _SCORED else None,
            next(every_ranked) if kind & _RANKED else None,
            bool(kind & _FORCED),
            bool(kind & _ACCEPTED) if kind & _PROPOSED else None,
        )


def _texts(block: bytes, channel: Channel) -> Iterator[str]:
    kinds, _, _, lengths, *_, text = _sections(block)
    characters = text.tobytes().decode("utf-8", "surrogatepass")
    own = (kinds[kinds > 0] & 7) == 1 + _CHANNELS.index(channel)
    ends = np.cumsum(lengths, dtype=np.int64)
    for place in np.flatnonzero(own).tolist():
        yield characters[int(ends[place] - lengths[place]) : int(ends[place])]


def _dealt(items: Iterator[Any], counts: Array) -> Iterator[tuple[Any, ...]]:
    """``items`` in tuples of ``counts``."""
    return (tuple(islice(items, count)) for count in counts.tolist())


def _sections(block: bytes) -> Iterator[Array]:
    """The columns in order; ``others`` and ``text`` as bytes."""
    flags, body = block[0], block[1:]
    if flags & _DEFLATED:
        body = zlib.decompress(body)
    sizes = _HEAD.unpack_from(body)
    if _HEAD.size + sum(sizes) != len(body):
        raise ValueError("a block is cut off")
    start = _HEAD.size
    for size, kind in zip(sizes, _dtypes(flags), strict=True):
        yield _column(body[start : start + size], kind, deflated=bool(flags & _DEFLATED))
        start += size


def _dtypes(flags: int) -> Sequence[str]:
    logprobs = "<f8" if flags & _WIDE else "<f4"
    rank_logprobs = "<f8" if flags & _RANK_WIDE else "<f4"
    head = ("u1", "<f8", "<u4", "<u4", "<u4", "<u4", logprobs)
    return (*head, "<u4", "<u4", "<u4", rank_logprobs, "u1", "u1")


def _column(data: bytes, kind: str, *, deflated: bool) -> Array:
    dtype = np.dtype(kind)
    if not deflated or dtype.itemsize == 1:
        return np.frombuffer(data, dtype)
    planes = np.frombuffer(data, np.uint8).reshape(dtype.itemsize, -1)
    column = np.ascontiguousarray(planes.T).view(dtype).reshape(-1)
    if kind != "<f8":
        return column
    return np.cumsum(column.view("<u8"), dtype="<u8").view("<f8")
