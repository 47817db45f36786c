"""Engines: models that answer requests. One protocol, several kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from types import MappingProxyType

from workbench.engines.base import Engine, LoadProgress
from workbench.engines.endpoint import api_key, base_url, refuse_settings
from workbench.engines.freeing import let_go
from workbench.errors import InvalidInput
from workbench.models.catalogue import locate
from workbench.records import EngineSpec

# Where each kind lives. Imported when first opened: torch and the model libraries take seconds.
KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "exllama": ("workbench.engines.exllama", "ExllamaEngine"),
        "reference": ("workbench.engines.reference", "ReferenceEngine"),
        "remote": ("workbench.engines.remote", "RemoteEngine"),
    }
)

_TELLING = ("exllama",)  # kinds whose loading takes a progress

__all__ = ["KINDS", "Engine", "LoadProgress", "at_hand", "let_go", "named", "open_engine"]


def at_hand(spec: EngineSpec) -> None:
    """Refuse what cannot be opened, as far as that is seen without opening it.

    Raises:
        InvalidInput: There is no engine of that kind, or an endpoint's address, key or
            settings cannot be used.
        ModelError: There is no such model here.
    """
    _refuse_unknown(spec)
    if spec.kind == "remote":
        refuse_settings(spec)
        api_key(base_url(spec))
        return
    locate(spec.model, spec.revision)


def named(spec: EngineSpec) -> EngineSpec:
    """The specification with its model's name: left open, an endpoint is asked for it.

    A plan made of it says who is asked, and so does the run that is stored.

    Raises:
        WorkbenchError: The endpoint does not tell, or has several.
    """
    if spec.kind != "remote" or spec.model != EngineSpec().model:
        return spec
    opened: EngineSpec = import_module("workbench.engines.remote_models").opened(spec)
    return replace(spec, model=opened.model)


def open_engine(spec: EngineSpec, progress: LoadProgress | None = None) -> Engine:
    """Open the engine that a specification asks for.

    Args:
        spec: What to open.
        progress: Told by engines that say how far the loading of their model is.

    Raises:
        InvalidInput: There is no engine of that kind.
        ModelError: The model cannot be loaded.
        EngineError: The engine cannot run here.
    """
    _refuse_unknown(spec)
    module, name = KINDS[spec.kind]
    opens = getattr(import_module(module), name)
    told = {"progress": progress} if progress is not None and spec.kind in _TELLING else {}
    engine: Engine = opens(spec, **told)
    return engine


def _refuse_unknown(spec: EngineSpec) -> None:
    if spec.kind not in KINDS:
        raise InvalidInput(
            f"There is no engine called {spec.kind!r}.", remedy=f"Choose one of {', '.join(KINDS)}."
        )
    if spec.endpoint is not None and spec.kind != "remote":
        raise InvalidInput(
            f"The engine {spec.kind} runs here and has no endpoint.",
            remedy="Choose the engine remote, or leave the endpoint out.",
        )
