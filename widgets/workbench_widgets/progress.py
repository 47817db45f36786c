"""How far a run is: a bar beneath the cell, fed by ``execute``."""

from __future__ import annotations

import time
from collections.abc import Callable

import ipywidgets
from IPython.display import display


class Progress:
    """A bar to hand to ``workbench.execute(plan, progress=Progress())``.

    Shows itself at the first call, with the time that is left by the mean pace so
    far. In a saved notebook the last state stays as the widget's; without a front
    end it costs nothing.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._bar = ipywidgets.IntProgress(description="Generations")
        self._text = ipywidgets.Label()
        self.view = ipywidgets.HBox([self._bar, self._text])
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` generations have ended."""
        if not self._shown:
            self._shown = True
            display(self.view)
        self._bar.max, self._bar.value = total, done
        self._text.value = self._summary(done, total)

    def _summary(self, done: int, total: int) -> str:
        spent = self._clock() - self._started
        if done >= total:
            return f"{done} of {total} in {spent:.1f} s"
        left = f", about {spent / done * (total - done):.0f} s left" if done else ""
        return f"{done} of {total}{left}"

    def __repr__(self) -> str:
        return f"Progress({self._text.value})"
