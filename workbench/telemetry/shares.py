"""The energy of requests that run together: each gets its share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable


class Shares:
    """At every moment the power is divided equally among the requests that are under way.

    So the shares add up to what was spent while any was under way, and that of a request
    alone is all of it.

    Args:
        spent: The joules spent since some moment; ``None``: not known.
    """

    def __init__(self, spent: Callable[[], float | None]) -> None:
        self._spent = spent
        self._lock = threading.Lock()
        self._before: float | None = None  # spent when a request last came or went
        self._each = 0.0  # joules of one that was there from the beginning
        self._since: dict[Hashable, float | None] = {}  # that sum when each one came; None: lost
        self._of: dict[Hashable, float | None] = {}

    def enter(self, request: Hashable) -> None:
        """A request begins."""
        with self._lock:
            self._since[request] = self._each if self._advance() else None

    def leave(self, request: Hashable) -> None:
        """It ends; what it spent is kept until it is taken."""
        with self._lock:
            known = self._advance()
            since = self._since.pop(request)
            self._of[request] = self._each - since if known and since is not None else None

    def take(self, request: Hashable) -> float | None:
        """Joules of a request that has ended; ``None``: not measured."""
        with self._lock:
            return self._of.pop(request, None)

    def _advance(self) -> bool:
        """Divide what was spent since the last change; whether it is known what was spent."""
        now, before = self._spent(), self._before
        self._before = now
        if now is None or (before is None and self._since):
            self._since = dict.fromkeys(self._since)
        elif before is not None and self._since:
            self._each += (now - before) / len(self._since)
        return now is not None
