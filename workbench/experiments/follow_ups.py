"""The turns of a conversation: what was said before a follow-up, put in front of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from workbench.errors import InvalidInput
from workbench.evaluation.grading import answered
from workbench.experiments.lengths import Room
from workbench.records import Cell, EngineSpec, Event, Failed, Finished, Generation, Message
from workbench.store import Store

_REMEDY = "Ask the whole conversation again."


def completed(cell: Cell, before: Generation) -> Cell:
    """The cell with the conversation so far in front of its own message.

    Of the turn before only what follows its thinking is kept; thinking that was never
    closed has nothing after it, and so its answer is empty.
    """
    said = (*before.request.messages, Message("assistant", answered(before)))
    request = replace(cell.request, messages=(*said, *cell.request.messages))
    return replace(cell, request=request)


def linked(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Cells of problems that follow others, each tied to the turn before it.

    That is the cell of the problem that its own follows, asked of the same engine with the
    same settings, in the same sample.

    Raises:
        InvalidInput: The problem that one follows is not asked, or only behind it.
    """
    if not any(cell.problem is not None and cell.problem.follows for cell in cells):
        return tuple(cells)
    places: dict[Hashable, int] = {}
    found = []
    for index, cell in enumerate(cells):
        problem, before = cell.problem, None
        if problem is not None:
            arm = _arm(cell)
            places[arm, problem.id] = index
            if problem.follows is not None:
                before = places.get((arm, problem.follows))
                if before is None:
                    raise InvalidInput(
                        f"Problem {problem.id!r} goes on with {problem.follows!r}, "
                        "which is not asked before it.",
                        remedy="Ask the whole conversation, its turns in their order.",
                    )
        found.append(cell if before is None else replace(cell, follows=before))
    return tuple(found)


def part(cells: Sequence[Cell], chosen: Iterable[int]) -> tuple[list[int], tuple[Cell, ...]]:
    """Some cells as a plan of their own: with the turns before them, and renumbered.

    Returns:
        Places in ``cells``, in their order, and the cells there as they follow each other now.
    """
    wanted: set[int] = set()
    for index in chosen:
        place: int | None = index
        while place is not None and place not in wanted:
            wanted.add(place)
            place = cells[place].follows
    places = sorted(wanted)
    now = {index: number for number, index in enumerate(places)}
    return places, tuple(
        cells[index] if (before := cells[index].follows) is None
        else replace(cells[index], follows=now[before])
        for index in places
    )  # fmt: skip


def _arm(cell: Cell) -> Hashable:
    """What the turns of one conversation have in common."""
    request = cell.request
    return cell.spec, request.mode, replace(request.sampling, seed=0), cell.sample


class FollowUps:
    """Completes the follow-ups of one run from what the store has of the turns before.

    Args:
        run: Its id.
        store: Keeps it.
        cells: Of its plan.
    """

    def __init__(self, run: str, store: Store, cells: Sequence[Cell]) -> None:
        self._run = run
        self._store = store
        self._cells = cells
        self._rooms: dict[EngineSpec, Room] = {}

    def ready(self, indices: Iterable[int]) -> None:
        """See that what these cells follow can be read.

        Raises:
            StoreError: It could not be written.
        """
        if any(self._cells[index].follows is not None for index in indices):
            self._store.flush()

    def asked(self, index: int, spec: EngineSpec) -> tuple[Cell, Event | None]:
        """A cell as it is to be asked, and how it ends at once where it cannot be.

        Where the answer before leaves too little room for the limit of new tokens, the
        limit gives way to what there is room for. A follow-up of a turn that failed has
        failed too; that of one that was cancelled is cancelled, so that a resumed run
        asks both again.

        Args:
            index: Of the cell in the plan.
            spec: Of the open engine.

        Raises:
            StoreError: The turn before cannot be read.
        """
        cell = self._cells[index]
        if cell.follows is None:
            return cell, None
        try:
            before = self._store.generation(self._run, cell.follows)
        except InvalidInput:
            return cell, Failed(0.0, "The turn before was never asked.", _REMEDY)
        full = completed(cell, before)
        if isinstance(before.end, Failed):
            return full, Failed(0.0, f"The turn before failed: {before.end.error}", _REMEDY)
        if not before.ok:
            return full, Finished(0.0, "cancelled")
        room = self._rooms.setdefault(spec, Room(spec))
        return room.fitted(full), None
