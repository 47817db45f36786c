"""Rotary embeddings of ``config.json``: what its authors meant, and what ExLlamaV2 reads.

transformers 5 writes ``rope_parameters``. ExLlamaV2 0.3.2 knows only the older
``rope_theta`` and ``rope_scaling``, and without them runs on a base of 10,000 and
no scaling, without a word: the model then talks nonsense on long prompts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from workbench.errors import ModelError

_DEFAULT_THETA = 10000.0  # of ExLlamaV2 and transformers where none is given
_SPELLINGS = ("type", "rope_type")  # of the key that names the kind of scaling
# The keys that ExLlamaV2 needs for each kind of scaling it knows.
_NEEDED = MappingProxyType(
    {
        "linear": ("factor",),
        "yarn": ("factor", "original_max_position_embeddings"),
        "llama3": (
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "original_max_position_embeddings",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Rope:
    """The base, and the scaling with its settings; ``None``: not scaled."""

    theta: float
    scaling: Mapping[str, Any] | None

    @property
    def kind(self) -> str | None:
        """``llama3``, ``linear`` …"""
        settings = self.scaling or {}
        return next((settings[key] for key in _SPELLINGS if settings.get(key)), None)

    @property
    def keys(self) -> str:
        """The lines of ``config.json`` that say this to ExLlamaV2."""
        settings = {"rope_theta": self.theta, "rope_scaling": self.scaling}
        return json.dumps(settings)[1:-1]


def read_rope(raw: Mapping[str, Any]) -> Rope:
    """The settings as the authors meant them, in the new spelling or the old.

    Raises:
        ModelError: The base is not a number.
    """
    new = raw.get("rope_parameters")
    if not isinstance(new, dict):
        return _old(raw)
    scaling = {key: value for key, value in new.items() if key != "rope_theta"}
    return _rope(new.get("rope_theta", raw.get("rope_theta")), scaling)


def rope_problems(raw: Mapping[str, Any]) -> Iterator[ModelError]:
    """Why ExLlamaV2 would not read what ``read_rope`` reads."""
    meant, given = read_rope(raw), raw.get("rope_scaling")
    if isinstance(given, dict) and all(given.get(key) for key in _SPELLINGS):
        yield ModelError(
            "rope_scaling in config.json has both type and rope_type, which ExLlamaV2 refuses.",
            remedy="Remove type from it and keep rope_type.",
        )
    if meant.kind is not None and meant.kind not in _NEEDED:
        yield ModelError(
            f"ExLlamaV2 does not know the rope scaling {meant.kind!r}.",
            remedy=f"Use a model with {', '.join(_NEEDED)} or no rope scaling.",
        )
    if missing := [k for k in _NEEDED.get(meant.kind or "", ()) if k not in (meant.scaling or {})]:
        yield ModelError(
            f"The {meant.kind} rope scaling in config.json lacks {', '.join(missing)}.",
            remedy="Add what is missing, as in the model's repository.",
        )
    if _comparable(_old(raw)) != _comparable(meant):
        yield ModelError(
            "config.json has its rope settings under rope_parameters (the form of transformers 5), "
            "which ExLlamaV2 does not read.",
            remedy=f"Add to config.json: {meant.keys}",
        )


def _old(raw: Mapping[str, Any]) -> Rope:
    return _rope(raw.get("rope_theta"), raw.get("rope_scaling"))


def _rope(theta: Any, scaling: Any) -> Rope:
    if theta is None:
        theta = _DEFAULT_THETA
    if isinstance(theta, bool) or not isinstance(theta, int | float):
        raise ModelError(
            f"rope_theta in config.json is {theta!r}.",
            remedy="It must be a number, as in the model's repository.",
        )
    rope = Rope(float(theta), scaling if isinstance(scaling, dict) and scaling else None)
    return rope if rope.kind not in (None, "default") else Rope(rope.theta, None)


def _comparable(rope: Rope) -> tuple[float, str | None, dict[str, Any]]:
    settings = {k: v for k, v in (rope.scaling or {}).items() if k not in _SPELLINGS}
    return rope.theta, rope.kind, settings
