"""What is made of requests and events: generations, plans, scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import EngineError, InvalidInput
from workbench.records.events import Channel, Chunk, End, Event, Failed, Finished
from workbench.records.requests import EngineSpec, Request


@dataclass(frozen=True, slots=True)
class Generation:
    """A request, who answered it, and every event; the chunks' channels are settled."""

    request: Request
    spec: EngineSpec
    events: tuple[Event, ...]

    def chunks(self, channel: Channel | None = None) -> Iterator[Chunk]:
        """The chunks in order, of one channel or of all."""
        for event in self.events:
            if isinstance(event, Chunk) and channel in (None, event.channel):
                yield event

    def text_of(self, channel: Channel | None = None) -> str:
        """The joined text of one channel, or everything that was generated."""
        return "".join(chunk.text for chunk in self.chunks(channel))

    @property
    def thinking(self) -> str:
        return self.text_of(Channel.THINKING).strip()

    @property
    def answer(self) -> str:
        return self.text_of(Channel.ANSWER).strip()

    @property
    def ids(self) -> tuple[int, ...]:
        """Every sampled id in order; the stop token is not among them."""
        return tuple(i for chunk in self.chunks() for i in chunk.ids)

    @property
    def end(self) -> End | None:
        """The last event when the request has ended, else ``None``."""
        last = self.events[-1] if self.events else None
        return last if isinstance(last, Finished | Failed) else None

    @property
    def finish_reason(self) -> str | None:
        """``stop``, ``length``, ``cancelled``, ``failed``; ``None`` while it has not ended."""
        end = self.end
        if isinstance(end, Finished):
            return end.reason
        return "failed" if isinstance(end, Failed) else None

    @property
    def ok(self) -> bool:
        return isinstance(self.end, Finished) and self.finish_reason != "cancelled"

    def raise_for_failure(self) -> Generation:
        """Itself, for chaining.

        Raises:
            EngineError: The generation ended with ``Failed``.
        """
        end = self.end
        if isinstance(end, Failed):
            raise EngineError(end.error, remedy=end.remedy)
        return self


@dataclass(frozen=True, slots=True)
class Problem:
    """A question, with its answer when there is one."""

    id: str
    prompt: str
    answer: str | None = None
    group: str = ""  # difficulty, level or subject, for tables
    subject: str = ""  # a second such name, where a benchmark has both
    grader: str = "boxed"  # who reads the answer, by its name in ``evaluation.grading``
    private: bool = False  # its text must not be published: no report or export shows it
    order: tuple[int, ...] = ()  # places of its options as lettered; 0 is the right one's
    follows: str | None = None  # id of the problem whose conversation it goes on with

    @property
    def judged(self) -> bool:
        """Whether a judge rates its answers, from 1 to 10; others are right or wrong, 1 or 0."""
        return self.grader == "judge"


@dataclass(frozen=True, slots=True)
class Cell:
    """One request of a plan.

    The request of a follow-up holds what is said in its own turn. When it is asked, the
    conversation so far is put in front: the store has the request with it.
    """

    spec: EngineSpec
    request: Request
    problem: Problem | None = None
    sample: int = 0  # number of the repeat of the same problem and settings
    concurrency: int | None = None  # requests under way at once with it; None: all that fit
    follows: int | None = None  # place in the plan, an earlier one, of the turn before this one


@dataclass(frozen=True, slots=True)
class Expected:
    """What a plan is expected to take, by what was measured before."""

    output_tokens: float
    seconds: float | None  # None: no run has shown how fast they come
    basis: int  # generations it rests on; 0: the lengths are fixed

    def __str__(self) -> str:
        time = "time unknown" if self.seconds is None else _duration(self.seconds)
        ground = f", by {_count(self.basis, 'generation')} measured before" if self.basis else ""
        return f"about {_round(self.output_tokens):,} tokens, {time}{ground}"


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """What an experiment will do, described before it costs anything.

    Raises:
        InvalidInput: A cell follows one that does not stand before it.
    """

    kind: str  # compare, sweep …
    cells: tuple[Cell, ...]
    axes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # what varies, and over what
    expected: Expected | None = None  # None: nothing like it has been measured

    def __post_init__(self) -> None:
        for index, cell in enumerate(self.cells):
            if cell.follows is not None and not 0 <= cell.follows < index:
                raise InvalidInput(
                    f"Cell {index} of the plan follows cell {cell.follows}.",
                    remedy="A turn stands behind the one that it follows.",
                )

    def __len__(self) -> int:
        return len(self.cells)

    def __repr__(self) -> str:
        """In few words: a notebook shows it, and questions may be private."""
        return f"<{self.title}>"

    def __str__(self) -> str:
        if self.expected is None and self.kind != "sweep":
            return self.title
        return f"{self.title}\n  {self.cost}"

    @property
    def title(self) -> str:
        """What will be asked, in one line."""
        axes = " × ".join(f"{name} [{_few(values)}]" for name, values in self.axes.items())
        specs = sorted({f"{cell.spec.model} on {cell.spec.kind}" for cell in self.cells})
        to = ", ".join(specs) or "nobody"
        return f"{self.kind}: {self._size()} to {to}; {axes or 'no axes'}"

    @property
    def cost(self) -> str:
        """What it is expected to take: ``about 43,000 tokens, 2 min, by 36 generations …``."""
        if self.expected is None:
            return "nothing like it has been measured yet"
        return str(self.expected)

    def _size(self) -> str:
        requests = _count(len(self), "request")
        if self.kind == "compare" or "problem" not in self.axes:
            return requests
        first = self.cells[0].problem if self.cells else None
        grid = sum(cell.sample == 0 and cell.problem == first for cell in self.cells)
        return f"{_count(grid, 'grid cell')}, {requests}"


@dataclass(frozen=True, slots=True)
class Score:
    """What a grader says of one generation."""

    problem: str  # the problem's id
    generation: int  # index of the generation in its run
    value: float | None  # 1 right, 0 wrong, None: there is nothing to grade against
    extracted: str | None  # what was read as the answer
    reason: str  # why, in a few words
    by: str = ""  # the grader with its version, or the judge


def _few(values: tuple[Any, ...], most: int = 6) -> str:
    """The values, or the first ones and how many there are."""
    shown = [str(value) for value in values[: most if len(values) <= most else most // 2]]
    return ", ".join(shown if len(shown) == len(values) else [*shown, f"… {len(values)} in all"])


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _round(value: float) -> int:
    """To two digits: an expectation knows no more."""
    return int(float(f"{value:.1e}"))


def _duration(seconds: float) -> str:
    """Seconds, minutes or hours, to two digits at most."""
    if seconds < 1:
        return "under a second"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
