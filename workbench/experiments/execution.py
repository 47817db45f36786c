"""Do: run a plan, keep every event, grade what can be graded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from workbench.errors import InvalidInput, WorkbenchError
from workbench.evaluation.grading import grade
from workbench.experiments import environment
from workbench.experiments.run import Run, flags_of
from workbench.metrics import measure
from workbench.records import EngineSpec, Generation, Plan, Score
from workbench.session import Session
from workbench.store import Outcome, Recorder, Store
from workbench.stream import Stream

Watch = Callable[[int, Stream], None]
Progress = Callable[[int, int], None]


def execute(
    plan: Plan,
    *,
    session: Session | None = None,
    store: Store | None = None,
    concurrency: int = 1,
    watch: Watch | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run a plan, keep every event, grade what can be graded.

    A request that fails is a generation with its error; the plan goes on. When the
    call is interrupted, what is running is cancelled, and everything so far is kept
    in the store and marked as interrupted.

    Args:
        plan: What to do.
        session: Runs every cell, whatever engine it names; default: one is opened for
            each engine of the plan.
        store: Keeps the run; default: the store of this folder.
        concurrency: Requests under way at once. With 1, latencies are those of a
            request alone; with more, they are those of a batch.
        watch: Called with each cell's index and stream as it starts.
        progress: Called with (cells ended, cells in all).

    Raises:
        StoreError: The run cannot be kept. Nothing has been generated then.
        WorkbenchError: An engine cannot be opened; what others generated is kept.
    """
    if concurrency < 1:
        raise InvalidInput(f"Concurrency is {concurrency}.", remedy="It must be at least 1.")
    keeper = store or Store()
    try:
        return _Execution(plan, keeper, concurrency, watch, progress).run(session)
    finally:
        if store is None:
            keeper.close()


class _Execution:
    """One run under way."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        concurrency: int,
        watch: Watch | None,
        progress: Progress | None,
    ) -> None:
        self._plan = plan
        self._store = store
        self._concurrency = concurrency
        self._watch = watch
        self._progress = progress
        self._generations: dict[int, Generation] = {}
        self._live: dict[int, tuple[Stream, Recorder]] = {}
        self._specs: dict[EngineSpec, None] = {}

    def run(self, session: Session | None) -> Run:
        facts = environment.facts() | {"concurrency": self._concurrency}
        run_id = self._store.begin_run(self._plan, facts)
        status: Outcome = "interrupted"
        try:
            for spec, indices in self._by_engine(session):
                with _borrowed(spec, session) as running:
                    _ = running.spec  # loading is waited for here, not in the first latency
                    self._run_cells(run_id, indices, running)
            status = "finished"
        except WorkbenchError:
            status = "failed"
            raise
        finally:
            self._stop_all()
            scores = self._grade()
            facts |= {"engines": [environment.engine_facts(spec) for spec in self._specs]}
            self._store.add_scores(run_id, scores)
            self._store.finish_run(run_id, status, facts)
        return Run(run_id, self._plan, facts, self._generations, scores, status)

    def _by_engine(self, session: Session | None) -> list[tuple[EngineSpec, list[int]]]:
        """The cells of each engine, so that each is loaded once."""
        groups: dict[EngineSpec, list[int]] = {}
        for index, cell in enumerate(self._plan.cells):
            spec = cell.spec if session is None else self._plan.cells[0].spec
            groups.setdefault(spec, []).append(index)
        return list(groups.items())

    def _run_cells(self, run_id: str, indices: list[int], session: Session) -> None:
        for index in indices:
            while len(self._live) >= self._concurrency:
                self._collect()
            cell = self._plan.cells[index]
            recorder = self._store.begin_generation(run_id, index, cell)
            stream = session.start(cell.request, recorder)
            self._live[index] = (stream, recorder)
            if self._watch is not None:
                self._watch(index, stream)
        while self._live:
            self._collect()

    def _collect(self) -> None:
        """Wait for one generation to end, the oldest unless another is there already."""
        ended = next((i for i, (s, _) in self._live.items() if s.done), next(iter(self._live)))
        stream, recorder = self._live[ended]
        generation = stream.result()
        del self._live[ended]
        self._keep(ended, generation, recorder)

    def _keep(self, index: int, generation: Generation, recorder: Recorder) -> None:
        self._specs.setdefault(generation.spec)
        self._generations[index] = generation
        recorder.finish(generation, measure(generation), flags_of(generation))
        if self._progress is not None:
            self._progress(len(self._generations), len(self._plan))

    def _stop_all(self) -> None:
        """After an interrupt: cancel what is running and keep what it has brought."""
        for stream, _ in self._live.values():
            stream.cancel()
        while self._live:
            index, (stream, recorder) = self._live.popitem()
            self._keep(index, stream.result(), recorder)

    def _grade(self) -> tuple[Score, ...]:
        cells = self._plan.cells
        return tuple(
            grade(problem, generation, index)
            for index, generation in sorted(self._generations.items())
            if (problem := cells[index].problem) is not None
        )


@contextmanager
def _borrowed(spec: EngineSpec, session: Session | None) -> Iterator[Session]:
    """The caller's session, or one of our own that is closed afterwards."""
    if session is not None:
        yield session
        return
    with Session(spec) as own:
        yield own
