"""Answers one after the other, for files, pipes and narrow terminals: no control codes."""

from __future__ import annotations

from collections import deque
from types import TracebackType

from rich.console import Console
from rich.text import Text

from workbench.cli.texts import STYLES, heading, title
from workbench.printable import printable
from workbench.records import Chunk, Plan
from workbench.stream import Stream


class Follower:
    """Prints every stream from its first event to its last, in the order they began.

    Args:
        console: Where to.
        plan: Whose streams they are.
        alone: Only one stream is ever under way, so each is printed as it comes;
            otherwise each is printed when it, and all before it, have ended.
    """

    def __init__(self, console: Console, plan: Plan, *, alone: bool) -> None:
        self._console = console
        self._plan = plan
        self._alone = alone
        self._waiting: deque[tuple[int, Stream]] = deque()

    def watch(self, index: int, stream: Stream) -> None:
        """A stream has begun."""
        if self._alone:
            self._follow(index, stream)
        else:
            self._waiting.append((index, stream))

    def progress(self, done: int, planned: int) -> None:
        """A stream has ended."""
        while self._waiting and self._waiting[0][1].done:
            self._follow(*self._waiting.popleft())

    def __enter__(self) -> Follower:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to put back."""

    def _follow(self, index: int, stream: Stream) -> None:
        self._console.print(heading(title(self._plan, index)))
        for event in stream:
            if isinstance(event, Chunk) and event.text:
                self._write(event.text, STYLES[event.channel])
        self._write("\n\n")

    def _write(self, text: str, style: str = "") -> None:
        self._console.print(Text(printable(text), style), end="", soft_wrap=True)
