"""A run's generations, read from the store when they are looked at."""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from workbench import private
from workbench.records import Channel, Generation, Problem, Score
from workbench.store import Archive, GenerationRow, RunRow

_NONE: Mapping[int, Problem] = MappingProxyType({})

_RECENT = 20_000  # events kept of what was read last: about 7 MB


class StoredGenerations(Mapping[int, Generation]):
    """Index -> generation, of those that had begun when this was made.

    What was looked at last is kept, as far as it is small; nothing else is held but the
    indices. Equal to any mapping of equal generations.

    Of private problems neither questions nor texts are told, see ``workbench.private``.

    Args:
        path: The store's file. It is read, never written.
        run: The id of the run.
        private: Index -> problem, of the problems whose texts must not be shown.

    Raises:
        InvalidInput: There is no such run; on looking: it has been deleted meanwhile.
        StoreError: The store cannot be read.
    """

    def __init__(self, path: Path, run: str, private: Mapping[int, Problem] = _NONE) -> None:
        self._archive = Archive(path.absolute())  # the folder may be left meanwhile
        self._close = weakref.finalize(self, self._archive.close)
        self._run = run
        self._private = private
        self._indices = tuple(self._archive.indices(run))
        self._recent: OrderedDict[int, Generation] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> Generation:
        with self._lock:
            found = self._recent.get(index)
            if found is None:
                if index not in self:
                    raise KeyError(index)
                stored = self._archive.generation(self._run, index)
                found = private.generation(stored, self._private.get(index))
            self._remember(index, found)
        return found

    def __contains__(self, index: object) -> bool:
        if not isinstance(index, int):
            return False
        place = bisect_left(self._indices, index)
        return place < len(self._indices) and self._indices[place] == index

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __eq__(self, other: object) -> bool:
        """One by one, so that neither has to be in memory as a whole."""
        if self is other:
            return True
        if not isinstance(other, Mapping):
            return NotImplemented
        if len(self) != len(other):
            return False
        return all(index in other and self[index] == other[index] for index in self)

    __hash__ = None  # type: ignore[assignment]  # as of every mapping

    def __repr__(self) -> str:
        return f"<{len(self)} generations of run {self._run}>"

    def rows(self) -> Iterator[GenerationRow]:
        """Every generation without its tokens, by index."""
        for row in self._archive.rows(self._run):
            if row.index in self:
                yield row

    def answers(self) -> Iterator[tuple[int, str]]:
        """Index and ``Generation.answer``, without making records of the tokens."""
        for index, text in self._archive.texts(self._run, Channel.ANSWER):
            yield index, private.shown(text.strip(), self._private.get(index))

    @property
    def hides(self) -> bool:
        """Whether texts are left out."""
        return bool(self._private)

    def run(self) -> RunRow:
        """The run as it is stored: nothing is left out."""
        return self._archive.run(self._run)

    def scores(self) -> list[Score]:
        """Its scores; nothing is left out."""
        return self._archive.scores(self._run)

    def unveiled(self) -> StoredGenerations:
        """The same generations with all texts, for this machine alone."""
        return StoredGenerations(self._archive.path, self._run)

    def _remember(self, index: int, generation: Generation) -> None:
        self._recent[index] = generation
        self._recent.move_to_end(index)
        size = sum(len(kept.events) for kept in self._recent.values())
        while size > _RECENT and len(self._recent) > 1:
            size -= len(self._recent.popitem(last=False)[1].events)
