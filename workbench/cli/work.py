"""A run of many requests: told, asked, watched, and finished later where it was cut short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.text import Text

from workbench import experiments
from workbench.cli.cells import plan_document
from workbench.cli.guard import MENDABLE, complain, stopped
from workbench.cli.output import print_json
from workbench.cli.tally import Tally
from workbench.engines import at_hand
from workbench.errors import InvalidInput, StoreError, WorkbenchError
from workbench.experiments import Run
from workbench.experiments.expectation import expected
from workbench.printable import one_line, printable
from workbench.records import EngineSpec, Failed, Plan
from workbench.session import Session
from workbench.store import RunRow, Store

_PLAN = 600  # characters of a plan's line


@dataclass(frozen=True, slots=True)
class Verb:
    """What is a verb's own: its words, and how it shows a run."""

    name: str  # of the command
    noun: str  # of what it makes
    show: Callable[[Run, Console], None]
    document: Callable[[Run, str], dict[str, Any]]  # of a run and its store's file
    remark: Callable[[Plan], str] = lambda plan: ""  # a line beneath the plan's
    fit: Callable[[Plan, EngineSpec], Plan] = lambda plan, opened: plan  # once the engine is open
    kinds: tuple[str, ...] = ()  # of other plans that it goes on with
    intervals: bool = False  # while it runs, and a line for every tenth of a grid cell


class Work:
    """One verb's run: begun, or taken up where it was stopped.

    Args:
        verb: Whose.
        store: Keeps it.
        out: Where people read.
        concurrency: Requests under way at once; ``None``: what the plan says.
        dry_run: Only say what it takes.
        as_json: End with one JSON document on stdout.
    """

    def __init__(
        self,
        verb: Verb,
        store: Store,
        out: Console,
        *,
        concurrency: int | None,
        dry_run: bool,
        as_json: bool,
    ) -> None:
        self._verb = verb
        self._store = store
        self._out = out
        self._concurrency = concurrency
        self._dry = dry_run
        self._as_json = as_json
        self._run: str | None = None  # once there is one

    def begin(self, plan: Plan) -> int:
        """Announce a plan and ask everything; the exit code.

        Raises:
            WorkbenchError: An engine or a model of it is not here; nothing is announced then.
        """
        if not self._dry:
            for spec in dict.fromkeys(cell.spec for cell in plan.cells):
                at_hand(spec)
        self._announce(plan)
        if self._dry:
            return self._planned(plan)
        return self._watched(plan, None)

    def go_on(self, row: RunRow) -> int:
        """Announce what is left of a run and ask it; the exit code.

        Raises:
            InvalidInput: The run is of another kind.
        """
        if row.kind not in (self._verb.noun, *self._verb.kinds):
            raise InvalidInput(
                f"Run {row.id} is of kind {row.kind}, which `workbench {self._verb.name}` "
                "does not go on with.",
                remedy=_other_way(row),
            )
        ended = {one.index for one in self._store.rows(row.id) if _stays(one.finish_reason)}
        left = [cell for index, cell in enumerate(row.plan.cells) if index not in ended]
        plan = replace(row.plan, expected=expected(left, self._store) if left else None)
        self._out.print(f"Run {row.id}: {len(ended):,} of {len(plan):,} generations have ended.")
        self._announce(plan, finished=not left)
        if self._dry:
            return self._so_far(row, plan)
        self._run = row.id
        if row.status == "finished":
            return self._show(experiments.load(row.id, self._store))
        return self._watched(row.plan, row)

    def _announce(self, plan: Plan, *, finished: bool = False) -> None:
        self._out.print(one_line(plan.title, _PLAN))
        if remark := self._verb.remark(plan):
            self._out.print(printable(remark))
        self._out.print("nothing is left to ask" if finished else plan.cost, "\n")

    def _planned(self, plan: Plan) -> int:
        if self._as_json:
            print_json({"plan": plan_document(plan)})
        return 0

    def _so_far(self, row: RunRow, plan: Plan) -> int:
        """How far a run is, also one that another process is at."""
        run = experiments.load(row.id, self._store)
        self._verb.show(run, self._out)
        if self._as_json:
            told = self._verb.document(run, str(self._store.path))
            print_json(told | {"plan": plan_document(plan)})
        return 0

    def _watched(self, plan: Plan, row: RunRow | None) -> int:
        try:
            run = self._asked(plan, row)
        except KeyboardInterrupt:
            return stopped(self._left("Stopped.", plan))
        except WorkbenchError as error:
            full = isinstance(error, StoreError) and bool(error.runs)
            if self._run is not None and (row is None or full):
                complain(self._left(f"The {self._verb.noun} has ended early.", plan))
            raise (self._closed(error) if full else error) from None
        return self._show(run)

    def _closed(self, error: WorkbenchError) -> StoreError:
        """Why the store ended a run, and what it could not keep; how to go on has been told."""
        try:
            self._store.close()
        except StoreError as last:
            error = last
        return StoreError(error.message, remedy=error.remedy)

    def _asked(self, plan: Plan, row: RunRow | None) -> Run:
        before = () if row is None else experiments.load(row.id, self._store).rows()
        with self._session(plan, row) as session:
            if row is None and session is not None:
                plan = self._refitted(plan, session.spec)
            tally = Tally(self._out, plan, before, intervals=self._verb.intervals)
            options: dict[str, Any] = {
                "session": session,
                "store": self._store,
                "concurrency": self._concurrency,
                "watch": tally.watch,
                "progress": tally.progress,
            }
            with tally:
                if row is None:
                    return experiments.execute(plan, begun=self._begun, **options)
                return experiments.resume(row.id, **options)

    def _begun(self, run: str) -> None:
        self._run = run

    def _refitted(self, plan: Plan, opened: EngineSpec) -> Plan:
        """What the open engine has room for is known only now; what changes by it is said."""
        fits = self._verb.fit(plan, opened)
        if fits.cells != plan.cells:
            self._out.print(printable(self._verb.remark(fits)))
        return fits

    @contextmanager
    def _session(self, plan: Plan, row: RunRow | None) -> Iterator[Session | None]:
        """Of the one engine: what cannot be opened is told before a run begins."""
        specs = dict.fromkeys(cell.spec for cell in plan.cells)
        if len(specs) > 1 or (row is not None and row.status == "running"):
            yield None
            return
        spec = next(iter(specs))
        with Session(spec) as session:
            if self._out.is_terminal:
                with self._out.status(Text(f"Loading {printable(spec.model)} …")):
                    _ = session.spec
            _ = session.spec
            yield session

    def _left(self, sentence: str, plan: Plan) -> str:
        """What an end before the end leaves, and how to go on."""
        if self._run is None:
            return f"{sentence} Nothing was asked."
        try:
            ended = sum(_stays(row.finish_reason) for row in self._store.rows(self._run))
        except WorkbenchError:  # what is wrong with the store is told next
            kept = "What had ended is"
        else:
            kept = f"{ended:,} of {len(plan):,} generations are"
        command = f"workbench {self._verb.name} --resume {self._run}"
        return f"{sentence} {kept} kept as run {self._run}; go on with `{command}`."

    def _show(self, run: Run) -> int:
        self._verb.show(run, self._out)
        self._out.print(f"Kept as run {run.id} in {printable(str(self._store.path))}")
        if self._as_json:
            print_json(self._verb.document(run, str(self._store.path)))
        return _verdict(self._store, run)


def refuse_another_plan(
    verb: Verb, row: RunRow, asked: Plan | None, options: Mapping[str, Any]
) -> None:
    """A run keeps its plan; whoever describes another one means another run.

    Raises:
        InvalidInput: Options without what they are of, or a plan that is not the run's.
    """
    remedy = f"Write only `workbench {verb.name} --resume {row.id}`."
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if asked is None and given:
        raise InvalidInput(f"A resumed run keeps its plan; {given[0]} changes it.", remedy=remedy)
    if asked is not None and asked.cells != row.plan.cells:
        raise InvalidInput(f"Run {row.id} was begun with another plan.", remedy=remedy)


def _other_way(row: RunRow) -> str:
    verb = {"sweep": "sweep", "evaluation": "eval"}.get(row.kind)
    if verb is None:
        return f"In Python, resume({row.id!r}) does."
    return f"`workbench {verb} --resume {row.id}` does."


def _stays(reason: str | None) -> bool:
    return reason not in (None, "cancelled")


def _verdict(store: Store, run: Run) -> int:
    """Say what failed, each sentence once; nothing but failures is a failure."""
    ends = [row.end for row in store.rows(run.id)]
    failed = [end for end in ends if isinstance(end, Failed)]
    for sentence, count in _sentences(failed).items():
        complain(f"{count:,} of {len(run.plan):,} requests failed: {sentence}")
    return MENDABLE if failed and len(failed) == len(ends) else 0


def _sentences(failed: Iterable[Failed]) -> Counter[str]:
    return Counter(f"{end.error} {end.remedy}" for end in failed)
