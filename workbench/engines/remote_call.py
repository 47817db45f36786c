"""One request to an endpoint, from the first attempt to the last event."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec

from workbench.engines.remote_body import OPTIONAL
from workbench.engines.remote_stream import DONE, Reading, data
from workbench.engines.remote_trouble import impatient, refused, unreachable, unreadable
from workbench.errors import EngineError
from workbench.printable import one_line
from workbench.records import Event

Tell = Callable[[Event], None]

_BUSY = (429, 503)
_WRONG = (400, 422)  # OpenAI's and FastAPI's answer to a body that they cannot use
_SAID = 2**16  # bytes that are read of an answer that is no success


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an endpoint is waited for; seconds."""

    silence: float = 600.0  # without anything new of an answer, its beginning included
    tries: int = 4  # of a request that the endpoint is too busy for
    first_wait: float = 1.0  # before the second try, doubled each time, where it does not say
    longest_wait: float = 60.0  # an endpoint that asks for more has refused


class Calls:
    """Asks an endpoint; only from the event loop that its client lives in.

    Args:
        client: With the key in its headers.
        url: Of the endpoint.
        patience: How long it is waited for.
    """

    def __init__(self, client: httpx.AsyncClient, url: str, patience: Patience) -> None:
        self._client = client
        self._url = url
        self._patience = patience
        self._unknown: set[str] = set()  # of ``OPTIONAL``: what this endpoint does not take

    async def answer(self, body: Mapping[str, Any], submitted: float, tell: Tell) -> None:
        """Ask, and tell every event as it comes, the last one too.

        An endpoint that is too busy is asked again when it says so; one that does not know
        an optional field is asked again without it, now and from then on.

        Args:
            body: To be sent.
            submitted: ``time.perf_counter()`` that the events' times count from.
            tell: Called with each event.

        Raises:
            EngineError: It was not answered, or not to the end.
        """
        waits, left_out = 0, set(self._unknown)
        while True:
            sent = {name: value for name, value in body.items() if name not in left_out}
            refusal = await self._attempt(sent, submitted, tell)
            if refusal is None:
                self._unknown |= left_out
                return
            unknown = refusal.names(OPTIONAL) & sent.keys()
            wait = self._wait(refusal, waits)
            if unknown:
                left_out |= unknown
            elif wait is not None:
                waits += 1
                await asyncio.sleep(wait)
            else:
                with_key = "Authorization" in self._client.headers
                raise refused(refusal.status, refusal.said, self._url, with_key=with_key)

    async def _attempt(
        self, body: Mapping[str, Any], submitted: float, tell: Tell
    ) -> _Refusal | None:
        reading = Reading()
        try:
            async with (
                asyncio.timeout(self._patience.silence) as limit,
                self._client.stream(
                    "POST",
                    f"{self._url}/chat/completions",
                    content=msgspec.json.encode(body),
                    headers={"Content-Type": "application/json", "Accept": "text/event-stream"},
                ) as response,
            ):
                if response.status_code != 200:
                    return await _refusal(response)
                async for text in _events(response):
                    limit.reschedule(asyncio.get_running_loop().time() + self._patience.silence)
                    for chunk in reading.read(text, time.perf_counter() - submitted):
                        tell(chunk)
        except TimeoutError:
            _unless_finished(reading, impatient(self._patience.silence))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            _unless_finished(reading, unreachable(error, self._url))
        for event in reading.end(time.perf_counter() - submitted):
            tell(event)
        return None

    def _wait(self, refusal: _Refusal, waits: int) -> float | None:
        """Seconds until the next try; ``None``: there is none."""
        if refusal.status not in _BUSY or waits + 1 >= self._patience.tries:
            return None
        wait = refusal.retry_after
        wait = self._patience.first_wait * 2**waits if wait is None else wait
        return wait if wait <= self._patience.longest_wait else None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An answer that is no success."""

    status: int
    said: bytes
    retry_after: float | None  # seconds

    def names(self, fields: Iterable[str]) -> set[str]:
        """The fields of the body that it complains about."""
        return {name for name in fields if self.status in _WRONG and name.encode() in self.said}


async def _refusal(response: httpx.Response) -> _Refusal:
    said = b""
    async for part in response.aiter_bytes():
        said += part
        if len(said) > _SAID:
            break
    return _Refusal(response.status_code, said, _seconds(response.headers.get("Retry-After")))


def _seconds(told: str | None) -> float | None:
    """What ``Retry-After`` says: seconds, or a date."""
    if told is None:
        return None
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(told).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


async def _events(response: httpx.Response) -> AsyncGenerator[str, None]:
    """The data of each event, up to the one that says that it was the last."""
    kind = response.headers.get("Content-Type", "")
    if not kind.startswith("text/event-stream"):
        shown = one_line(kind.partition(";")[0], 80) or "something"
        raise unreadable(f"{shown} instead of a stream of events")
    async with aclosing(data(response.aiter_bytes())) as events:
        async for text in events:
            if text.strip() == DONE:
                return
            yield text


def _unless_finished(reading: Reading, trouble: EngineError) -> None:
    """Nothing that happens behind an answer's end changes it."""
    if not reading.finished:
        raise trouble from None
