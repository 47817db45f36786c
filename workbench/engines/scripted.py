"""An engine without a model: it tells what its script says.

What users test with, demonstrations run on, and stored runs are replayed by. A
session opens it like any other engine::

    answers = {"What is 1+1?": "<think>\\n1 and 1 are 2.\\n</think>\\n\\n\\\\boxed{2}"}
    with Session(lambda: ScriptedEngine.answering(answers)) as session:
        session.start(request).result().answer
"""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, cycle, islice
from typing import TypedDict, Unpack

from workbench.engines import scripts
from workbench.engines.prompts import opened, prompt_ids
from workbench.engines.tail import Tail, tail_for
from workbench.models.template import ChatFormat
from workbench.models.tokenizer import Tokenizer
from workbench.records import (
    Chunk,
    EngineSpec,
    Event,
    Failed,
    Finished,
    Generation,
    Message,
    Progress,
    Request,
    Started,
)

_TICK = 0.01  # longest sleep of a step, seconds: a cancel takes effect within it
_SPEC = EngineSpec(
    kind="scripted",
    model="scripted",
    quantization="none",
    device="cpu",
    context=131_072,
    cache="none",
    cache_tokens=131_072,
    attention="none",
    sampler="none",
    template="workbench",
    synthetic=True,
)


class Settings(TypedDict, total=False):
    """How a script is told; every field has a default.

    - ``pace``: seconds waited for each second of the events' times; 0, the default,
      waits for nothing, 1 takes as long as the events say.
    - ``token_seconds``: time between the tokens of a text (0.01).
    - ``prefill_seconds``: time before the first of them (0.05).
    - ``tokenizer``: makes the ids of texts; the default takes every byte for a token.
      Give the model's own to decode the ids of its stored generations.
    - ``spec``: what the engine says it is; ``context`` bounds prompt and text.
    """

    pace: float
    token_seconds: float
    prefill_seconds: float
    tokenizer: Tokenizer
    spec: EngineSpec


@dataclass(slots=True)
class _Playing:
    """A request between ``submit`` and its last event."""

    request: Request
    events: deque[Event]  # not told yet
    submitted: float
    spoken: bool  # its ids are the tokenizer's: a text's, not a recording's
    told: list[Event] = field(default_factory=list)
    cancelled: bool = False

    @property
    def t(self) -> float:
        """Of the last event told."""
        return self.told[-1].t if self.told else 0.0


class ScriptedEngine:
    """Follows the engine protocol; the texts come from scripts.

    A script is a text or a list of events. A text is told one token a chunk, as by a
    model that is certain of it: it keeps to ``max_tokens`` and ``stop``, and its
    log-probabilities are 0. Where a thinking budget closes the thinking, the text goes on
    behind its next ``</think>``; ``min_tokens`` makes no text longer than it is; behind a
    request's opening it stands whole. Events are told exactly as they are. At the default pace
    every step brings one event of each live request.

    Args:
        find: The script of a request; ``None`` refuses it, with ``Failed``.
        settings: See ``Settings``.
    """

    def __init__(self, find: scripts.Find, **settings: Unpack[Settings]) -> None:
        self._find = find
        self._pace = settings.get("pace", 0.0)
        self._token_seconds = settings.get("token_seconds", 0.01)
        self._prefill_seconds = settings.get("prefill_seconds", 0.05)
        self._tokenizer = settings.get("tokenizer") or scripts.byte_tokenizer()
        self._format = ChatFormat(self._tokenizer, None, "workbench", None)
        self._playing: dict[int, _Playing] = {}
        self._tickets = count(1)
        self.spec = settings.get("spec", _SPEC)

    @classmethod
    def answering(
        cls,
        answers: scripts.Answers,
        **settings: Unpack[Settings],
    ) -> ScriptedEngine:
        """An engine with these answers.

        Args:
            answers: One text for everybody; a mapping from the last user message, from
                it and a mode, or from a whole request (the closest wins); a list, told
                in the order of the requests; or a function of the request.
            settings: See ``Settings``.
        """
        return cls(scripts.finder(answers), **settings)

    @classmethod
    def replaying(
        cls,
        generations: Iterable[Generation],
        *,
        in_order: bool = False,
        **settings: Unpack[Settings],
    ) -> ScriptedEngine:
        """An engine that tells stored generations again, event for event.

        Args:
            generations: One without an end is told as far as it goes, then ``Failed``.
            in_order: Hand them out one after the other, whatever is asked. Otherwise a
                request gets its own; if it was asked several times, each in turn.
            settings: See ``Settings``.
        """
        stored = list(generations)
        if stored and "spec" not in settings:
            settings["spec"] = replace(stored[0].spec, kind="scripted")
        if in_order:
            return cls(scripts.finder([scripts.ended(one) for one in stored]), **settings)
        repeats: dict[Request, list[scripts.Script]] = defaultdict(list)
        for one in stored:
            repeats[one.request].append(scripts.ended(one))
        turns = {request: cycle(events) for request, events in repeats.items()}
        return cls(lambda asked: next(turns[asked]) if asked in turns else None, **settings)

    # --- the protocol ---------------------------------------------------------------------------

    def encode(self, messages: Sequence[Message], prefill: str = "") -> list[int]:
        """See ``Engine.encode``."""
        return self._format.encode(messages, prefill)

    def decode(self, ids: Sequence[int]) -> str:
        """See ``Engine.decode``."""
        return self._tokenizer.decode(ids)

    def submit(self, request: Request, *, submitted: float | None = None) -> int:
        """See ``Engine.submit``.

        Raises:
            InvalidInput: Also when the script found is not the events of one request.
        """
        began = time.perf_counter() if submitted is None else submitted
        script = self._find(request)
        if script is None:
            t = time.perf_counter() - began
            events: Sequence[Event] = [scripts.unknown(t, request)]
        elif isinstance(script, str):
            events = self._spoken(request, script)
        else:
            events = scripts.checked(script)
        ticket = next(self._tickets)
        self._playing[ticket] = _Playing(request, deque(events), began, isinstance(script, str))
        return ticket

    def step(self) -> list[tuple[int, Event]]:
        """See ``Engine.step``. At a pace it sleeps for a moment when nothing is due."""
        now = time.perf_counter()
        events: list[tuple[int, Event]] = []
        for ticket, playing in list(self._playing.items()):
            events += [(ticket, event) for event in self._due(playing, now)]
            if not playing.events:
                del self._playing[ticket]
        if not events and self._playing:
            time.sleep(_TICK)
        return events

    def cancel(self, ticket: int) -> None:
        """See ``Engine.cancel``."""
        playing = self._playing.get(ticket)
        if playing is None or playing.cancelled:
            return
        if not playing.told and isinstance(playing.events[0], Failed):
            return  # refused already
        playing.cancelled = True
        playing.events = deque(self._ending(playing))

    def close(self) -> None:
        """See ``Engine.close``."""
        self._playing.clear()

    # --- one request ----------------------------------------------------------------------------

    def _due(self, playing: _Playing, now: float) -> list[Event]:
        events, told = playing.events, []
        reached = (now - playing.submitted) / self._pace if self._pace else -math.inf
        while events and (playing.cancelled or events[0].t <= reached):
            told.append(events.popleft())
        if not self._pace and events:
            told.append(events.popleft())
        playing.told += told
        return told

    def _ending(self, playing: _Playing) -> list[Event]:
        """What ends a cancelled request: the text of ids already told, and the end."""
        t = playing.t
        if self._pace:
            t = max(t, (time.perf_counter() - playing.submitted) / self._pace)
        start = [] if playing.told else [playing.events[0]]  # it begins with Started
        rest = self._held(playing)
        return [*start, *([Chunk(t, (), rest)] if rest else []), Finished(t, "cancelled")]

    def _held(self, playing: _Playing) -> str:
        """Text of ids already told that was still kept back."""
        if not playing.spoken:
            return ""
        chunks = [event for event in playing.told if isinstance(event, Chunk)]
        shown = sum(len(chunk.text) for chunk in chunks)
        return self.decode([i for chunk in chunks for i in chunk.ids])[shown:]

    def _spoken(self, request: Request, text: str) -> list[Event]:
        """The events of a text."""
        begin, longest = prompt_ids(self._format, request), self.spec.context or 0
        prompt, room = opened(begin, request, longest, self._tokenizer.size)
        tail, number = tail_for(request.sampling, self._tokenizer), 0
        given = tail.give(request.opening)
        ids = _ids(scripts.Reading(text, self._tokenizer), tail)
        t = self._prefill_seconds
        events: list[Event] = [Started(0.0, len(prompt)), Progress(t, len(prompt), len(prompt))]
        events += [replace(chunk, t=t) for chunk in given]
        for number, token in enumerate(islice(ids, room), start=1):
            t = self._prefill_seconds + number * self._token_seconds
            alternatives = ((token, 0.0),) if request.alternatives else None
            chunk, cut = tail.push(t, token, 0.0 if request.logprobs else None, alternatives)
            events.append(chunk)
            if cut:
                return [*events, Finished(t, "stop")]
        whole = number < room  # the stop token takes an iteration and a place like any other
        t += self._token_seconds * whole
        rest = tail.flush(t)
        return [*events, *([rest] if rest else []), Finished(t, "stop" if whole else "length")]


def _ids(reading: scripts.Reading, tail: Tail) -> Iterator[int]:
    """The text's ids, and those that the tail of the ids before them forces."""
    closing = False
    while True:
        forced, was_closing = tail.forced, closing
        closing = forced is not None
        if closing and not was_closing:
            reading.skip_thinking()
        token = forced if closing else reading.next()
        if token is None:
            return
        yield token
