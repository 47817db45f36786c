"""What a plan is expected to take, by what the store has measured of the same model and engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from workbench.errors import WorkbenchError
from workbench.records import Cell, EngineSpec, Expected, Plan
from workbench.store import GenerationRow, RunRow, Store

_RUNS = 50  # the latest runs that are looked at
_ROWS = 10_000  # generations that are read of them: under a second
_LIKE = 4.0  # a speed is taken from runs of up to so many times more or fewer requests at once

Lengths = Callable[[Cell], float | None]


def history(store: Store | None, plan: Plan | Sequence[Cell]) -> Lengths:
    """How many tokens a cell is expected to give, to start the longest first.

    Args:
        store: Earlier runs; ``None``: those of this folder.
        plan: Whose cells will be asked about.

    Returns:
        A function of a cell: the mean output tokens of what is most alike, ``None`` where
        nothing is. A store that is not there or cannot be read has measured nothing.
    """
    past = _past(store, plan.cells if isinstance(plan, Plan) else plan)
    return lambda cell: past.length(cell)[0]


def expected(cells: Sequence[Cell], store: Store | None = None) -> Expected | None:
    """Tokens and seconds of all cells; ``None`` when one of them is like nothing measured.

    A length is the mean over earlier generations of the same mode with, as far as there
    are such, the same thinking budget, most tokens, problem group and temperature; what
    ran under other limits is cut at those of the cell. Seconds are tokens over tokens a
    second of earlier runs with about as many requests under way.

    Args:
        cells: Of a plan.
        store: Earlier runs; ``None``: those of this folder. It is only read.
    """
    past = _past(store, cells)
    tokens: dict[tuple[EngineSpec, int | None], list[float]] = {}
    basis: set[frozenset[int]] = set()
    for cell in cells:
        length, used = past.length(cell)
        if length is None:
            return None
        tokens.setdefault((cell.spec, cell.concurrency), []).append(length)
        basis.add(used)
    if not tokens:
        return None
    times = [past.seconds(spec, at_once, lengths) for (spec, at_once), lengths in tokens.items()]
    known = [time for time in times if time is not None]
    seconds = math.fsum(known) if len(known) == len(times) else None
    total = math.fsum(map(math.fsum, tokens.values()))
    return Expected(total, seconds, len(frozenset().union(*basis)))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A generation of an earlier run."""

    cell: Cell
    run: str
    at_once: int  # requests that were under way together
    output: float  # tokens
    thinking: float  # tokens of them
    latency: float | None  # seconds under way, also those in the engine's queue
    cut: bool  # it would have been longer: its limit or its budget ended it

    def under(self, cell: Cell) -> float:
        """The tokens it would have had under the limits of a cell."""
        sampling, own = cell.request.sampling, self.cell.request.sampling
        thinking, most = self.thinking, math.inf
        if sampling.thinking_tokens not in (None, own.thinking_tokens):
            thinking = min(thinking, sampling.thinking_tokens or 0)
        if sampling.max_tokens is not None:
            most = sampling.max_tokens
        return min(max(self.output - self.thinking + thinking, sampling.min_tokens), most)


@dataclass(frozen=True, slots=True)
class _Speed:
    """Output tokens a second of all requests under way together in one run."""

    spec: EngineSpec
    at_once: int
    rate: float


class _Past:
    """What was measured, found by likeness."""

    def __init__(self, seen: Sequence[_Seen]) -> None:
        self._speeds = list(_speeds(seen))
        self._alike: dict[Hashable, list[int]] = {}
        self._seen = seen
        self._known: dict[Hashable, tuple[float, frozenset[int]]] = {}
        for index, one in enumerate(seen):
            for rank, key in enumerate(_keys(one.cell)):
                if not (one.cut and rank in _UNCUT):
                    self._alike.setdefault(key, []).append(index)

    def length(self, cell: Cell) -> tuple[float | None, frozenset[int]]:
        """Expected tokens, and the places of the generations they rest on."""
        sampling = cell.request.sampling
        if sampling.max_tokens is not None and sampling.min_tokens >= sampling.max_tokens:
            return float(sampling.max_tokens), frozenset()
        key = next((key for key in _keys(cell) if key in self._alike), None)
        if key is None:
            return None, frozenset()
        limits = (key, sampling.thinking_tokens, sampling.max_tokens, sampling.min_tokens)
        if limits not in self._known:
            places = self._alike[key]
            mean = math.fsum(self._seen[i].under(cell) for i in places) / len(places)
            self._known[limits] = mean, frozenset(places)
        return self._known[limits]

    def seconds(
        self, spec: EngineSpec, at_once: int | None, lengths: Sequence[float]
    ) -> float | None:
        """How long so many tokens take; ``None`` without a run that was much like it."""
        together = min(at_once or spec.max_batch, len(lengths))
        far = [
            (abs(math.log(speed.at_once / together)), speed.rate)
            for speed in self._speeds
            if _same(speed.spec, spec)
        ]
        near = min(far, key=lambda one: one[0], default=None)
        if near is None or near[0] > math.log(_LIKE):
            return None
        return math.fsum(lengths) / near[1]


_UNCUT = (3, 4)  # places among ``_keys`` where only what came to its own end is of use


def _keys(cell: Cell) -> Iterator[Hashable]:
    """What generations are alike by, the closest likeness first."""
    sampling = cell.request.sampling
    mode = (cell.spec.kind, cell.spec.model, cell.request.mode)
    limits = (sampling.thinking_tokens, sampling.max_tokens)
    group = cell.problem.group if cell.problem else None
    yield "all", mode, limits, group, sampling.temperature
    yield "group", mode, limits, group
    yield "limits", mode, limits
    yield "own end, group", mode, group
    yield "own end", mode
    yield "mode", mode


def _same(measured: EngineSpec, asked: EngineSpec) -> bool:
    """The same model on the same engine, and on the same device where one is asked for."""
    return (measured.kind, measured.model, asked.device or measured.device) == (
        asked.kind,
        asked.model,
        measured.device,
    )


def _past(store: Store | None, cells: Iterable[Cell]) -> _Past:
    asked = {(spec.kind, spec.model) for spec in dict.fromkeys(cell.spec for cell in cells)}
    keeper = store or Store(read_only=True)
    try:
        return _Past(
            [one for one in _read(keeper) if (one.cell.spec.kind, one.cell.spec.model) in asked]
        )
    except (WorkbenchError, OSError):
        return _Past(())  # an expectation is a courtesy: whoever needs the store will hear of it
    finally:
        if store is None:
            keeper.close()


def _read(store: Store) -> Iterator[_Seen]:
    left = _ROWS
    for run in store.runs(limit=_RUNS):
        found = list(islice(store.rows(run.id), left))
        left -= len(found)
        yield from (_seen(run, row) for row in found if _counted(row))


def _counted(row: GenerationRow) -> bool:
    """Whether it came to an end, and its tokens are known; an endpoint may not tell them."""
    return row.finish_reason in ("stop", "length") and row.metrics.get("output_tokens") is not None


def _seen(run: RunRow, row: GenerationRow) -> _Seen:
    metrics, sampling = row.metrics, row.cell.request.sampling
    limited = row.finish_reason == "length" and sampling.max_tokens is not None
    return _Seen(
        cell=row.cell,
        run=run.id,
        at_once=_at_once(run, row.cell),
        output=metrics.get("output_tokens") or 0.0,
        thinking=metrics.get("thinking_tokens") or 0.0,
        latency=metrics.get("request_latency"),
        cut=limited or bool(row.flags.get("forced_close")),
    )


def _at_once(run: RunRow, cell: Cell) -> int:
    """Requests under way together: what the run noted, in parts what the plan set for each.

    The cells of a comparison say 1 also where its caller asked for more.
    """
    noted = run.environment.get("concurrency")
    most = noted if isinstance(noted, int) and noted > 0 else cell.spec.max_batch
    planned = None if run.kind == "compare" else cell.concurrency
    return most if planned is None else min(planned, most)


def _speeds(seen: Iterable[_Seen]) -> Iterator[_Speed]:
    """Of every run and concurrency: tokens over the time that they took together.

    The store has no wall times of a run; the requests' own seconds, divided by how many
    shared them, are the same but for the end of a run, when fewer are under way.
    """
    groups: dict[Hashable, list[_Seen]] = {}
    for one in seen:
        groups.setdefault((one.run, one.cell.spec, one.at_once), []).append(one)
    for members in groups.values():
        timed = [(one.output, one.latency) for one in members if one.latency is not None]
        busy = math.fsum(seconds for _, seconds in timed)
        tokens = math.fsum(output for output, _ in timed)
        if busy > 0 and tokens > 0:
            together = min(members[0].at_once, len(members))
            yield _Speed(members[0].cell.spec, together, tokens * together / busy)
