"""Do: run a plan, keep every event, grade what can be graded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

from workbench.engines import at_hand
from workbench.errors import InvalidInput, StoreError, WorkbenchError
from workbench.evaluation.grading import grade
from workbench.experiments import environment, parts
from workbench.experiments.brake import Brake
from workbench.experiments.energy import Meter
from workbench.experiments.expectation import history
from workbench.experiments.follow_ups import FollowUps
from workbench.experiments.run import Run, flags_of, stored_run
from workbench.experiments.sessions import Sessions
from workbench.experiments.stages import Expectation, Stage, stages
from workbench.metrics import measure
from workbench.records import EngineSpec, Event, Plan, Request
from workbench.session import Session
from workbench.store import Outcome, Recorder, Store
from workbench.stream import Stream

Watch = Callable[[int, Stream], None]
Progress = Callable[[int, int], None]
Begun = Callable[[str], None]

_WOKEN = -1  # among the indices of ended generations: the brake was pulled or released
_MOST_HELD = 64  # ended generations in memory before the disk is waited for, or its error raised


def execute(
    plan: Plan,
    *,
    session: Session | None = None,
    store: Store | None = None,
    concurrency: int | None = None,
    watch: Watch | None = None,
    progress: Progress | None = None,
    begun: Begun | None = None,
    brake: Brake | None = None,
) -> Run:
    """Run a plan, keep every event, grade what can be graded.

    Consecutive cells of equal engine and concurrency form a stage; a stage ends before
    the next begins. A follow-up is asked in a later stage than the turn before it, with
    the conversation so far; where that turn failed, it has failed too. With concurrency
    1, latencies are those of a request alone; with more, they are those of a batch. With
    ``None`` as many requests are under way as the engine decodes together at most, those
    that are expected to take longest first.

    A request that fails is a generation with its error; the plan goes on. When the
    call is interrupted, what is running is cancelled, and everything so far is kept
    in the store and marked as interrupted; ``resume`` goes on with it. Each generation
    is measured, graded and stored when it ends, and not held any longer: the run's
    generations are read when they are looked at.

    Args:
        plan: What to do.
        session: Runs every cell, whatever engine it names; default: one is opened for
            each engine of the plan.
        store: Keeps the run; default: the store of this folder.
        concurrency: Requests under way at once, whatever the cells say.
        watch: Called with each cell's index and stream as it starts.
        progress: Called with (cells ended, cells in all).
        begun: Called with the run's id before anything is asked; ``load(id)`` gives
            what there is of the run at any moment.
        brake: Pauses the run, or stops it: then it is returned as ``interrupted``.

    Raises:
        InvalidInput: The concurrency is not a positive number.
        StoreError: The run cannot be kept. At the begin: nothing has been generated then;
            later: ``resume`` goes on once the disk takes it again.
        WorkbenchError: An engine or model of the plan is not there: nothing has been
            generated then. Or one cannot be opened; what others generated is kept.
    """
    check_concurrency(concurrency)
    if session is None:
        for spec in dict.fromkeys(cell.spec for cell in plan.cells):
            at_hand(spec)
    with kept_in(store) as keeper:
        facts = environment.facts()
        run = keeper.begin_run(plan, facts)
        under_way = Execution(run, plan, keeper, facts, concurrency, watch, progress, brake)
        return under_way.run(session, range(len(plan)), begun)


def check_concurrency(concurrency: int | None) -> None:
    """Refuse what is no number of requests.

    Raises:
        InvalidInput: It is less than 1.
    """
    if concurrency is not None and concurrency < 1:
        raise InvalidInput(f"Concurrency is {concurrency}.", remedy="It must be at least 1.")


@contextmanager
def kept_in(store: Store | None) -> Iterator[Store]:
    """The caller's store, or this folder's, closed afterwards."""
    if store is not None:
        yield store
        return
    with Store() as own:
        yield own


class Execution:
    """One run under way: begun or reopened in the store, its cells still to be asked."""

    def __init__(
        self,
        run: str,
        plan: Plan,
        store: Store,
        facts: dict[str, Any],
        concurrency: int | None,
        watch: Watch | None,
        progress: Progress | None,
        brake: Brake | None = None,
    ) -> None:
        self._run = run
        self._plan = plan
        self._store = store
        self._facts = facts
        self._concurrency = concurrency
        self._watch = watch
        self._progress = progress
        self._zero = time.perf_counter() - (time.time() - store.run(run).created.timestamp())
        self._done = 0
        self._live: dict[int, tuple[Stream, Recorder]] = {}
        self._ended: SimpleQueue[int] = SimpleQueue()
        self._brake = brake or Brake()
        self._brake.when_changed(lambda: self._ended.put(_WOKEN))
        self._turns = FollowUps(run, store, plan.cells)
        self._meter = Meter(facts)

    def run(self, session: Session | None, left: Iterable[int], begun: Begun | None = None) -> Run:
        """Ask the cells that are left, in stages; the run as the store has it then."""
        status: Outcome = "interrupted"
        try:
            wanted = list(left)
            self._done = len(self._plan) - len(wanted)
            if begun is not None:
                begun(self._run)
            self._all(session, wanted)
            status = "finished"
        except _Stopped:
            pass
        except StoreError as error:
            status = "failed"
            raise self._resumable(error) from error
        except WorkbenchError:
            status = "failed"
            raise
        finally:
            self._finish(status)
        return stored_run(self._store, self._store.run(self._run), self._plan)

    def _all(self, session: Session | None, wanted: list[int]) -> None:
        cut = stages(
            self._plan,
            left=wanted,
            concurrency=self._concurrency,
            one_engine=session is not None,
            expected=self._expected(),
        )
        with Sessions(session) as sessions:
            for stage in cut:
                self._stage(stage, sessions.of(stage.spec))

    def _expected(self) -> Expectation | None:
        """The tokens that cells are expected to take, where their order depends on it."""
        free = any(cell.concurrency is None for cell in self._plan.cells)
        return history(self._store, self._plan) if free and self._concurrency is None else None

    def _stage(self, stage: Stage, session: Session) -> None:
        spec = session.spec  # loading is waited for here, not in the first latency
        at_once = stage.concurrency or spec.max_batch
        self._note(spec, min(at_once, len(stage.indices)))
        self._turns.ready(stage.indices)
        with self._meter.stage(spec):
            for index in stage.indices:
                self._obey()
                while len(self._live) >= at_once or self._brake.paused:
                    self._collect()
                self._start(index, session)
            while self._live:
                self._collect()

    def _obey(self) -> None:
        if self._brake.stopped:
            raise _Stopped

    def _note(self, spec: EngineSpec, at_once: int) -> None:
        """Say in the store who answers, before it does: the process may be killed."""
        most = max(self._facts.get("concurrency", 0), at_once)
        facts = parts.with_engine(self._facts, spec) | {"concurrency": most}
        if facts != self._facts:
            self._facts = facts
            with suppress(StoreError):  # the end of the run writes it again, and tells
                self._store.amend_run(self._run, facts)

    def _start(self, index: int, session: Session) -> None:
        cell, end = self._turns.asked(index, session.spec)
        recorder = self._store.begin_generation(self._run, index, cell)
        self._meter.enter(index)
        if end is None:
            stream = session.start(cell.request, recorder)
        else:
            stream = _ended(cell.request, session.spec, end)
            recorder.append(end)
        self._live[index] = (stream, recorder)
        stream.when_done(lambda: self._over(index))
        if self._watch is not None:
            self._watch(index, stream)

    def _over(self, index: int) -> None:
        """On the session's thread."""
        self._meter.leave(index)
        self._ended.put(index)

    def _collect(self) -> None:
        """Wait for any generation to end, and keep it; or for the brake."""
        index = self._ended.get()
        self._obey()
        if index in self._live:
            self._keep(index)
        if self._store.held > _MOST_HELD:
            self._store.flush()

    def _keep(self, index: int) -> None:
        """Measure, grade and store a generation; nothing of it stays here."""
        stream, recorder = self._live[index]
        generation = stream.result()
        problem = self._plan.cells[index].problem
        score = None if problem is None else grade(problem, generation, index)
        told = measure(generation) | {"submitted": stream.submitted - self._zero}
        told |= self._meter.share(index)
        recorder.finish(generation, told, flags_of(generation), score)
        del self._live[index]
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, len(self._plan))

    def _finish(self, status: Outcome) -> None:
        """After the end, however it came: cancel what is running, keep what it has brought."""
        try:
            for stream, _ in self._live.values():
                stream.cancel()
            for index in list(self._live):
                self._keep(index)
            self._store.finish_run(self._run, status, self._facts | self._meter.facts())
        except StoreError as error:
            self._store.leave_run(self._run)
            raise self._resumable(error) from error
        except BaseException:
            self._store.leave_run(self._run)
            raise

    def _resumable(self, error: StoreError) -> StoreError:
        if self._run in error.runs:  # the store has said it
            return error
        return StoreError(error.message, remedy=error.remedy, runs=(*error.runs, self._run))


class _Stopped(Exception):
    """The brake says so."""


def _ended(request: Request, spec: EngineSpec, end: Event) -> Stream:
    """A stream of a request that no engine is asked."""
    stream = Stream(request, lambda: spec, lambda _: None)
    stream.extend([end])
    return stream
