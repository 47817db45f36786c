"""Compare: two or three arms side by side while they answer, or any stored run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Self

import traitlets

from workbench import pages
from workbench.engines import KINDS
from workbench.errors import EngineError, InvalidInput
from workbench.experiments import Run, branch, load
from workbench.pages.page import Page
from workbench.records import EngineSpec, Mode
from workbench_widgets.answering import Answering
from workbench_widgets.asking import Arm, Form, arm, form
from workbench_widgets.desk import Desk
from workbench_widgets.history import listed
from workbench_widgets.modules import module, style
from workbench_widgets.part import Told
from workbench_widgets.sides import Place, Side, arms_at, marks, opened, problems_of, sides_of
from workbench_widgets.xray import Xray


class Compare(Answering):
    """Ask the same of several arms and watch them answer.

    ``Compare()`` shows a form; ``Compare("What is 47 + 38 - 12?").ask()`` asks at once, and
    ``await`` waits for the answers; ``Compare.of(run)`` shows a stored run. Every answer is kept
    in this folder's store, whatever becomes of the view.

    Args:
        prompt: The question.
        modes: The arms: ``on``, ``off``, ``off_prefilled``, or an ``Arm`` each, with a model, an
            engine or a sampling of its own.
        expected: The right answer; then the arms are graded.
        spec: Who answers; default: what the desk has.
        desk: Holds the loaded model; parts that share it load it once.
    """

    _esm = traitlets.Unicode(module("compare")).tag(sync=True)
    _css = traitlets.Unicode(style("base", "arm", "compare")).tag(sync=True)

    def __init__(
        self,
        prompt: str = "",
        modes: Sequence[str | Arm] = ("on", "off"),
        *,
        expected: str = "",
        spec: EngineSpec | None = None,
        desk: Desk | None = None,
    ) -> None:
        self._spec = spec
        self._form = Form(prompt, expected, arms=tuple(map(arm, modes)))
        self._opened: dict[str, Any] | None = None
        self._below: Xray | None = None
        super().__init__(desk)
        self.desk.when_chosen(self.refresh)

    @classmethod
    def of(cls, run: Run | str, problem: str | None = None, **given: Any) -> Self:
        """The view of a stored run."""
        part = cls(**given)
        part._open(load(run) if isinstance(run, str) else run, Place(problem))
        return part

    # --- for notebooks --------------------------------------------------------------------------

    @property
    def spec(self) -> EngineSpec:
        """Who answers where an arm names nobody else."""
        return self._spec or self.desk.spec

    def ask(self, prompt: str | None = None) -> Self:
        """Ask every arm; returns at once where somebody watches."""
        if prompt is not None:
            self._form = Form(prompt, self._form.expected, arms=self._form.arms)
        self._ask_all()
        return self

    # --- what a page asks -------------------------------------------------------------------------

    def do_run(self, form: dict[str, Any]) -> None:
        """Ask every arm of the form."""
        self._take(form)
        self._ask_all()

    def do_again(self, form: dict[str, Any], arm: int) -> None:
        """Ask one arm anew, and leave the others as they are."""
        self._take(form)
        asked = [side for side in self._sides if side.branch is None]
        if not 0 <= arm < len(self._sides) or len(asked) != len(self._form.arms):
            raise InvalidInput("There are no answers beside this one.", remedy="Run all arms.")
        if self._sides[arm].branch is not None:
            raise InvalidInput("This arm is a branch.", remedy="Branch its origin again.")
        plan = self._form.plan(self.spec, asked.index(self._sides[arm]))
        self._sides[arm : arm + 1] = fresh = sides_of(plan)
        self.begin(plan, fresh, 1)

    def do_drop(self, arm: int) -> None:
        """Take a branch out of the view; its run is kept."""
        self._refuse_while_running()
        if self._side(arm).branch is not None:
            del self._sides[arm]
            self.keep()
        self.refresh()

    def do_stop(self) -> None:
        """The Stop button."""
        self.stop()

    def do_open(
        self, run: str, problem: str | None = None, sample: int = 0, first: int = 0
    ) -> None:
        """Show a stored run, at one of its problems and samples."""
        self._refuse_while_running()
        self._open(load(run), Place(problem, sample, first))
        self.keep()

    def do_history(self, skip: int = 0) -> None:
        """List the stored runs, newest first."""
        self.say("history", **listed(skip))

    def do_rendered(self, arm: int) -> None:
        """One arm's texts as Markdown and mathematics, by an allow-list."""
        self.say("rendered", arm=arm, **self._side(arm).rendered())

    def do_xray(self, arm: int) -> None:
        """Open the token x-ray of an arm below the answers."""
        side = self._side(arm)

        def onwards(at: int, what: str, **how: Any) -> None:
            self._branch(side, at, what, **how)

        self._below = Xray(side.snapshot(), title=side.name, branch=onwards)
        self.say("below", below=self._ref())

    def do_close_xray(self) -> None:
        """Close it."""
        self._below = None
        self.say("below", below=None)

    def _ref(self) -> str | None:
        return f"anywidget:{self._below.model_id}" if self._below is not None else None

    def _ask_all(self) -> None:
        plan = self._form.plan(self.spec)
        self._sides, self._opened, self._below = sides_of(plan), None, None
        self.begin(plan, self._sides[:], len(plan) if self._form.together else 1)

    def _branch(self, origin: Side, at: int, what: str, **how: Any) -> None:
        """Another way on from a token of an arm, beside it."""
        self._refuse_while_running()
        if origin not in self._sides:
            raise InvalidInput("Its arm is not shown any more.", remedy="Open the run again.")
        plan = branch(origin.cell, origin.snapshot(), at, **how)
        side = Side(f"{origin.name} · from token {at}", plan.cells[0], branch=what)
        self._sides.insert(self._sides.index(origin) + 1, side)
        self.begin(plan, [side], 1)

    def _take(self, told: dict[str, Any]) -> None:
        self._refuse_while_running()
        self._form = form(told)

    def _refuse_while_running(self) -> None:
        if self.busy:
            raise EngineError("Something is running.", remedy="Stop it first.")

    def _side(self, arm: int) -> Side:
        if not 0 <= arm < len(self._sides):
            raise InvalidInput("There is no such arm.", remedy="Run the comparison first.")
        return self._sides[arm]

    def _open(self, run: Run, place: Place) -> None:
        names = problems_of(run)
        if place.problem not in names:
            place = Place(next(iter(names), None))
        arms = arms_at(run, place.problem)
        self._sides = opened(run, place)
        self._opened = {
            "run": run.id,
            "problems": names,
            "samples": sorted({sample for arm in arms for sample in arm}),
            "arms": len(arms),
        } | asdict(place)
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
            "kinds": [self.spec.kind, *(kind for kind in KINDS if kind != self.spec.kind)],
            "arms": [side.told() for side in self._sides],
            "marks": [] if self.busy else marks(self._sides),
            "below": self._ref(),
        }

    def still(self) -> Page:
        answers = [(side.cell, side.snapshot()) for side in self._sides if side.begun]
        return pages.side_by_side(answers) if answers else pages.prose("Nothing was asked yet.")

    def __repr__(self) -> str:
        return f"Compare({self._form.prompt!r}, {len(self._form.arms)} arms)"
