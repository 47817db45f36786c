"""Long streams whose text and times are fixed, and what a page and its kernel spend on them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import ipywidgets
from IPython import get_ipython
from IPython.display import display

from workbench.engines.scripted import ScriptedEngine
from workbench.experiments import execute
from workbench.records import (
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Finished,
    Generation,
    Message,
    Progress,
    Request,
    Started,
)
from workbench.session import Session
from workbench_widgets.asking import Form
from workbench_widgets.compare import Compare
from workbench_widgets.desk import Desk
from workbench_widgets.xray import Xray

_WORDS = (" the", " number", " is", " 47", ",", " and", " so", " we", " add", ".\n")
_THOUGHT = 0.75  # of the tokens


class Streams:
    """Two arms that write so many tokens each, so many a second.

    Args:
        tokens: Of each arm.
        rate: Tokens a second of each arm.
    """

    def __init__(self, tokens: int, rate: float) -> None:
        self.tokens = tokens
        self.rate = rate
        self.spent: dict[str, float] = {}

    @cached_property
    def events(self) -> list[Event]:
        """Of one arm; one token a chunk, about four characters each."""
        told: list[Event] = [Started(0.0, 12), Progress(0.01, 12, 12)]
        told += [self._chunk(i) for i in range(self.tokens)]
        return [*told, Finished(0.02 + self.tokens / self.rate, "stop")]

    def _chunk(self, i: int) -> Chunk:
        shut = int(_THOUGHT * self.tokens)
        channel = Channel.THINKING if i < shut else Channel.ANSWER
        return Chunk(
            0.01 + (i + 1) / self.rate + 0.4 * (i * i % 97) / 97 / self.rate,  # never even
            (i % 997,),
            self._text(i),
            Channel.MARKER if i in (0, shut) else channel,
            logprobs=(-0.1 * (i % 23),),
        )

    def _text(self, i: int) -> str:
        if i == 0:
            return "<think>\n"
        return "</think>\n\n" if i == int(_THOUGHT * self.tokens) else _WORDS[i % len(_WORDS)]

    def generation(self) -> Generation:
        """One arm, as it is when it has ended."""
        asked = Request((Message("user", "Go on."),))
        return Generation(asked, EngineSpec(kind="scripted"), tuple(self.events))

    def xray(self) -> Xray:
        """Token by token."""
        return Xray(self.generation(), title=f"{self.tokens:,} tokens")

    def plain(self) -> None:
        """Both arms answered and kept, with nobody watching; prints the processor's seconds."""
        desk, plan = _Told(self.events), Form("Go on.").plan(EngineSpec())
        began = time.process_time()
        execute(plan, session=desk.session(EngineSpec()), concurrency=2)
        print(time.process_time() - began)

    def watched(self) -> Compare:
        """The same in a ``Compare``, as a cell's last line."""
        published, began = Published(), time.process_time()
        part = Compare("Go on.", desk=_Told(self.events)).ask()

        def note() -> None:
            part.wait()
            spent = time.process_time() - began
            self.spent = {"cpu": spent, "last": _last(part), "published": published.end()}

        threading.Thread(target=note, daemon=True).start()
        return part

    def naive(self) -> None:
        """The same tokens by ``HTML.value +=``; prints bytes, and the processor's seconds."""
        published = Published()
        boxes = [ipywidgets.HTML(), ipywidgets.HTML()]
        display(*boxes)
        began, first = time.process_time(), time.monotonic()
        for i in range(self.tokens):
            time.sleep(max(0.0, first + i / self.rate - time.monotonic()))
            for box in boxes:
                box.value += _WORDS[i % len(_WORDS)]
        spent = time.process_time() - began
        print(published.end(), spent)


class Published:
    """Counts the bytes that this kernel publishes from now on, whoever receives them."""

    def __init__(self) -> None:
        self._thread = get_ipython().kernel.iopub_thread
        self._send = self._thread.send_multipart
        self._bytes = 0
        self._thread.send_multipart = self._count

    def end(self) -> int:
        """How many it were; nothing is counted any more."""
        self._thread.send_multipart = self._send
        return self._bytes

    def _count(self, parts: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        self._bytes += sum(len(memoryview(part).cast("B")) for part in parts)
        self._send(parts, *args, **kwargs)


class _Told(Desk):
    """Every request is told the same events, at their own pace."""

    def __init__(self, events: list[Event]) -> None:
        super().__init__()
        self._events = events

    def session(self, spec: EngineSpec) -> Session:
        return Session(lambda: ScriptedEngine.answering(lambda _: self._events, pace=1.0))


def _last(part: Compare) -> float:
    """When the last token of all came, as ``time.time()`` has it."""
    offset = time.time() - time.perf_counter()
    streams: list[Any] = [side.stream for side in part.sides]
    ends = [s.submitted + max(e.t for e in s.events if isinstance(e, Chunk)) for s in streams]
    return float(max(ends) + offset)
