"""Who answers at an endpoint: its list of models, and an engine's specification made of it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import httpx
import msgspec

from workbench.engines.endpoint import api_key, base_url, is_local, refuse_settings
from workbench.engines.remote_trouble import refused, unreachable, unreadable
from workbench.errors import EngineError, ModelError
from workbench.printable import one_line
from workbench.records import EngineSpec

CONNECT = 10.0  # seconds a connection may take
_ANSWER = 30.0  # seconds each part of the list may take
_LONGEST = 2**23  # bytes of the list that are read
_SHOWN = 8  # names in a remedy


class _Model(msgspec.Struct):
    id: str
    owned_by: str | None = None
    root: str | None = None  # the weights behind the name, where the server tells
    max_model_len: int | None = None  # vLLM's and NIM's: tokens of a request, prompt included


class _Models(msgspec.Struct):
    data: list[_Model]


def client_settings(url: str, key: str | None) -> dict[str, Any]:
    """What httpx's clients are made with: the key stands in a header, and nowhere else.

    Redirects are not followed, so that the key goes nowhere else either; no proxy stands
    between this machine and itself.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    settings = {"headers": headers, "follow_redirects": False, "trust_env": not is_local(url)}
    if is_local(url) and url.startswith("http:"):
        # Nothing is encrypted there, and reading the certificates takes longer than a request.
        settings["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return settings


def opened(spec: EngineSpec) -> EngineSpec:
    """The specification of the engine that answers there, as far as the endpoint tells.

    ``model`` is looked for in its list. At ``EngineSpec``'s own default it is the one that
    is listed, if there is only one.

    Raises:
        InvalidInput: The endpoint's address, the key or a setting cannot be used.
        EngineError: Nothing answers there, or not as an OpenAI-compatible API does.
        ModelError: It has no such model, or several and none was chosen.
    """
    refuse_settings(spec)
    url = base_url(spec)
    key = api_key(url)
    timeout = httpx.Timeout(_ANSWER, connect=CONNECT)
    with httpx.Client(timeout=timeout, **client_settings(url, key)) as client:
        status, said = _get(client, f"{url}/models", url)
        if status != 200:
            raise refused(status, said, f"{url}/models", with_key=key is not None)
        model = _chosen(spec, _listed(said))
        version = _version(client, url)
    parts = (model.owned_by, model.root if model.root != model.id else None, version)
    return replace(
        spec,
        model=model.id,
        endpoint=url,
        device="remote",
        context=model.max_model_len,
        cache="unknown",
        sampler="endpoint",
        template="endpoint",
        server=", ".join(one_line(part, 200) for part in parts if part) or None,
    )


def _get(client: httpx.Client, address: str, url: str) -> tuple[int, bytes]:
    try:
        with client.stream("GET", address) as response:
            return response.status_code, b"".join(_body(response))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unreachable(error, url) from None


def _body(response: httpx.Response) -> Iterator[bytes]:
    size = 0
    for part in response.iter_bytes():
        yield part
        size += len(part)
        if size > _LONGEST:
            return


def _listed(said: bytes) -> Mapping[str, _Model]:
    try:
        models = msgspec.json.decode(said, type=_Models).data
    except (msgspec.DecodeError, RecursionError):
        raise unreadable("something else than a list of models") from None
    return {model.id: model for model in models}


def _chosen(spec: EngineSpec, listed: Mapping[str, _Model]) -> _Model:
    if spec.model in listed:
        return listed[spec.model]
    if not listed:
        raise ModelError("The endpoint lists no model.", remedy="Load one into the server.")
    if spec.model == EngineSpec().model:
        if len(listed) == 1:
            return next(iter(listed.values()))
        raise ModelError(
            f"The endpoint has {len(listed)} models, and none was chosen.",
            remedy=f"Choose with --model: {_names(list(listed))}.",
        )
    near = get_close_matches(spec.model, listed, n=3, cutoff=0.4)
    raise ModelError(
        f"The endpoint has no model {spec.model!r}.",
        remedy=f"It has {_names(near or list(listed), len(listed))}.",
    )


def _names(names: list[str], of: int | None = None) -> str:
    shown = ", ".join(one_line(name, 100) for name in names[:_SHOWN])
    more = (of or len(names)) - min(len(names), _SHOWN)
    return f"{shown} and {more} more" if more else shown


def _version(client: httpx.Client, url: str) -> str | None:
    """The server's version: NIM tells it beside the API, vLLM at the root; others nowhere."""
    for address in (f"{url}/version", f"{url.removesuffix('/v1')}/version"):
        try:
            status, said = _get(client, address, url)
            found = msgspec.json.decode(said) if status == 200 else None
        except (EngineError, msgspec.DecodeError, RecursionError):
            continue
        told = found if isinstance(found, dict) else {}
        version = told.get("version") or told.get("release")
        if isinstance(version, str):
            return f"version {version}"
    return None
