"""What a compilation says, read line by line: how far it is, and what went wrong first."""

from __future__ import annotations

import re

_STEP = re.compile(r"^\[(\d+)/(\d+)\] ")  # ninja's, at every object that is finished
_ERROR = re.compile(
    r"\b(?:fatal\s+)?error\b\s*(?:[:#-]|C\d+)|^nvcc fatal\s*:|cannot find -l"
    r"|No space left on device|undefined symbol|undefined reference",
    re.IGNORECASE,
)
_RAISED = re.compile(r"^\w*(?:Error|Exception)\b\s*:")  # the last line of a traceback
_LONGEST = 300  # characters of an error that are told


class Follower:
    """Reads a build's output.

    ``done`` and ``total`` count what is compiled and linked in this build: a build that
    was cut short goes on with what is left.
    """

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self._compiler: str | None = None
        self._python: str | None = None

    def read(self, line: str) -> bool:
        """Take note of a line; whether it tells of progress."""
        step = _STEP.match(line)
        if step is not None:
            self.done, self.total = int(step[1]), int(step[2])
            return True
        if _RAISED.match(line):
            self._python = line.strip()
        elif self._compiler is None and not line.startswith("ninja:") and _ERROR.search(line):
            self._compiler = line.strip()
        return False

    @property
    def error(self) -> str | None:
        """The compiler's first error, else what torch's builder raised; ``None``: neither."""
        said = self._compiler or self._python
        return None if said is None else said[:_LONGEST]
