"""Runs read again: what is on disk, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from workbench import codec
from workbench.errors import InvalidInput
from workbench.records import Channel, Event, Generation, Score
from workbench.store import blocks, rows
from workbench.store.database import Database, intact
from workbench.store.recorder import generation_line
from workbench.store.rows import GenerationRow, RunRow

_EXPORT_FORMAT = 1
_PORTION = 500  # rows that are decoded together, which is faster than one by one
_BLOCKS = "SELECT data FROM blocks WHERE run = ? AND idx = ? ORDER BY part"
_SPAN = "SELECT idx, data FROM blocks WHERE run = ? AND idx BETWEEN ? AND ? ORDER BY idx, part"


class Archive:
    """The runs of one file, for reading. A run is named by its id or by the beginning of it.

    Every method raises ``StoreError`` when the file cannot be read, and ``InvalidInput``
    when no run has the given id, or several have. Without a file there are no runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reading = Database(path)

    def runs(self, limit: int | None = None) -> list[RunRow]:
        """The latest runs, newest first."""
        most = -1 if limit is None else max(limit, 0)  # to SQLite a negative limit is none
        found = self._reading.read(rows.RUNS, {"key": None, "limit": most})
        with intact(f"A row of the run store {self.path}"):
            return [rows.run_row(columns) for columns in found]

    def run(self, run: str) -> RunRow:
        """One run.

        Raises:
            InvalidInput: No run of this id, or several.
        """
        found = self._reading.read(rows.RUNS, {"key": self.key(run), "limit": 1})
        with intact(f"A row of the run store {self.path}"):
            return rows.run_row(found[0])

    def indices(self, run: str, *, ended: bool = False) -> list[int]:
        """The indices of the generations that have begun, or of those that have ended."""
        query = "SELECT idx FROM generations WHERE run = ? AND ended >= ? ORDER BY idx"
        return [index for (index,) in self._reading.read(query, [self.key(run), ended])]

    def generations(self, run: str) -> list[GenerationRow]:
        """The generations that have begun, by index, without their tokens."""
        return list(self.rows(run))

    def rows(self, run: str) -> Iterator[GenerationRow]:
        """``generations`` one by one; a few hundred are in memory at once."""
        key, after = self.key(run), -1
        while portion := self._generations(key, after, _PORTION):
            yield from portion
            after = portion[-1].index

    def generation(self, run: str, index: int) -> Generation:
        """One generation with every event.

        Its channels are settled when it had ended; else they are as they streamed.

        Raises:
            InvalidInput: The run has no such generation.
        """
        found = self._generations(self.key(run), index - 1, 1)
        if not found or found[0].index != index:
            raise InvalidInput(
                f"Run {run} has no generation {index}.",
                remedy="Use an index that store.generations(run) lists.",
            )
        cell = found[0].cell
        return Generation(cell.request, cell.spec, self.events(run, index))

    def events(self, run: str, index: int) -> tuple[Event, ...]:
        """Every event of one generation, exactly as it was appended; none if it has not begun."""
        parts = self._reading.read(_BLOCKS, [self.key(run), index])
        return tuple(event for (data,) in parts for event in blocks.unpack(data))

    def texts(self, run: str, channel: Channel) -> Iterator[tuple[int, str]]:
        """Index and ``Generation.text_of`` of one channel, for all that have begun.

        Many times faster than by reading the generations.
        """
        key, indices = self.key(run), self.indices(run)
        for start in range(0, len(indices), _PORTION):
            portion = indices[start : start + _PORTION]
            found = self._reading.read(_SPAN, [key, portion[0], portion[-1]])
            texts = dict.fromkeys(portion, "")
            for index, data in found:
                texts[index] = texts.get(index, "") + blocks.text_of(data, channel)
            yield from texts.items()

    def scores(self, run: str) -> list[Score]:
        """The scores of a run, by generation."""
        query = "SELECT score FROM scores WHERE run = ? ORDER BY idx"
        columns = self._reading.read(query, [self.key(run)])
        with intact(f"A row of the run store {self.path}"):
            return [codec.from_json(Score, codec.loads(text)) for (text,) in columns]

    def export(self, run: str) -> Iterator[str]:
        """A run as lines of JSON: the run with its plan, its generations, its scores.

        Each line is an object with its ``"type"``: ``run``, ``generation`` or ``score``.
        """
        return self._lines(self.run(run))

    def close(self) -> None:
        """Let go of the file; reading opens it again."""
        self._reading.close()

    def _lines(self, run: RunRow) -> Iterator[str]:
        yield codec.dumps(
            {
                "type": "run",
                "format": _EXPORT_FORMAT,
                "id": run.id,
                "created": run.created.isoformat(),
                "status": run.status,
                "environment": run.environment,
                "plan": codec.to_json(run.plan),
            }
        )
        for row in self.generations(run.id):
            events = self.events(run.id, row.index)
            cell = codec.to_json(row.cell)
            yield generation_line(run.id, row.index, cell, row.metrics, row.flags, events)
        for score in self.scores(run.id):
            yield codec.dumps({"type": "score", "run": run.id} | codec.to_json(score))

    def _generations(self, key: int, after: int, most: int) -> list[GenerationRow]:
        where = {"run": key, "after": after, "most": most}
        found = self._reading.read(rows.GENERATIONS, where)
        with intact(f"A row of the run store {self.path}"):
            return rows.generation_rows(found)

    def key(self, run: str) -> int:
        """The key of the run that an id or its beginning names."""
        name = run.encode("ascii", "replace").decode("ascii")  # SQLite takes no lone surrogates
        found = self._reading.read("SELECT key, id FROM runs WHERE id = ?", [name])
        if name and not found:
            found = self._reading.read(
                "SELECT key, id FROM runs WHERE substr(id, 1, ?) = ? ORDER BY id DESC",
                [len(name), name],
            )
        if len(found) != 1:
            raise _not_one(run, [id_ for _, id_ in found])
        return int(found[0][0])


def _not_one(run: str, found: list[str]) -> InvalidInput:
    if not found:
        return InvalidInput(
            f"There is no run {run!r}.", remedy="`workbench runs list` names the runs there are."
        )
    shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
    return InvalidInput(
        f"{len(found)} runs begin with {run!r}: {shown}.", remedy="Give more of the id."
    )
