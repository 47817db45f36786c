"""The session that a stage runs in: the caller's, or one of our own for the engine at hand."""

from __future__ import annotations

from workbench.records import EngineSpec
from workbench.session import Session


class Sessions:
    """Sessions, one after the other.

    Args:
        given: The caller's, for every engine; it is not closed.
    """

    def __init__(self, given: Session | None) -> None:
        self._given = given
        self._own: Session | None = None
        self._spec: EngineSpec | None = None

    def of(self, spec: EngineSpec) -> Session:
        """Ours is kept while the engine stays the same; two may not fit in the memory."""
        if self._given is not None:
            return self._given
        if self._own is None or self._spec != spec:
            self.close()
            self._own, self._spec = Session(spec), spec
        return self._own

    def close(self) -> None:
        """Close our own."""
        if self._own is not None:
            self._own.close()
        self._own = None

    def __enter__(self) -> Sessions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
