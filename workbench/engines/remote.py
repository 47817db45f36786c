"""Any OpenAI-compatible chat endpoint behind the engine protocol: a NIM, vLLM, TabbyAPI.

What cannot hold for an endpoint of what ``base.py`` asks of an engine:

- Token ids are not known: chunks have none, ``encode`` and ``decode`` refuse, and nothing can
  be said of an id being in exactly one chunk. A chunk is a piece of text as it was sent, of
  one token or several. Tokens are what the endpoint counted (``Usage``), else unknown.
- A prompt that is too long for the context is refused by the endpoint, not by ``submit``.
- Sampling is the endpoint's, not ``workbench.sampling``: the same seed gives the same text as
  far as the server keeps to it. Log-probabilities are what it calls so; vLLM's are the model's
  own, others' may be those after temperature and nucleus.
- When the cache is freed is the server's affair: ``cancel`` closes the connection, which
  vLLM, NIM, SGLang and TabbyAPI take as the end of the request.

``Started`` is when the request was sent, its ``prompt_tokens`` ``None``; reading the prompt
is not reported. All times are of this side's clock, with the network in them.

To compare reasoning on and off, the server should run without a reasoning parser: some take
every answer with reasoning off for thinking. Where there is one, what it cut out is put back.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Never

import httpx

from workbench.engines.endpoint import api_key, base_url
from workbench.engines.remote_body import body
from workbench.engines.remote_call import Calls, Patience
from workbench.engines.remote_models import CONNECT, client_settings, opened
from workbench.errors import EngineError
from workbench.records import (
    EngineSpec,
    Event,
    Failed,
    Finished,
    Message,
    Request,
    Started,
)

_TICK = 0.01  # longest wait of a step, seconds
_IDLE = 2.0  # seconds that an unused connection is kept: less than servers do
_LEAVING = 5.0  # seconds that closing may take


@dataclass(slots=True)
class _Live:
    """A request between ``submit`` and its last event."""

    submitted: float
    started: bool = False
    task: asyncio.Task[None] | None = None  # only the other thread touches it


class RemoteEngine:
    """One model of an endpoint.

    A thread of its own speaks with the endpoint, over as many connections as requests are
    under way, ``spec.max_batch`` at most; ``submit`` and ``cancel`` never wait for it, and
    ``step`` collects what has come.

    Args:
        spec: With ``endpoint``. The API key is taken from the environment, see
            ``endpoint.api_key``, and kept nowhere but in the headers that are sent.
        patience: How long the endpoint is waited for.

    Raises:
        InvalidInput: The address, the key or a setting cannot be used.
        EngineError: Nothing answers there, or not as an OpenAI-compatible API does.
        ModelError: It has no such model.
    """

    def __init__(self, spec: EngineSpec, *, patience: Patience | None = None) -> None:
        self.spec = opened(spec)
        self._patience = patience or Patience()
        self._key = api_key(base_url(self.spec))
        self._live: dict[int, _Live] = {}
        self._news: list[tuple[int, Event]] = []
        self._changed = threading.Condition()  # guards the two above
        self._tickets = 0
        self._loop = asyncio.new_event_loop()
        self._leaving = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="workbench-remote", daemon=True)
        self._thread.start()
        self._ready.wait(2 * CONNECT)

    # --- the protocol ---------------------------------------------------------------------------

    def encode(self, messages: Sequence[Message], prefill: str = "") -> Never:
        """See ``Engine.encode``; always refused."""
        raise _idless()

    def decode(self, ids: Sequence[int]) -> Never:
        """See ``Engine.decode``; always refused."""
        raise _idless()

    def submit(self, request: Request, *, submitted: float | None = None) -> int:
        """See ``Engine.submit``."""
        began = time.perf_counter() if submitted is None else submitted
        asked = body(request, self.spec)
        self._tickets += 1
        live = _Live(began)
        with self._changed:
            self._live[self._tickets] = live
        self._loop.call_soon_threadsafe(self._begin, self._tickets, live, asked)
        return self._tickets

    def step(self) -> list[tuple[int, Event]]:
        """See ``Engine.step``; it waits a moment where nothing has come."""
        with self._changed:
            if self._live and not self._news:
                self._changed.wait(_TICK)
            news, self._news = self._news, []
        return news

    def cancel(self, ticket: int) -> None:
        """See ``Engine.cancel``."""
        with self._changed:
            live = self._live.get(ticket)
            if live is None:
                return
            t = time.perf_counter() - live.submitted
            self._note(ticket, live, Finished(t, "cancelled"))
        self._loop.call_soon_threadsafe(_drop, live)

    def close(self) -> None:
        """See ``Engine.close``."""
        with self._changed:
            self._live.clear()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._leaving.set)
            self._thread.join(_LEAVING)

    # --- the other thread -----------------------------------------------------------------------

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # cancels what is left
            runner.run(self._stay())

    async def _stay(self) -> None:
        most = self.spec.max_batch
        url = base_url(self.spec)
        client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=CONNECT),  # silence is what ``Patience`` bounds
            limits=httpx.Limits(max_connections=most, keepalive_expiry=_IDLE),
            **client_settings(url, self._key),
        )
        # Before anything is waited for here: a request may have been submitted already.
        self._calls = Calls(client, url, self._patience)
        self._places = asyncio.Semaphore(most)
        async with client:
            try:
                await self._warm(client, url)
            finally:
                self._ready.set()
            await self._leaving.wait()

    @staticmethod
    async def _warm(client: httpx.AsyncClient, url: str) -> None:
        """Have the libraries load what they load at a first call: it is in nobody's latency."""
        with suppress(httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(CONNECT):
                await client.get(f"{url}/models")

    def _begin(self, ticket: int, live: _Live, asked: Mapping[str, Any]) -> None:
        live.task = self._loop.create_task(self._answer(ticket, live, asked))

    async def _answer(self, ticket: int, live: _Live, asked: Mapping[str, Any]) -> None:
        try:
            async with self._places:
                self._tell(ticket, Started(time.perf_counter() - live.submitted, None, None))
                await self._calls.answer(
                    asked, live.submitted, lambda event: self._tell(ticket, event)
                )
        except EngineError as error:
            self._tell(ticket, self._failed(live, error))
        except Exception as error:  # of a library: this request's alone
            self._tell(ticket, self._failed(live, _unexpected(error)))

    def _failed(self, live: _Live, error: EngineError) -> Failed:
        """The error as an event; should a server have repeated the key, without it."""
        told = [error.message, error.remedy]
        if self._key:
            told = [text.replace(self._key, "…") for text in told]
        return Failed(time.perf_counter() - live.submitted, *told)

    def _tell(self, ticket: int, event: Event) -> None:
        with self._changed:
            live = self._live.get(ticket)
            if live is not None:  # not ended by a cancel
                self._note(ticket, live, event)

    def _note(self, ticket: int, live: _Live, event: Event) -> None:
        """Keep an event for the next step; the lock is held."""
        if not live.started and not isinstance(event, Started):
            self._news.append((ticket, Started(event.t, None, None)))
        live.started = True
        self._news.append((ticket, event))
        if isinstance(event, Finished | Failed):
            del self._live[ticket]
        self._changed.notify()


def _drop(live: _Live) -> None:
    if live.task is not None:
        live.task.cancel()


def _idless() -> EngineError:
    return EngineError(
        "A remote endpoint does not tell token ids.",
        remedy="Open the model here (--engine exllama) for what needs them.",
    )


def _unexpected(error: Exception) -> EngineError:
    return EngineError(
        f"The endpoint could not be asked: {type(error).__name__}.",
        remedy="Try again; if it recurs, report it.",
    )
