"""What watching costs: recording, log-probabilities, alternatives and a live reader, on and off."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from workbench.bench.figures import Figure, Goal, Side, compared
from workbench.bench.generation import Options
from workbench.bench.sides import Loop, SessionLoop, rate
from workbench.bench.workload import Prompts, endless
from workbench.records import Chunk, EngineSpec, Request
from workbench.session import Recorder, Session
from workbench.store import Store
from workbench.stream import Stream

_ALTERNATIVES = 20
_GOAL = Goal("at most", 1.03)  # of what every run has on: a store, log-probabilities


def watching(options: Options) -> Iterator[Figure]:
    """Each way of watching against the same requests unwatched, in turns, one at a time."""
    for requests in (1, 16):
        yield from measure(options, requests)


def cost_of_watching(
    spec: EngineSpec | None = None, *, requests: int = 4, rounds: int = 5, tokens: int = 48
) -> list[dict[str, Any]]:
    """The same as a table, in seconds: for a notebook beside its run.

    Args:
        spec: Which engine and model; default: ExLlamaV2 with ``demo``.
        requests: Under way at once.
        rounds: Each way is measured so often, in turns with the unwatched one.
        tokens: That every request generates.

    Returns:
        A row a way: ``watching``, milliseconds a token ``on`` and ``off`` (medians), their
        ``ratio`` (median of the rounds), ``low`` and ``high`` (its range), ``rounds``.
    """
    options = Options(spec or EngineSpec(), rounds=rounds, tokens=tokens)
    return [
        {
            "watching": one.what.partition(", by")[0],
            "on": one.first,
            "off": one.second,
            "ratio": one.ratio,
            "low": one.low,
            "high": one.high,
            "rounds": one.rounds,
        }
        for one in measure(options, requests)
    ]


def measure(options: Options, requests: int) -> Iterator[Figure]:
    """Every way of watching so many requests at once, as ratios of milliseconds a token."""
    with _opened(options) as (session, store):
        plain = SessionLoop(session)
        ways: Sequence[tuple[str, str, Loop, dict[str, Any], Goal | None]] = (
            ("recording", "a store that keeps every event", SessionLoop(session, store), {}, _GOAL),
            ("logprobs", "log-probabilities", plain, {"logprobs": True}, _GOAL),
            (
                "alternatives",
                f"log-probabilities of {_ALTERNATIVES} alternatives",
                plain,
                {"logprobs": True, "alternatives": _ALTERNATIVES},
                None,
            ),
            ("reader", "a reader that follows every stream", ReaderLoop(session), {}, None),
            (
                "all",
                "all of it at once",
                ReaderLoop(session, store),
                {"logprobs": True, "alternatives": _ALTERNATIVES},
                None,
            ),
        )
        for name, what, loop, asked, goal in ways:
            yield compared(
                f"watching_{name}_{requests}",
                f"{what}, by unwatched; {requests} at once",
                "ms/token",
                (_side(loop, options, requests, asked), _side(plain, options, requests, {})),
                rounds=options.rounds,
                goal=goal,
            )


class ReaderLoop(SessionLoop):
    """A session whose every stream is followed by a thread, as a live view follows it.

    The thread takes each event as it comes and joins the texts, so it competes for the
    interpreter as a viewer does; it draws nothing.
    """

    def __init__(self, session: Session, store: Store | None = None) -> None:
        self._readers = _Readers(session)
        super().__init__(cast(Session, self._readers), store)

    def answer(self, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        """See ``Loop``; the readers have read to the end by then."""
        ids = super().answer(requests)
        self._readers.join()
        return ids


class _Readers:
    """Of a session what ``SessionLoop`` uses: every stream that it starts gets a reader."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._threads: list[threading.Thread] = []
        self.spec = session.spec

    def start(self, request: Request, recorder: Recorder | None = None) -> Stream:
        stream = self._session.start(request, recorder)
        thread = threading.Thread(target=_follow, args=(stream,), daemon=True)
        thread.start()
        self._threads.append(thread)
        return stream

    def join(self) -> None:
        while self._threads:
            self._threads.pop().join()


def _follow(stream: Stream) -> int:
    text = ""
    for event in stream:
        if isinstance(event, Chunk):
            text += event.text
    return len(text)


@contextmanager
def _opened(options: Options) -> Iterator[tuple[Session, Store]]:
    """One engine for every way, and a store in a folder that is removed."""
    with (
        endless(options.spec.model) as folder,
        TemporaryDirectory() as kept,
        Store(Path(kept) / "runs.sqlite") as store,
        Session(options.on(folder)) as session,
    ):
        yield session, store


def _side(loop: Loop, options: Options, requests: int, asked: dict[str, Any]) -> Side:
    """Milliseconds a token, over new prompts each time."""
    prompts = Prompts(options.tokens)

    def once() -> float:
        return 1e3 / rate(loop, [replace(one, **asked) for one in prompts.take(requests)])

    return once
