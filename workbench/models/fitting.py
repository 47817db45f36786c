"""Does a model fit a GPU? Asked of the memory plan, for the GPUs that people have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType

from workbench.errors import InvalidInput
from workbench.models.catalogue import CATALOGUE, local_models, locate
from workbench.models.config import QUANTIZED, Config, read_config
from workbench.models.memory import (
    CONTEXT,
    PAGE,
    MemoryPlan,
    Shape,
    Use,
    largest_context,
    plan,
    weights_for,
)
from workbench.models.weights import Weights, read_weights

GPUS: Mapping[str, int] = MappingProxyType(
    {
        "RTX 3060 12 GB": 12_288,
        "RTX 4060 Ti 16 GB": 16_380,
        "RTX 3090": 24_576,
        "RTX 4090": 24_564,
        "RTX 5090": 32_607,
        "A100 40 GB": 40_960,
        "L40S": 46_068,
        "A100 80 GB": 81_920,
        "H100 80 GB": 81_559,
        "H200": 143_771,
    }
)
"""Memory in MiB as each card's driver reports it; error correction and the desktop take some."""

FORMATS = ("fp16", "exl2-8.0bpw", "exl2-6.0bpw", "exl2-4.0bpw", "gptq-4bit")
_UNITS = MappingProxyType({"": 1, "b": 1, "mib": 2**20, "gib": 2**30, "mb": 10**6, "gb": 10**9})


@dataclass(frozen=True, slots=True)
class Subject:
    """A model as far as its memory goes; its weights need not be on this machine."""

    name: str
    shape: Shape
    quantization: str
    weights: int  # bytes on the GPU
    context: int  # tokens that it can read

    @property
    def quantized(self) -> bool:
        """Whether its weights are dequantised while it runs."""
        return self.quantization.startswith(QUANTIZED)

    def plan(self, use: Use) -> MemoryPlan:
        """What using it takes."""
        return plan(self.shape, self.weights, self.quantized, use)

    def largest(self, use: Use, memory: int) -> int | None:
        """The longest context that fits, ``use.batch`` full requests of it; ``None``: none."""
        return largest_context(self.shape, self.weights, self.quantized, use, memory, self.context)

    def fits(self, use: Use, memory: int) -> bool:
        """Whether a GPU of so many bytes takes it all, the CUDA context included."""
        return self.plan(use).total + CONTEXT <= memory

    def as_if(self, quantization: str) -> Subject:
        """The same model with weights of another format, by their sizes."""
        weights = weights_for(self.shape, quantization)
        return replace(self, quantization=quantization, weights=weights)


def subject(model: str, quantization: str | None = None) -> Subject:
    """A model by its name.

    Args:
        model: As ``catalogue.locate`` takes it; of the catalogue also one that is not here.
        quantization: As if its weights were of this format; default: those of the folder,
            or fp16.

    Raises:
        InvalidInput: There is no such format.
        ModelError: There is no such model, or its folder cannot be read.
    """
    entry = CATALOGUE.get(model)
    known = None if entry is None else entry.shape
    if entry is not None and known is not None and not _is_here(model):
        chosen = quantization or FORMATS[0]
        return Subject(model, known, chosen, weights_for(known, chosen), entry.context)
    folder = locate(model)
    config, weights = read_config(folder), read_weights(folder)
    own = config.quantization or weights.precision
    shape = shape_of(config)
    found = Subject(model, shape, own, weights_in(weights, config.tied), config.context)
    return found if quantization in (None, own) else found.as_if(quantization or own)


def use_of(of: Subject, context: int | None, cache: str, batch: int) -> Use:
    """How it is to be used: ``batch`` full requests of ``context`` tokens, in whole pages.

    Raises:
        InvalidInput: More context than the model can read.
    """
    wanted = min(32_768, of.context) if context is None else context
    if wanted > of.context:
        raise InvalidInput(
            f"{of.name} reads {of.context:,} tokens, not {wanted:,}.",
            remedy=f"Use --context {of.context} or less.",
        )
    return Use(wanted, -(-wanted // PAGE) * PAGE * batch, cache, batch)


def memory_of(text: str) -> int:
    """Bytes of ``24GiB``, ``24 GB``, ``24564MiB``; a bare number below 10,000 counts GiB.

    Raises:
        InvalidInput: It is no amount of memory.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if match is None or match[2] not in _UNITS:
        raise InvalidInput(f"{text!r} is no amount of memory.", remedy="Write it as 24GiB.")
    number = float(match[1])
    unit = "gib" if not match[2] and number < 10_000 else match[2]
    if not number:
        raise InvalidInput("A GPU without memory holds nothing.", remedy="Write it as 24GiB.")
    return int(number * _UNITS[unit])


def shape_of(config: Config) -> Shape:
    """The shape that a ``config.json`` describes."""
    return Shape(
        config.layers,
        config.hidden,
        config.intermediate,
        config.heads,
        config.kv_heads,
        config.head_dim,
        config.vocabulary,
        config.tied,
    )


def weights_in(weights: Weights, tied: bool) -> int:
    """Bytes that the weights of a folder take on the GPU.

    ExLlamaV2 computes in fp16, so what is stored as bf16 or fp32 becomes two bytes; the
    embedding stays with the host, unless it is the head as well.
    """
    held = {"F16": 2, "BF16": 2, "F32": 2, "I32": 4, "I16": 2}
    return sum(
        prod(tensor.shape) * held.get(tensor.dtype, 4)
        for name, tensor in weights.tensors.items()
        if tied or not name.startswith("model.embed_tokens")
    )


def _is_here(model: str) -> bool:
    return model in local_models()
