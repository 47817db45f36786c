"""Compare: two or three arms side by side while they answer, or any stored run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from typing import Any, Self

import traitlets

from workbench import pages
from workbench.errors import EngineError, InvalidInput
from workbench.experiments import Run, execute, load
from workbench.pages.page import Page
from workbench.records import EngineSpec, Mode, Plan
from workbench.store import Store
from workbench.stream import Stream
from workbench_widgets.asking import Arm, Form, form
from workbench_widgets.desk import Desk
from workbench_widgets.modules import module, style
from workbench_widgets.part import Part, Told
from workbench_widgets.sides import Side, marks, opened, problems_of, sides_of
from workbench_widgets.xray import Xray

_POLL = 0.02  # seconds between looks in ``await``
_HISTORY = 200  # stored runs that are listed


class Compare(Part):
    """Ask the same of several arms and watch them answer.

    ``Compare()`` shows a form; ``Compare("What is 47 + 38 - 12?").ask()`` asks at once, and
    ``await`` waits for the answers; ``Compare.of(run)`` shows a stored run. Every answer is kept
    in this folder's store, whatever becomes of the view.

    Args:
        prompt: The question.
        modes: The arms: ``on``, ``off``, ``off_prefilled``.
        expected: The right answer; then the arms are graded.
        spec: Who answers; default: the embedded model.
        desk: Holds the loaded model; parts that share it load it once.
    """

    _esm = traitlets.Unicode(module("compare")).tag(sync=True)
    _css = traitlets.Unicode(style("base", "arm", "compare")).tag(sync=True)

    def __init__(
        self,
        prompt: str = "",
        modes: tuple[str, ...] = ("on", "off"),
        *,
        expected: str = "",
        spec: EngineSpec | None = None,
        desk: Desk | None = None,
    ) -> None:
        self.spec = spec or EngineSpec()
        self.desk = desk or Desk()
        self._form = Form(prompt, expected, arms=tuple(Arm(Mode(mode)) for mode in modes))
        self._sides: list[Side] = []
        self._status = "idle"
        self._stop = False
        self._work: threading.Thread | None = None
        self._opened: dict[str, Any] | None = None
        self._below: Xray | None = None
        self._run: str | None = None
        super().__init__()

    @classmethod
    def of(cls, run: Run | str, problem: str | None = None, **given: Any) -> Self:
        """The view of a stored run."""
        part = cls(**given)
        part._open(load(run) if isinstance(run, str) else run, problem)
        return part

    # --- for notebooks --------------------------------------------------------------------------

    def ask(self, prompt: str | None = None) -> Self:
        """Ask every arm; returns at once where somebody watches."""
        if prompt is not None:
            self._form = Form(prompt, self._form.expected, arms=self._form.arms)
        self._begin(self._form.plan(self.spec), list(range(len(self._form.arms))))
        return self

    def stop(self) -> None:
        """Cancel what is running; what was generated is kept."""
        self._stop = True
        for side in self._sides:
            side.cancel()
        self._ticker.nudge()

    @property
    def run_id(self) -> str | None:
        """The run of the answers that are shown."""
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
            while self._status not in ("idle", "done"):
                await asyncio.sleep(_POLL)
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.stop()
            raise
        return None if self._run is None else load(self._run)

    # --- what a page asks -------------------------------------------------------------------------

    def do_run(self, form: dict[str, Any]) -> None:
        """Ask every arm of the form."""
        self._take(form)
        self._begin(self._form.plan(self.spec), list(range(len(self._form.arms))))

    def do_again(self, form: dict[str, Any], arm: int) -> None:
        """Ask one arm anew, and leave the others as they are."""
        self._take(form)
        if not self._sides or len(self._sides) != len(self._form.arms):
            raise InvalidInput("There are no answers beside this one.", remedy="Run all arms.")
        self._begin(self._form.plan(self.spec, arm), [arm])

    def do_stop(self) -> None:
        """The Stop button."""
        self.stop()

    def do_open(self, run: str, problem: str | None = None) -> None:
        """Show a stored run."""
        self._refuse_while_running()
        self._open(load(run), problem)
        self.keep()

    def do_history(self) -> None:
        """List the stored runs, newest first."""
        with Store(read_only=True) as store:
            rows = store.runs(_HISTORY)
        runs = [{"id": row.id, "title": row.plan.title, "status": row.status} for row in rows]
        self.say("history", runs=runs)

    def do_rendered(self, arm: int) -> None:
        """One arm's texts as Markdown and mathematics, by an allow-list."""
        self.say("rendered", arm=arm, **self._side(arm).rendered())

    def do_xray(self, arm: int) -> None:
        """Open the token x-ray of an arm below the answers."""
        side = self._side(arm)
        self._below = Xray(side.snapshot(), title=side.name, desk=self.desk)
        self.refresh()

    def do_close_xray(self) -> None:
        """Close it."""
        self._below = None
        self.refresh()

    def _take(self, told: dict[str, Any]) -> None:
        self._refuse_while_running()
        self._form = form(told)

    def _refuse_while_running(self) -> None:
        if self._status not in ("idle", "done"):
            raise EngineError("Something is running.", remedy="Stop it first.")

    def _side(self, arm: int) -> Side:
        if not 0 <= arm < len(self._sides):
            raise InvalidInput("There is no such arm.", remedy="Run the comparison first.")
        return self._sides[arm]

    # --- one run ----------------------------------------------------------------------------------

    def _begin(self, plan: Plan, places: list[int]) -> None:
        fresh = sides_of(plan)
        if len(places) == len(self._form.arms):
            self._sides, self._opened = fresh, None
        else:
            for place, side in zip(places, fresh, strict=True):
                self._sides[place] = side
        self._problem, self._stop, self._below = None, False, None
        self._status = "opening"
        self._work = threading.Thread(
            target=self._ask, args=(plan, fresh), name="widget-compare", daemon=True
        )
        self.refresh()
        self._work.start()
        self.run()

    def _ask(self, plan: Plan, fresh: list[Side]) -> None:
        """On a thread: every answer into the store; what goes wrong under the part."""

        def watch(index: int, stream: Stream) -> None:
            self._status = "running"
            fresh[index].follow(stream)
            if self._stop:
                stream.cancel()

        try:
            specs = {cell.spec for cell in plan.cells}
            session = self.desk.session(*specs) if len(specs) == 1 else None
            if session is None:
                self.desk.close()
            at_once = len(plan) if self._form.together else 1
            run = execute(
                plan, session=session, concurrency=at_once, watch=watch, begun=self._begun
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

    def _open(self, run: Run, problem: str | None) -> None:
        names = problems_of(run)
        chosen = problem if problem in names else next(iter(names), None)
        self._sides = opened(run, chosen)
        self._opened = {"run": run.id, "problem": chosen, "problems": names}
        self._run, self._status, self._below = run.id, "done", None
        if self._sides:
            self._form = self._sides[0].form(self._sides)

    # --- what is shown ----------------------------------------------------------------------------

    def tell(self) -> Told:
        presets = {
            str(mode): {
                "temperature": mode.recommended.temperature,
                "top_p": mode.recommended.top_p,
            }
            for mode in Mode
        }
        return {
            "form": self._form.told(),
            "presets": presets,
            "status": self._status,
            "run": self._run,
            "opened": self._opened,
            "model": self.spec.model,
            "arms": [side.told() for side in self._sides],
            "marks": marks(self._sides) if self._status == "done" else [],
            "below": f"anywidget:{self._below.model_id}" if self._below is not None else None,
        }

    def still(self) -> Page:
        answers = [(side.cell, side.snapshot()) for side in self._sides if side.begun]
        return pages.side_by_side(answers) if answers else pages.prose("Nothing was asked yet.")

    def __repr__(self) -> str:
        return f"Compare({self._form.prompt!r}, {len(self._form.arms)} arms)"
