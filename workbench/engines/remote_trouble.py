"""What can go wrong with an endpoint, each in one sentence with its remedy.

What a server says of itself is shown on one printable line; of an answer that may concern the
key nothing is, for servers repeat keys.
"""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from workbench.engines.endpoint import KEYS
from workbench.errors import EngineError
from workbench.printable import one_line

_MOST = 240  # characters of what a server says
_BASE = "Check the endpoint: the base URL of an OpenAI-compatible API usually ends in /v1."
_AGAIN = "Ask again; what came before it is kept."


def unreachable(error: Exception, url: str) -> EngineError:
    """For an exception that came out of a call: no connection, or one that broke."""
    why = one_line(str(error), _MOST) or type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return EngineError(
            f"{url} cannot be reached{_because(why)}",
            remedy="Start the server, or correct the endpoint.",
        )
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return EngineError(f"{url} did not answer in time.", remedy="Try again, or later.")
    if isinstance(error, httpx.TransportError):
        return EngineError(f"The connection to {url} broke{_because(why)}", remedy=_AGAIN)
    return EngineError(f"{url} could not be asked: {type(error).__name__}.", remedy=_BASE)


def refused(status: int, said: bytes, url: str, *, with_key: bool) -> EngineError:
    """For an answer that is not a success.

    Args:
        status: Of HTTP.
        said: The body.
        url: What was asked.
        with_key: Whether a key was sent.
    """
    because = _because(told(said))
    if status in (401, 403):
        message = f"The endpoint {'refuses the key' if with_key else 'wants a key'} ({status})."
        remedy = f"Set {KEYS[0]} in the environment to a key of {url}."
    elif status == 404 and "model" not in because:
        message, remedy = f"{url} is not there (404){because}", _BASE
    elif status in (429, 503):
        message = f"The endpoint is too busy ({status}){because}"
        remedy = "Ask fewer at once (--concurrency), or later."
    elif 300 <= status < 400:
        message = f"{url} has moved ({status}); a redirect is not followed, the key would go along."
        remedy = "Give the address where the API is now."
    elif status >= 500:
        message = f"The endpoint failed ({status}){because}"
        remedy = "Ask again; if it recurs, the server's log says more."
    else:
        message = f"The endpoint refused the request ({status}){because}"
        remedy = "Change what it names, or leave it out."
    return EngineError(message, remedy=remedy)


def impatient(seconds: float) -> EngineError:
    """Nothing came for too long."""
    return EngineError(f"The endpoint sent nothing for {seconds:g} seconds.", remedy=_AGAIN)


def cut_short() -> EngineError:
    """The stream ended before the answer did."""
    return EngineError("The endpoint's stream ended in the middle of the answer.", remedy=_AGAIN)


def ended_oddly(reason: str) -> EngineError:
    """The answer ended for a reason that an answer should not have."""
    return EngineError(
        f"The endpoint ended the answer with {one_line(reason, 40)!r}, neither stop nor length.",
        remedy="Ask differently, or look into the server's settings.",
    )


def unreadable(what: str) -> EngineError:
    """What came is not the protocol."""
    return EngineError(f"The endpoint sent {what}.", remedy=_BASE)


def broken_off(said: bytes) -> EngineError:
    """The endpoint tells of an error in the middle of its stream."""
    return EngineError(
        f"The endpoint broke off{_because(told(said))}",
        remedy="Ask again; if it recurs, the server's log says more.",
    )


def told(said: bytes) -> str:
    """What an error's body says, as one line; empty where it is no JSON of a known form."""
    try:
        found = msgspec.json.decode(said)
    except (msgspec.DecodeError, RecursionError):
        return ""
    return one_line(_message(found), _MOST)


def _because(why: str) -> str:
    return f": {why.rstrip('.')}." if why else "."


def _message(found: Any) -> str:
    """OpenAI's and vLLM's, FastAPI's, and their likes."""
    if isinstance(found, str):
        return found
    if isinstance(found, list) and found:
        return _message(found[0])
    if isinstance(found, dict):
        texts = (_message(found.get(key)) for key in ("error", "message", "detail", "msg"))
        return next(filter(None, texts), "")
    return ""
