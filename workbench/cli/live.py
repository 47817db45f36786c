"""Answers side by side while they come: one column an arm, each showing its newest stream."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from workbench.cli.texts import STYLES
from workbench.printable import printable
from workbench.records import Channel, Chunk, Event, Failed, Finished, Mode, Progress, Started
from workbench.stream import Stream

NARROWEST = 24  # characters of a column below which side by side cannot be read
_GAP = 2  # characters between columns
_HEAD = 3  # lines above a column's text
_A_SECOND = 8  # pictures; each takes the interpreter from the engine for a few milliseconds


def fits(console: Console, columns: int) -> bool:
    """Whether so many columns can be shown side by side here."""
    return console.is_terminal and _width(console, columns) >= NARROWEST


class Screen:
    """The live picture, from ``__enter__`` to ``__exit__``.

    Args:
        console: A terminal.
        modes: The arms, a column each.
    """

    def __init__(self, console: Console, modes: Sequence[Mode]) -> None:
        self._console = console
        self._columns = {mode: Column() for mode in modes}
        self._live = Live(
            get_renderable=self._picture,
            console=console,
            refresh_per_second=_A_SECOND,
            transient=True,
        )

    def watch(self, index: int, stream: Stream) -> None:
        """Show this stream in its arm's column, from now on."""
        self._columns[stream.request.mode] = Column(stream)

    def progress(self, done: int, planned: int) -> None:
        """Nothing to do: the columns look for themselves."""

    def __enter__(self) -> Screen:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.transient = error is None  # what an interrupt leaves is the last thing seen
        self._live.stop()

    def _picture(self) -> RenderableType:
        width = _width(self._console, len(self._columns))
        grid = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
        for _ in self._columns:
            grid.add_column(width=width)
        columns = self._columns.items()
        height = max(self._console.height - _HEAD, 1)
        grid.add_row(*(Text(mode, "bold") for mode in self._columns))
        grid.add_row(*(Text(column.state(), "cyan", no_wrap=True) for _, column in columns))
        grid.add_row(*(column.tail(self._console, width, height) for _, column in columns))
        return grid


class Column:
    """What has been read of one stream; without a stream, an arm whose turn has not come."""

    def __init__(self, stream: Stream | None = None) -> None:
        self._stream = stream
        self._seen = 0
        self._pieces: list[tuple[str, Channel]] = []
        self._tokens = 0
        self._times: tuple[float, float] | None = None  # of the first and the last token
        self._stage = "waiting"

    def state(self) -> str:
        """Stage, tokens and rate, in one line."""
        self._catch_up()
        parts = [self._stage]
        if self._tokens:
            parts.append(f" · {self._tokens:,} tokens")
        if self._times and self._times[1] > self._times[0]:
            rate = (self._tokens - 1) / (self._times[1] - self._times[0])
            parts.append(f", {rate:,.0f}/s")
        return "".join(parts)

    def tail(self, console: Console, width: int, height: int) -> Text:
        """The last lines of the text that fit."""
        kept, size = 0, 0
        while kept < len(self._pieces) and size <= width * height:
            kept += 1
            size += len(self._pieces[-kept][0])
        text = Text(overflow="fold")
        for piece, channel in self._pieces[len(self._pieces) - kept :]:
            text.append(piece, STYLES[channel])
        lines = text.wrap(console, width, overflow="fold")
        return Text("\n").join(lines[-height:])

    def _catch_up(self) -> None:
        events = self._stream.events if self._stream is not None else ()
        for event in events[self._seen :]:
            self._read(event)
        self._seen = len(events)

    def _read(self, event: Event) -> None:
        match event:
            case Started():
                self._stage = "reading the prompt"
            case Progress():
                self._stage = f"reading the prompt: {event.done:,} of {event.total:,}"
            case Chunk():
                self._stage = "thinking" if event.channel is Channel.THINKING else "answering"
                self._tokens += len(event.ids)
                if event.ids:
                    self._times = (self._times[0] if self._times else event.t, event.t)
                if event.text:
                    self._pieces.append((printable(event.text), event.channel))
            case Finished():
                self._stage = event.reason
            case Failed():
                self._stage = "failed"


def _width(console: Console, columns: int) -> int:
    return (console.width - _GAP * (columns - 1)) // columns
