"""A thread that looks after something while it lives, a few times a second."""

from __future__ import annotations

import threading
from collections.abc import Callable

RATE = 8.0  # looks a second: fluent to read, few messages, and few frames for the page to draw


class Ticker:
    """Calls a function at a steady rate until it says that nothing is left to do.

    Args:
        look: Called on the ticker's thread; ``False`` ends it.
        rate: Calls a second.
    """

    def __init__(self, look: Callable[[], bool], rate: float = RATE) -> None:
        self._look = look
        self._pause = 1.0 / rate
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._wanted = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look, if nobody does."""
        with self._lock:
            self._wanted = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="widget-ticker", daemon=True)
                self._thread.start()

    def nudge(self) -> None:
        """Look now: something has happened that should be seen at once."""
        self._wake.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until there is nothing left to do."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._wanted = False
            if not self._look():
                with self._lock:
                    if not self._wanted:  # what began meanwhile would be looked after by nobody
                        self._thread = None
                        return
            self._wake.wait(self._pause)
            self._wake.clear()
