"""A brake for a run under way: pause it, let it go on, stop it; from any thread."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class Brake:
    """Handed to ``execute`` or ``resume``, and pulled from elsewhere.

    Paused, no further request begins, and those under way go on to their end. Stopped, those
    under way are cancelled, and the run is left as after an interrupt: ``resume`` goes on
    with it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls: list[Callable[[], None]] = []
        self._paused = self._stopped = False

    @property
    def paused(self) -> bool:
        """Whether nothing may begin."""
        return self._paused

    @property
    def stopped(self) -> bool:
        """Whether the run is to end now."""
        return self._stopped

    def pause(self) -> None:
        """Begin nothing more for now."""
        self._set(paused=True)

    def go(self) -> None:
        """Go on after a pause."""
        self._set(paused=False)

    def stop(self) -> None:
        """End the run; what came so far is kept."""
        self._set(stopped=True)

    def when_changed(self, call: Callable[[], None]) -> None:
        """Have something called at every change; it must be quick."""
        with self._lock:
            self._calls.append(call)

    def _set(self, *, paused: bool | None = None, stopped: bool = False) -> None:
        with self._lock:
            self._paused = self._paused if paused is None else paused
            self._stopped = self._stopped or stopped
            calls = list(self._calls)
        for call in calls:
            call()
