"""What a synthetic model is to be: shape, weight format, vocabulary; and its ``config.json``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from workbench.errors import InvalidInput
from workbench.models.catalogue import CATALOGUE
from workbench.models.memory import Shape, weights_for
from workbench.models.synthesis.matrices import MAKERS
from workbench.models.synthesis.tokenizer import control_id

HEAD_BITS = 6.0  # of the head in EXL2 weights, the converter's default
_ENDS = ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")
_MULTIPLE = 64  # of every width that is quantised


@dataclass(frozen=True, slots=True)
class Recipe:
    """One synthetic model."""

    shape: Shape
    context: int  # tokens
    form: str  # fp16, gptq4, exl2
    bits: float  # a weight, of EXL2

    @property
    def quantization(self) -> str:
        """As ``models.memory`` calls it."""
        return {"fp16": "fp16", "gptq4": "gptq-4bit"}.get(self.form, f"exl2-{self.bits}bpw")

    @property
    def bytes(self) -> int:
        """About what its files take."""
        return weights_for(self.shape, self.quantization) + 2 * self.shape.head

    def config(self) -> dict[str, Any]:
        """``config.json``, with the rotary settings of Llama 3.1."""
        shape, vocabulary = self.shape, self.shape.vocabulary
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": shape.hidden,
            "intermediate_size": shape.intermediate,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.head_dim,
            "vocab_size": vocabulary,
            "max_position_embeddings": self.context,
            "rope_theta": 500000.0,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            "rms_norm_eps": 1e-05,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "synthetic": True,
            "bos_token_id": control_id("<|begin_of_text|>", vocabulary),
            **self.ends(),
            **self._quantized(),
        }

    def ends(self) -> dict[str, list[int]]:
        """The ids that end a turn."""
        return {"eos_token_id": [control_id(name, self.shape.vocabulary) for name in _ENDS]}

    def matrices(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """The linear modules of one layer, relative to it, and their (outputs, inputs)."""
        shape = self.shape
        query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        yield "self_attn.q_proj", (query, shape.hidden)
        yield "self_attn.k_proj", (key, shape.hidden)
        yield "self_attn.v_proj", (key, shape.hidden)
        yield "self_attn.o_proj", (shape.hidden, query)
        yield "mlp.gate_proj", (shape.intermediate, shape.hidden)
        yield "mlp.up_proj", (shape.intermediate, shape.hidden)
        yield "mlp.down_proj", (shape.hidden, shape.intermediate)

    def _quantized(self) -> dict[str, Any]:
        if self.form == "fp16":
            return {}
        if self.form == "gptq4":
            return {"quantization_config": dict(_GPTQ)}
        return {"quantization_config": {**_EXL2, "bits": self.bits, "head_bits": HEAD_BITS}}


_GPTQ = MappingProxyType(
    {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}
)
_EXL2 = MappingProxyType({"quant_method": "exl2", "version": "0.3.2"})


def recipe(
    like: str, form: str, bits: float, layers: int | None = None, vocabulary: int | None = None
) -> Recipe:
    """The recipe for a model like one of the catalogue.

    Args:
        like: A name whose shape is known.
        form: fp16, gptq4 or exl2.
        bits: A weight, of EXL2: 2 to 8.
        layers: Fewer than the model has, for tests.
        vocabulary: Another size.

    Raises:
        InvalidInput: No such model or format, or sizes that cannot be.
    """
    known = {name: entry for name, entry in CATALOGUE.items() if entry.shape is not None}
    if like not in known:
        raise InvalidInput(
            f"The shape of {like!r} is not known.", remedy=f"Choose from {', '.join(known)}."
        )
    if form not in MAKERS:
        raise InvalidInput(
            f"There is no format {form!r} to write.", remedy=f"Choose from {', '.join(MAKERS)}."
        )
    shape = known[like].shape
    assert shape is not None
    shape = replace(shape, layers=layers or shape.layers, vocabulary=vocabulary or shape.vocabulary)
    made = Recipe(shape, known[like].context, form, bits)
    weights_for(shape, made.quantization)  # refuses bits that cannot be
    if form != "fp16" and shape.vocabulary % _MULTIPLE:
        raise InvalidInput(
            f"Quantised weights need a vocabulary that {_MULTIPLE} divides.",
            remedy=f"Try {-(-shape.vocabulary // _MULTIPLE) * _MULTIPLE}.",
        )
    return made
