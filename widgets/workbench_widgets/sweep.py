"""Sweep grid: a plan's cells fill in as they finish; each opens its generations."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any, Self

import traitlets

from workbench import pages
from workbench.errors import EngineError, InvalidInput
from workbench.experiments import Brake, Run, execute, load, resume
from workbench.pages.page import Page
from workbench.printable import one_line
from workbench.records import EngineSpec, Plan
from workbench.stream import Stream
from workbench_widgets.asking_sweep import SweepForm, sweep_form
from workbench_widgets.desk import Desk
from workbench_widgets.history import listed
from workbench_widgets.modules import module, style
from workbench_widgets.part import Part, Told
from workbench_widgets.tiles import empty, members, tiles
from workbench_widgets.xray import Xray

_PAUSE = 0.5  # seconds between looks at the store, at least
_SHARE = 10  # looking costs at most one in so many seconds
_ENDS = {"finished": "done", "interrupted": "stopped"}.get


class SweepGrid(Part):
    """A grid of settings that fills in while a run is under way, and any stored run.

    ``SweepGrid(plan).start()`` runs a plan; ``SweepGrid()`` shows a form that makes one;
    ``SweepGrid.of(run)`` shows a stored run, and goes on with one that was cut short.

    Args:
        plan: As ``workbench.sweep``, ``compare`` or ``evaluate`` make it.
        spec: Who answers what the form asks; default: what the desk has.
        desk: Holds the loaded model; parts that share it load it once.
    """

    _esm = traitlets.Unicode(module("sweep")).tag(sync=True)
    _css = traitlets.Unicode(style("base", "arm", "sweep")).tag(sync=True)

    def __init__(
        self, plan: Plan | None = None, *, spec: EngineSpec | None = None, desk: Desk | None = None
    ) -> None:
        self._spec = spec
        self.desk = desk or Desk()
        self._form = SweepForm()
        self._status = "idle"  # opening, running, paused, done, stopped
        self._brake = Brake()
        self._work: threading.Thread | None = None
        self._below: Xray | None = None
        self._run: str | None = None
        self._live: dict[int, Stream] = {}
        self._cells: list[Told] = []
        self._cell_of: dict[int, int] = {}  # of each cell of the plan, its tile
        self._next_look = 0.0
        self._take_plan(plan)
        super().__init__()
        self.desk.when_chosen(self.refresh)

    @classmethod
    def of(cls, run: Run | str, **given: Any) -> Self:
        """The grid of a stored run."""
        part = cls(**given)
        part._open(load(run) if isinstance(run, str) else run)
        return part

    # --- for notebooks --------------------------------------------------------------------------

    @property
    def spec(self) -> EngineSpec:
        """Who answers what the form asks."""
        return self._spec or self.desk.spec

    def start(self) -> Self:
        """Run the plan, or go on with a run that was cut short; returns at once where watched."""
        if self.busy:
            raise EngineError("It is under way.", remedy="Stop it first.")
        if self._plan is None:
            raise InvalidInput("There is no plan.", remedy="Give one, or fill in the form.")
        self._problem, self._brake, self._status = None, Brake(), "opening"
        self._work = threading.Thread(target=self._execute, name="widget-sweep", daemon=True)
        self.refresh()
        self._work.start()
        self.run()
        return self

    def pause(self) -> None:
        """Begin nothing more; what runs goes on to its end."""
        self._brake.pause()
        self._turn("paused")

    def go_on(self) -> None:
        """Go on after a pause."""
        self._brake.go()
        self._turn("running")

    def stop(self) -> None:
        """Cancel what runs and leave the rest for later; ``start`` goes on with it."""
        self._brake.stop()
        self._ticker.nudge()

    @property
    def run_id(self) -> str | None:
        """The run that is shown."""
        return self._run

    @property
    def busy(self) -> bool:
        """Whether a run is under way."""
        return self._status in ("opening", "running", "paused")

    def wait(self) -> None:
        """Return when the run has ended."""
        if self._work is not None and self._work is not threading.current_thread():
            self._work.join()
        self._ticker.join()

    # --- what a page asks -------------------------------------------------------------------------

    def do_plan(self, form: dict[str, Any]) -> None:
        """Make a plan of the form, and show its grid and what it is expected to take."""
        self._refuse_while_running()
        self._form = sweep_form(form)
        self._take_plan(self._form.plan(self.spec))
        self._run, self._status, self._below = None, "idle", None
        self.refresh()

    def do_start(self) -> None:
        """The Start button."""
        self.start()

    def do_pause(self) -> None:
        """The Pause button."""
        self.pause()

    def do_go_on(self) -> None:
        """The same button, once more."""
        self.go_on()

    def do_stop(self) -> None:
        """The Stop button."""
        self.stop()

    def do_cell(self, cell: int) -> None:
        """List the generations of a grid cell."""
        if not 0 <= cell < len(self._cells):
            raise InvalidInput("There is no such cell.", remedy="Choose one of the grid.")
        rows = [] if self._run is None else members(load(self._run), cell)
        self.say("cell", cell=cell, rows=rows)

    def do_open(self, index: int) -> None:
        """Show one generation, token by token."""
        run = None if self._run is None else load(self._run)
        if run is None or index not in run.generations:
            raise InvalidInput("It has not begun.", remedy="Wait for it, or choose another one.")
        label = run.plan.cells[index].request.label
        self._below = Xray(run.generations[index], title=one_line(label, 80))
        self.refresh()

    def do_close(self) -> None:
        """Close it."""
        self._below = None
        self.refresh()

    def do_history(self, skip: int = 0) -> None:
        """List the stored runs, newest first."""
        self.say("history", **listed(skip))

    def do_stored(self, run: str) -> None:
        """Show a stored run."""
        self._refuse_while_running()
        self._open(load(run))
        self.keep()

    def _refuse_while_running(self) -> None:
        if self.busy:
            raise EngineError("A run is under way.", remedy="Stop it first.")

    def _turn(self, status: str) -> None:
        if self.busy:
            self._status = status
            self.refresh()

    # --- one run ----------------------------------------------------------------------------------

    def _execute(self) -> None:
        """On a thread: the plan's answers into the store; what goes wrong under the part."""
        assert self._plan is not None
        try:
            session = self.desk.for_all(self._plan)
            given: Any = {"session": session, "watch": self._watch, "brake": self._brake}
            if self._run is None:
                run = execute(self._plan, begun=self._begun, **given)
            else:
                run = resume(self._run, **given)
            self._end(run.status)
        except Exception as error:  # nobody else would show it
            self.trouble(error)
            self._end("interrupted" if self._run else "idle")

    def _end(self, status: str) -> None:
        self._status = _ENDS(status, status)
        self._live.clear()
        self._ticker.nudge()

    def _begun(self, run: str) -> None:
        self._run = run

    def _watch(self, index: int, stream: Stream) -> None:
        if self._status == "opening":
            self._status = "paused" if self._brake.paused else "running"
        self._live[index] = stream

    def tick(self) -> bool:
        """Send the cells that have changed since the last look."""
        ended = not self.busy
        if ended or time.monotonic() >= self._next_look:
            self._look()
        if ended:
            self.keep()
        return not ended

    def _look(self) -> None:
        """Read the run's grid; the store knows best, and looking must not slow it down."""
        began = time.monotonic()
        if self._run is not None:
            self._show(tiles(load(self._run)))
        cost = time.monotonic() - began
        self._next_look = time.monotonic() + max(_PAUSE, _SHARE * cost)

    def _show(self, found: list[Told]) -> None:
        live = Counter(self._cell_of[i] for i, s in list(self._live.items()) if not s.done)
        now = [one | {"running": live[cell]} for cell, one in enumerate(found)]
        changed = [[i, one] for i, one in enumerate(now) if one != self._cells[i]]
        self._cells = now
        if changed:
            self.say("cells", d=changed, status=self._status, run=self._run)

    def _take_plan(self, plan: Plan | None) -> None:
        self._plan = plan
        blank = ([], {}) if plan is None else empty(plan)
        self._cells, self._cell_of = blank
        self._live.clear()

    def _open(self, run: Run) -> None:
        self._take_plan(run.plan)
        self._run, self._below = run.id, None
        self._status = "done" if run.status == "finished" else "stopped"
        self._cells = [one | {"running": 0} for one in tiles(run)]

    # --- what is shown ----------------------------------------------------------------------------

    def tell(self) -> Told:
        plan = self._plan
        return {
            "form": self._form.told(),
            "status": self._status,
            "run": self._run,
            "title": None if plan is None else one_line(plan.title, 300),
            "cost": None if plan is None else plan.cost,
            "cells": self._cells,
            "model": self.spec.model,
            "below": f"anywidget:{self._below.model_id}" if self._below is not None else None,
        }

    def still(self) -> Page:
        if self._run is None:
            return pages.prose("Nothing was asked yet.")
        return pages.cells_table(load(self._run))

    def __repr__(self) -> str:
        return f"SweepGrid({len(self._cells)} cells, {self._status})"
