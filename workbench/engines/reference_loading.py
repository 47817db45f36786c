"""Load a model into transformers: what it runs on, and what is left open chosen."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from workbench.errors import EngineError, ModelError
from workbench.models.catalogue import revision_of
from workbench.models.folder import ModelInfo
from workbench.models.weights import weights_sha256
from workbench.records import EngineSpec

_TYPES = MappingProxyType({"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16})
_ATTENTION = ("sdpa", "eager")  # transformers' names


def import_library() -> Any:
    """The transformers package, which is optional.

    Raises:
        EngineError: It is not installed.
    """
    try:
        import transformers  # noqa: PLC0415  (optional)
    except ImportError as error:
        raise EngineError(
            "The reference engine needs transformers, which is not installed.",
            remedy='Install it: pip install "nemotron-workbench[reference]"',
        ) from error
    return transformers


def resolve(spec: EngineSpec, folder: Path, info: ModelInfo) -> EngineSpec:
    """Every field that was left open, chosen.

    Raises:
        ModelError: The weights are quantized.
        EngineError: Something was asked for that this engine has not, or not here.
    """
    device = _device(spec.device)
    if info.quantization not in _TYPES:
        raise ModelError(
            f"The reference engine does not read {info.quantization} weights.",
            remedy="Use the model's unquantized weights.",
        )
    computed = spec.quantization or ("fp32" if device == "cpu" else info.quantization)
    attention = spec.attention or _ATTENTION[0]
    _check_choice("number format", computed, tuple(_TYPES))
    _check_choice("attention", attention, _ATTENTION)
    _check_choice("sampler", spec.sampler, ("exact",))
    _check_choice("speculation", spec.speculation or "none", ("none",))
    context = min(spec.context or info.context, info.context)
    return replace(
        spec,
        kind="reference",
        revision=revision_of(folder) or spec.revision,
        quantization=computed,
        device=device,
        context=context,
        cache=computed,
        cache_tokens=spec.cache_tokens or context,
        attention=attention,
        weights_sha256=weights_sha256(folder),
        synthetic=info.synthetic,
    )


def _check_choice(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise EngineError(
            f"The reference engine has no {what} {value!r}.", remedy=f"Choose {' or '.join(known)}."
        )


def _device(asked: str | None) -> str:
    name = asked or ("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except Exception as error:  # torch raises several kinds
        raise EngineError(
            f"There is no device called {name!r} that torch can use here.", remedy="Choose cpu."
        ) from error
    return name


def load_model(library: Any, folder: Path, spec: EngineSpec) -> Any:
    """The model, ready to run; nothing is downloaded and no code of the folder is run."""
    with contextlib.redirect_stderr(io.StringIO()):  # it draws progress bars
        model = library.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=_TYPES[spec.quantization or ""],
            attn_implementation=spec.attention,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    return model.to(spec.device).eval()
