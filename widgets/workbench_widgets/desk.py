"""The model that is loaded, shared by the parts of a notebook."""

from __future__ import annotations

import threading
from collections.abc import Callable

from workbench.engines import at_hand
from workbench.records import EngineSpec, Plan
from workbench.session import Session


class Desk:
    """Holds one session at a time: two models may not fit in the memory.

    Args:
        spec: What its parts ask where they name nothing else; default: the embedded model.
    """

    def __init__(self, spec: EngineSpec | None = None) -> None:
        self.spec = spec or EngineSpec()
        self._calls: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self.read = (0, 0, "modules")  # how far the loading is: done, in all, and of what
        self._asked: EngineSpec | None = None
        self._session: Session | None = None

    @property
    def loaded(self) -> EngineSpec | None:
        """What was asked to be loaded; ``None``: nothing is."""
        return self._asked

    def session(self, spec: EngineSpec) -> Session:
        """The session of this model; another one is closed, and its memory freed, first.

        Raises:
            WorkbenchError: The model or engine is not here.
        """
        at_hand(spec)
        with self._lock:
            if self._session is None or self._asked != spec:
                self._close()
                self._asked, self._session = spec, Session(spec, progress=self._note)
            return self._session

    def for_all(self, plan: Plan) -> Session | None:
        """The session of a plan's one model; ``None``, and nothing is loaded, where it has several.

        Raises:
            WorkbenchError: The model or engine is not here.
        """
        specs = {cell.spec for cell in plan.cells}
        if len(specs) == 1:
            return self.session(*specs)
        self.close()
        return None

    def choose(self, spec: EngineSpec) -> None:
        """From now on parts that name nothing else ask this one."""
        self.spec = spec
        for call in self._calls:
            call()

    def when_chosen(self, call: Callable[[], None]) -> None:
        """Have something called whenever another one is chosen."""
        self._calls.append(call)

    def close(self) -> None:
        """Unload; what is running is cancelled and kept."""
        with self._lock:
            self._close()

    def _note(self, done: int, total: int, what: str = "modules") -> None:
        self.read = (done, total, what)

    def _close(self) -> None:
        session, self._session, self._asked = self._session, None, None
        if session is not None:
            session.close()
