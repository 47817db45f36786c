"""Where a remote endpoint is, and which API key may be sent there; nothing is asked of it here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from workbench.errors import InvalidInput
from workbench.records import EngineSpec

KEYS = ("WORKBENCH_API_KEY", "OPENAI_API_KEY")  # the first that is set counts, an empty one too

_EXAMPLE = "Give the base URL of an OpenAI-compatible API, e.g. http://localhost:8000/v1."
_CHOSEN_THERE = (  # settings of an engine that an endpoint does not let its callers choose
    "revision",
    "quantization",
    "device",
    "context",
    "cache",
    "cache_tokens",
    "attention",
    "sampler",
    "speculation",
    "draft_tokens",
)


def base_url(spec: EngineSpec) -> str:
    """The endpoint's URL without a slash at its end.

    Raises:
        InvalidInput: There is none, it is no base URL, or it holds a secret.
    """
    given = (spec.endpoint or "").strip().rstrip("/")
    if not given:
        raise InvalidInput("A remote engine needs an endpoint.", remedy=_EXAMPLE)
    parts = _parts(given)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InvalidInput(
            "The endpoint's URL has more in it than an address; a name, a password or a "
            "parameter there would be stored with every run.",
            remedy=f"Leave it out, and put the key into {KEYS[0]} in the environment.",
        )
    if parts.path.endswith(("/completions", "/models", "/responses", "/messages")):
        raise InvalidInput(f"{given} is one route of an API, not its base.", remedy=_EXAMPLE)
    return given


def api_key(url: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The key from the environment; ``None``: none is sent.

    Args:
        url: As ``base_url`` gives it.
        environ: Where the key is looked for.

    Raises:
        InvalidInput: It would travel unencrypted to another machine, or is no key.
    """
    name = next((name for name in KEYS if name in environ), None)
    key = environ[name].strip() if name else ""
    if name is None or not key:
        return None
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise InvalidInput(
            f"{name} holds characters that no API key has.", remedy="Set it to the key alone."
        )
    parts = _parts(url)
    if parts.scheme == "http" and not is_local(url):
        raise InvalidInput(
            f"The key in {name} would go to {parts.hostname} unencrypted.",
            remedy="Use https, or an SSH tunnel to localhost; "
            f"an empty {KEYS[0]} sends no key (`{KEYS[0]}= workbench …`).",
        )
    return key


def is_local(url: str) -> bool:
    """Whether what is sent there never leaves this machine."""
    host = _parts(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_settings(spec: EngineSpec) -> None:
    """Refuse what was asked of the engine and only its own machine can decide.

    Raises:
        InvalidInput: One of these settings is not at its default.
    """
    default = EngineSpec()
    for name in _CHOSEN_THERE:
        if getattr(spec, name) != getattr(default, name):
            shown = name.replace("_", "-")
            raise InvalidInput(
                f"A remote endpoint decides itself about {shown}; "
                f"{getattr(spec, name)!r} was asked for.",
                remedy=f"Leave {shown} out, or set it where the server is started.",
            )


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none, brackets without an address
        usable = None
    if not usable or any(character.isspace() or character < " " for character in url):
        shown = url.rpartition("@")[2]  # what stands before it may be a password
        raise InvalidInput(f"The endpoint {shown!r} is no http or https URL.", remedy=_EXAMPLE)
    return parts
