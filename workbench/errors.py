"""What can go wrong, as a user is told it.

::

    WorkbenchError              anything the user can mend; carries the remedy
    ├── InvalidInput            a value, prompt or file given by the user is not usable
    ├── ModelError              a model folder that cannot be loaded, or not safely
    ├── EngineError             an engine that cannot start or failed while generating
    └── StoreError              the run store cannot be read or written

Front ends print ``str(error)`` and exit with code 2; nobody shows a traceback
for one of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any


class WorkbenchError(Exception):
    """A problem told in one sentence, with the remedy in another.

    Args:
        message: What is wrong, naming the offending value.
        remedy: What the user can do about it: an instruction or a command.
    """

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions pickle by positional arguments; the remedy is keyword-only.
        return (_rebuild, (type(self), self.message, self.remedy))


class InvalidInput(WorkbenchError):
    """A value, prompt or file given by the user is not usable."""


class ModelError(WorkbenchError):
    """A model folder cannot be loaded, or could not be loaded safely."""


class EngineError(WorkbenchError):
    """An engine cannot start, or failed while generating."""


class StoreError(WorkbenchError):
    """The run store cannot be read or written.

    Args:
        message: As of every error.
        remedy: As of every error.
        runs: Ids of the runs that it ended early, and that ``resume`` goes on with.
    """

    def __init__(self, message: str, *, remedy: str, runs: tuple[str, ...] = ()) -> None:
        super().__init__(message, remedy=remedy)
        self.runs = runs

    def __str__(self) -> str:
        ways = [f"Then go on with resume({run!r})." for run in self.runs]
        return " ".join([super().__str__(), *ways])

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.remedy, {"runs": self.runs}))


def _rebuild(
    kind: Callable[..., WorkbenchError],
    message: str,
    remedy: str,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> WorkbenchError:
    return kind(message, remedy=remedy, **more)
