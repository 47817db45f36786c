"""The events of one generation on their way to the disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from workbench import codec
from workbench.errors import StoreError
from workbench.records import Cell, Event, Generation, Score
from workbench.store import blocks, facts

Statement = tuple[str, Mapping[str, Any]]

_WHOLE = -1  # the part number of a generation that has ended
_SPEC = "INSERT OR IGNORE INTO specs (spec) VALUES (:spec)"
_BEGIN = (
    _SPEC,
    "DELETE FROM generations WHERE run = :run AND idx = :idx",
    # A run that was deleted meanwhile takes nothing more: the SELECTs find no row then.
    "INSERT INTO generations (run, idx, spec, ended, facts) "
    "SELECT :run, :idx, specs.key, FALSE, :facts FROM specs, runs "
    "WHERE specs.spec = :spec AND runs.key = :run",
)
_APPEND = (
    "INSERT OR REPLACE INTO blocks (run, idx, part, data) SELECT run, idx, :part, :data "
    "FROM generations WHERE run = :run AND idx = :idx"
)
_FINISH = (
    "DELETE FROM blocks WHERE run = :run AND idx = :idx",
    _APPEND,
    _SPEC,
    "UPDATE generations SET spec = (SELECT key FROM specs WHERE spec = :spec), "
    "ended = TRUE, facts = :facts WHERE run = :run AND idx = :idx",
)
_SCORE = (
    "INSERT OR REPLACE INTO scores (run, idx, score) "
    "SELECT run, idx, :score FROM generations WHERE run = :run AND idx = :idx"
)


class Progress(NamedTuple):
    """How far a generation is on disk."""

    begun: bool = False
    parts: int = 0
    events: int = 0
    finished: bool = False


class Batch(NamedTuple):
    """What a generation has to write, and how far it is when that is done."""

    statements: Sequence[Statement]
    progress: Progress


class _Ending(NamedTuple):
    generation: Generation
    metrics: Mapping[str, float | None]
    flags: Mapping[str, bool]
    score: Score | None


class Recorder:
    """Takes the events of one generation; ``Store.begin_generation`` makes it.

    ``append`` and ``finish`` only note what is to be written. ``batch`` and ``advance``
    are the writer's: a batch may be written twice, for it says "these are the events from
    n on", so what an interrupt cuts off is simply done again.
    """

    __slots__ = (
        "_cell",
        "_ending",
        "_events",
        "_finished",
        "_key",
        "_progress",
        "_wake",
        "index",
        "run",
    )

    def __init__(
        self, run: str, key: int, index: int, cell: Cell, wake: Callable[[], None]
    ) -> None:
        self.run = run
        self.index = index
        self._key = key
        self._cell = codec.to_json(cell)
        self._wake = wake
        self._events: list[Event] = []
        self._finished = False
        self._ending: _Ending | None = None
        self._progress = Progress()

    def append(self, event: Event) -> None:
        """Keep an event; it is on disk within a second.

        Raises:
            StoreError: The generation has been finished.
        """
        if self._finished:
            raise StoreError(
                f"Generation {self.index} of run {self.run} has been finished.",
                remedy="Append its events before finish().",
            )
        self._events.append(event)

    def finish(
        self,
        generation: Generation,
        metrics: Mapping[str, float | None],
        flags: Mapping[str, bool],
        score: Score | None = None,
    ) -> None:
        """Say that no event follows; it is on disk within milliseconds.

        Args:
            generation: What came of it. Its spec and its events, with the channels
                settled, take the place of what was known while it ran.
            metrics: What lists show without reading the tokens; what is not finite
                is stored as ``None``.
            flags: What was unusual, for the same lists.
            score: What a grader says; it is on disk when the end is, or neither is.

        Raises:
            InvalidInput: A metric or flag that JSON cannot hold.
        """
        defined = {name: _defined(value) for name, value in metrics.items()}
        codec.dumps([defined, dict(flags)])  # told here, not to the writer's thread
        self._finished, self._ending = True, _Ending(generation, defined, dict(flags), score)
        self._wake()

    @property
    def finished(self) -> bool:
        return self._finished

    @property
    def written(self) -> bool:
        """Whether it has been finished, and all of it is on disk."""
        return self._progress.finished

    @property
    def pending(self) -> bool:
        """Whether some of it is not on disk yet."""
        done = self._progress
        return not done.finished and (self._finished or done.events < len(self._events))

    def batch(self) -> Batch | None:
        """What is not on disk yet; ``None`` when all is."""
        progress = self._progress
        if progress.finished:
            return None
        row: dict[str, Any] = {"run": self._key, "idx": self.index}
        begin = [] if progress.begun else _statements(_BEGIN, row | self._begin())
        if self._ending is not None:
            finish = self._finish(row, self._ending)
            return Batch(begin + finish, Progress(begun=True, finished=True))
        events = self._events[progress.events :]
        if not (begin or events):
            return None
        part = {"part": progress.parts, "data": blocks.pack(events, deflate=False)}
        append = _statements([_APPEND], row | part)
        progress = Progress(True, progress.parts + 1, progress.events + len(events))
        return Batch(begin + append, progress)

    def advance(self, progress: Progress) -> None:
        """Note what is on disk: one assignment, which no interrupt can halve."""
        self._progress = progress
        if progress.finished:
            self._events, self._ending = [], None

    def line(self) -> str:
        """The generation as a line of an export."""
        if self._ending is None:
            return generation_line(self.run, self.index, self._cell, {}, {}, self._events)
        generation, metrics, flags, _ = self._ending
        cell = self._cell | {"spec": codec.to_json(generation.spec)}
        return generation_line(self.run, self.index, cell, metrics, flags, generation.events)

    def _begin(self) -> dict[str, Any]:
        return {"spec": codec.dumps(self._cell["spec"]), "facts": facts.pack(self._cell)}

    def _finish(self, row: Mapping[str, Any], ending: _Ending) -> list[Statement]:
        generation, metrics, flags, score = ending
        values = {
            **row,
            "spec": codec.dumps(codec.to_json(generation.spec)),
            "facts": facts.pack(self._cell, generation, metrics, flags),
            "part": _WHOLE,
            "data": blocks.pack(generation.events),
        }
        finish = _statements(_FINISH, values)
        if score is not None:
            graded = {**row, "score": codec.dumps(codec.to_json(score))}
            finish += _statements([_SCORE], graded)
        return finish


def generation_line(
    run: str,
    index: int,
    cell: Any,
    metrics: Mapping[str, float | None],
    flags: Mapping[str, bool],
    events: Sequence[Event],
) -> str:
    """One generation in JSON, for exports and for what no disk would take."""
    return codec.dumps(
        {
            "type": "generation",
            "run": run,
            "index": index,
            "cell": cell,
            "metrics": dict(metrics),
            "flags": dict(flags),
            "events": [codec.to_json(event) for event in events],
        }
    )


def _statements(queries: Sequence[str], values: Mapping[str, Any]) -> list[Statement]:
    return [(query, values) for query in queries]


def _defined(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
