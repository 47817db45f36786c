"""``config.json`` of a model folder: what it says, and what ExLlamaV2 would misread.

ExLlamaV2 0.3.2 loads any architecture it does not know as Llama, and falls back to
defaults for keys it does not find, without a word. Both are refused here instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import ModelError
from workbench.models.rope import Rope, read_rope, rope_problems

Json = Mapping[str, Any]

_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
)
_READ_BEFORE_CONTEXT = ("max_sequence_length", "model_max_length")
QUANTIZED = ("exl2", "gptq")


@dataclass(frozen=True, slots=True)
class Config:
    """The sizes of a Llama; sizes are counts, ``vocabulary`` and ``context`` in tokens."""

    architecture: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    rope: Rope
    tied: bool  # the head is the embedding
    quantization: str | None  # exl2-4.0bpw, gptq-4bit …; None: not quantized
    synthetic: bool  # made for tests or measuring
    raw: Json

    @property
    def matrices(self) -> int:
        """How many numbers the matrices of all layers hold."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def parameters(self) -> int:
        """How many numbers the model learnt, whatever they are stored in."""
        norms = (2 * self.layers + 1) * self.hidden
        embedding = self.vocabulary * self.hidden
        return self.matrices + norms + embedding * (1 if self.tied else 2)


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a model folder.

    Raises:
        ModelError: The file is missing, cannot be read, or holds something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{file.parent} has no {file.name}.",
            remedy="Point to a model folder as it comes from Hugging Face.",
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{file} cannot be read: {error}.", remedy="Download the file again."
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"{file} is not a JSON object.", remedy="Download the file again.")
    return content


def read_config(folder: Path) -> Config:
    """The configuration of a model folder.

    Raises:
        ModelError: There is none, or a key is missing or has an impossible value.
    """
    file = folder / "config.json"
    raw = read_json(file)
    sizes = {key: _size(raw, key, file) for key in _SIZES}
    heads, hidden = sizes["num_attention_heads"], sizes["hidden_size"]
    return Config(
        architecture=_architecture(raw, file),
        layers=sizes["num_hidden_layers"],
        hidden=hidden,
        intermediate=sizes["intermediate_size"],
        heads=heads,
        kv_heads=_size(raw, "num_key_value_heads", file, default=heads),
        head_dim=_size(raw, "head_dim", file, default=hidden // heads),
        vocabulary=sizes["vocab_size"],
        context=sizes["max_position_embeddings"],
        rope=read_rope(raw),
        tied=bool(raw.get("tie_word_embeddings", False)),
        quantization=_quantization(raw),
        synthetic=raw.get("synthetic") is True,
        raw=raw,
    )


def config_problems(config: Config) -> Iterator[ModelError]:
    """Why ExLlamaV2 cannot load such a model, or not as its authors meant it."""
    if config.architecture != "LlamaForCausalLM":
        yield ModelError(
            f"The model is a {config.architecture}, which ExLlamaV2 would load as a Llama.",
            remedy="Use a LlamaForCausalLM, such as nemotron-nano-8b.",
        )
    yield from _shape_problems(config)
    yield from rope_problems(config.raw)
    for key in _READ_BEFORE_CONTEXT:
        if config.raw.get(key, config.context) != config.context:
            yield ModelError(
                f"config.json gives the context twice: {key} is {config.raw[key]}, "
                f"max_position_embeddings {config.context}.",
                remedy=f"Remove {key} from config.json.",
            )


def _shape_problems(config: Config) -> Iterator[ModelError]:
    if config.heads % config.kv_heads:
        yield ModelError(
            f"{config.heads} attention heads cannot share {config.kv_heads} key/value heads.",
            remedy="Repair num_key_value_heads in config.json.",
        )
    if "rms_norm_eps" not in config.raw:
        yield ModelError(
            "config.json has no rms_norm_eps.", remedy="Add it, as in the model's repository."
        )
    if config.raw.get("hidden_act", "silu") != "silu":
        yield ModelError(
            f"The model's activation is {config.raw['hidden_act']}; ExLlamaV2 would use silu.",
            remedy="Use a model with hidden_act silu.",
        )
    method = _method(config.raw)
    if method not in (None, *QUANTIZED):
        yield ModelError(
            f"The weights are quantized with {method}, which ExLlamaV2 cannot read.",
            remedy=f"Use unquantized weights, or {' or '.join(QUANTIZED)}.",
        )


def _architecture(raw: Json, file: Path) -> str:
    names = raw.get("architectures")
    if isinstance(names, list) and len(names) == 1 and isinstance(names[0], str):
        return names[0]
    raise ModelError(
        f"{file} does not name one architecture (architectures is {names!r}).",
        remedy='A Llama has "architectures": ["LlamaForCausalLM"].',
    )


def _size(raw: Json, key: str, file: Path, default: int | None = None) -> int:
    value = raw.get(key)
    if value is None:
        value = default
    if type(value) is int and value > 0:
        return value
    said = "is missing" if value is None else f"is {value!r}"
    raise ModelError(
        f"{key} {said} in {file}.", remedy="It must be a whole number above 0, as in the original."
    )


def _method(raw: Json) -> str | None:
    settings = raw.get("quantization_config")
    return str(settings.get("quant_method")) if isinstance(settings, dict) else None


def _quantization(raw: Json) -> str | None:
    method = _method(raw)
    if method is None:
        return None
    bits = raw["quantization_config"].get("bits")
    if not isinstance(bits, int | float):
        return method
    return f"exl2-{float(bits)}bpw" if method == "exl2" else f"{method}-{bits:g}bit"
