"""Arms that answer: one run at a time on a thread, followed while it lasts, kept in the store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

from workbench.experiments import Run, execute, load
from workbench.records import Plan
from workbench.stream import Stream
from workbench_widgets.desk import Desk
from workbench_widgets.part import Part
from workbench_widgets.sides import Side

_POLL = 0.02  # seconds between looks in ``await``


class Answering(Part):
    """A part with arms. What it shows of them, and what it asks, is the part's own.

    Args:
        desk: Holds the loaded model.
    """

    def __init__(self, desk: Desk | None) -> None:
        self.desk = desk or Desk()
        self._sides: list[Side] = []
        self._status = "idle"  # opening, running, done
        self._stop = False
        self._work: threading.Thread | None = None
        self._run: str | None = None
        super().__init__()

    # --- for notebooks --------------------------------------------------------------------------

    def stop(self) -> None:
        """Cancel what is running; what was generated is kept."""
        self._stop = True
        for side in self._sides:
            side.cancel()
        self._ticker.nudge()

    @property
    def run_id(self) -> str | None:
        """The run of the newest answers that are shown."""
        return self._run

    def wait(self) -> None:
        """Return when every arm has answered."""
        if self._work is not None and self._work is not threading.current_thread():
            self._work.join()
        self._ticker.join()

    def __await__(self) -> Generator[object, None, Run | None]:
        return self._wait().__await__()

    async def _wait(self) -> Run | None:
        try:
            while self.busy:
                await asyncio.sleep(_POLL)
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.stop()
            raise
        return None if self._run is None else load(self._run)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The arms that are shown."""
        return tuple(self._sides)

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return self._status not in ("idle", "done")

    # --- one run ----------------------------------------------------------------------------------

    def begin(self, plan: Plan, fresh: list[Side], at_once: int) -> None:
        """Ask; the sides are already among those that are shown."""
        self._problem, self._stop, self._status = None, False, "opening"
        self._work = threading.Thread(
            target=self._ask, args=(plan, fresh, at_once), name="widget-answers", daemon=True
        )
        self.refresh()
        self._work.start()
        self.run()

    def _ask(self, plan: Plan, fresh: list[Side], at_once: int) -> None:
        """On a thread: every answer into the store; what goes wrong under the part."""

        def watch(index: int, stream: Stream) -> None:
            self._status = "running"
            fresh[index].follow(stream)
            if self._stop:
                stream.cancel()

        try:
            run = execute(
                plan,
                session=self.desk.for_all(plan),
                concurrency=at_once,
                watch=watch,
                begun=self._begun,
            )
            for index, side in enumerate(fresh):
                side.settle(run, index)
        except Exception as error:  # nobody else would show it
            self.trouble(error)
        self._status = "done"
        self._ticker.nudge()

    def _begun(self, run: str) -> None:
        self._run = run

    def tick(self) -> bool:
        """Send what the arms have written since the last look."""
        ended = self._status == "done"
        every = [[place, side.delta()] for place, side in enumerate(self._sides)]
        deltas = [[place, delta] for place, delta in every if delta is not None]
        if deltas:
            self.say("arms", d=deltas, status=self._status)
        if ended:
            self.keep()
        return not ended
