"""What a model takes in memory, part by part, before anything is loaded; and what fits.

The parts are those that ExLlamaV2 0.3.2 allocates, by its source::

    weights      every tensor but the embedding, which it keeps in the host's memory
    cache        keys and values of all layers, by the cache's type; a quantised one
                 also needs one layer of it in fp16
    RoPE         sines and cosines of every position, fp16
    scratch      one buffer for quantised weights: the largest module, dequantised
    activations  of the longest piece of a prompt that is read at once
    attention    keys and values of one layer, gathered from their pages; flash-attn needs none
    logits       of every request that is decoded together, and what drawing from them needs

What the CUDA context and the kernels' code take is no tensor and is known only on the
machine: ``CONTEXT`` is set aside for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from workbench.errors import InvalidInput

PIECE = 2048  # tokens of a prompt that are read at once
PAGE = 256  # tokens a page of ExLlamaV2's cache holds
GATHERED = 2**28  # bytes of keys and values that are gathered for several rows at once, at most
CONTEXT = 3 * 2**28  # bytes set aside for the CUDA context and code; an estimate

CACHES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"fp16": (16, 16), "q8": (8, 8), "q6": (8, 4), "q4": (4, 4)}
)
"""Bits of a key and of a value, by the cache's type; quantised ones have an fp16 scale per 32."""

_GROUP = 32  # numbers of a quantised cache that share a scale
_DEQUANTISED = 512 * 2**20  # most numbers that ExLlamaV2 dequantises at once
_DRAWN = 2**25  # logits that the law of sampling works on at a time, on a GPU
_DRAWING = 64  # bytes each of them takes meanwhile, at most: what flat logits take
_HEAD_BITS = 6.0  # of the head in EXL2 weights, by the converter's default
_GPTQ_BITS = 4 + (16 + 4) / 128  # a weight, and its share of scale and zero of its group of 128


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a Llama, as far as memory depends on them."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool  # the head is the embedding

    @property
    def matrices(self) -> int:
        """Numbers in the matrices of all layers."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def head(self) -> int:
        """Numbers in the head, and as many in the embedding."""
        return self.vocabulary * self.hidden

    @property
    def norms(self) -> int:
        """Numbers in all normalisations."""
        return (2 * self.layers + 1) * self.hidden


@dataclass(frozen=True, slots=True)
class Use:
    """How a model is to be used."""

    context: int  # most tokens of one request
    cache_tokens: int  # of all live requests together
    cache: str = "fp16"
    batch: int = 1  # requests decoded together


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes on the GPU, part by part."""

    use: Use
    weights: int
    cache: int
    rope: int
    scratch: int
    activations: int
    attention: int
    logits: int
    host: int  # in the host's memory: embedding and a buffer for logits

    @property
    def loaded(self) -> int:
        """What a load allocates and keeps."""
        return self.weights + self.cache + self.rope + self.scratch

    @property
    def total(self) -> int:
        """With what generating takes at its peak."""
        return self.loaded + self.activations + self.attention + self.logits

    def parts(self) -> dict[str, int]:
        """Name -> bytes, in the order of this file's first lines."""
        names = ("weights", "cache", "rope", "scratch", "activations", "attention", "logits")
        return {name: getattr(self, name) for name in names}


def plan(shape: Shape, weights: int, quantized: bool, use: Use) -> MemoryPlan:
    """What using a model takes.

    Args:
        shape: Of the model.
        weights: Bytes of its weights on the GPU; see ``weights_for``.
        quantized: EXL2 or GPTQ, which take scratch memory.
        use: How it is to be used.

    Raises:
        InvalidInput: No such cache, or sizes that cannot be.
    """
    _check(use)
    states = 3 * shape.hidden + shape.heads * shape.head_dim + shape.kv_heads * shape.head_dim
    activation = 3 * shape.intermediate + states
    rows = min(use.batch, max(1, _DRAWN // shape.vocabulary))
    return MemoryPlan(
        use=use,
        weights=weights,
        cache=cache_bytes(shape, use.cache, use.cache_tokens),
        rope=2 * use.context * shape.head_dim * 2,
        scratch=_scratch(shape) if quantized else 0,
        activations=min(PIECE, use.context) * activation * 2,
        attention=_gathered(shape, use),
        logits=shape.vocabulary * (6 * use.batch + _DRAWING * rows),
        host=2 * shape.head + 4 * use.batch * shape.vocabulary,
    )


def cache_bytes(shape: Shape, cache: str, tokens: int) -> int:
    """Bytes of a cache that holds so many tokens."""
    width = shape.kv_heads * shape.head_dim
    keys, values = CACHES[cache]
    bits = width * (keys + values)
    if cache == "fp16":
        return shape.layers * tokens * bits // 8
    scales = 2 * 2 * (width // _GROUP)
    return shape.layers * tokens * (bits // 8 + scales) + tokens * width * 2 * 2


def weights_for(shape: Shape, quantization: str) -> int:
    """Bytes that weights of this shape would take on the GPU.

    Args:
        shape: Of the model.
        quantization: ``fp16``, ``bf16``, ``gptq-4bit`` or ``exl2-4.0bpw``.

    Raises:
        InvalidInput: There is no such format.
    """
    body, head = _bits(quantization)
    return int(shape.matrices * body / 8 + shape.head * head / 8) + 2 * shape.norms


def largest_context(
    shape: Shape, weights: int, quantized: bool, use: Use, memory: int, most: int
) -> int | None:
    """The longest context with which ``use.batch`` full requests fit, in tokens.

    Args:
        shape: Of the model.
        weights: Bytes of its weights on the GPU.
        quantized: EXL2 or GPTQ.
        use: Its cache type and batch count; its context does not.
        memory: Bytes of the GPU, all of them: ``CONTEXT`` is taken off here.
        most: Tokens that the model can read.

    Returns:
        A multiple of 256; ``None`` when not even one page fits.
    """
    low, high = 0, most // PAGE
    while low < high:
        middle = (low + high + 1) // 2
        tokens = middle * PAGE
        tried = Use(tokens, tokens * use.batch, use.cache, use.batch)
        fits = plan(shape, weights, quantized, tried).total + CONTEXT <= memory
        low, high = (middle, high) if fits else (low, middle - 1)
    return low * PAGE or None


def _gathered(shape: Shape, use: Use) -> int:
    """Bytes of keys and values, fp16: one whole request, or several as far as ``GATHERED``."""
    request = 2 * 2 * shape.kv_heads * shape.head_dim * use.context
    return max(request, min(GATHERED, request * use.batch))


def _scratch(shape: Shape) -> int:
    """Bytes of ExLlamaV2's one buffer: what its largest module asks for.

    A feed-forward layer wants three states and one matrix dequantised, the head the
    whole head dequantised, as far as ``_DEQUANTISED`` allows.
    """
    inner = max(shape.hidden, shape.intermediate)
    matrix = min(shape.hidden * shape.intermediate, _DEQUANTISED)
    feed_forward = PIECE * (shape.hidden + 2 * inner) * 2 + 2 * matrix
    return max(feed_forward, 2 * min(shape.head, _DEQUANTISED))


def _bits(quantization: str) -> tuple[float, float]:
    """Bits of a weight in the layers, and in the head."""
    if quantization in ("fp16", "bf16"):
        return 16, 16
    if quantization == "gptq-4bit":
        return _GPTQ_BITS, 16
    if quantization.startswith("exl2-") and quantization.endswith("bpw"):
        try:
            bits = float(quantization[5:-3])
        except ValueError:
            bits = 0.0
        if 2 <= bits <= 8:
            return bits, _HEAD_BITS
    raise InvalidInput(
        f"There is no weight format {quantization!r}.",
        remedy="Choose fp16, bf16, gptq-4bit, or exl2-4.0bpw with 2 to 8 bits.",
    )


def _check(use: Use) -> None:
    if use.cache not in CACHES:
        raise InvalidInput(
            f"There is no cache type {use.cache!r}.", remedy=f"Choose from {', '.join(CACHES)}."
        )
    if min(use.context, use.cache_tokens, use.batch) < 1:
        raise InvalidInput(
            "Context, cache and batch must each be at least 1.", remedy="Try --context 8192."
        )
