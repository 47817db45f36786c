"""Random matrices in each weight format that ExLlamaV2 reads, tensor by tensor.

Shapes are ``(outputs, inputs)``, as safetensors hold unquantised weights. Values have a
standard deviation of about ``SCALE`` in every format, which keeps a model's logits finite in
half precision.

- GPTQ: four bits, groups of 128 inputs, as AutoGPTQ writes them without ``desc_act``;
- EXL2: rows of two neighbouring bit widths, the wider first, so many of each that the mean
  with its scales is the asked-for number of bits, as the converter's own mixtures are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import gcd
from types import MappingProxyType

import torch
from torch import Tensor

from workbench.models.synthesis.pool import Pool

Tensors = dict[str, Tensor]

SCALE = 0.02
_GROUP = 128  # inputs that share a scale
_WIDTHS = (2, 3, 4, 5, 6, 8)  # bits that EXL2 knows
_SCALE_BITS = 4  # of a scale, a group and output
_ZERO = 0x77777777  # eight zeros of 7, which mean 8: the middle of four bits


def plain(pool: Pool, key: str, shape: tuple[int, int], bits: float) -> Tensors:
    """fp16."""
    return {f"{key}.weight": pool.normal(shape, SCALE)}


def gptq(pool: Pool, key: str, shape: tuple[int, int], bits: float) -> Tensors:
    """``qweight`` (inputs / 8, outputs), ``qzeros`` (groups, outputs / 8), ``scales``."""
    outputs, inputs = shape
    groups = inputs // gcd(_GROUP, inputs)
    step = SCALE * 12**0.5 / 2**4  # of sixteen equally likely values
    return {
        f"{key}.qweight": pool.words((inputs // 8, outputs)),
        f"{key}.qzeros": torch.full((groups, outputs // 8), _ZERO, dtype=torch.int32),
        f"{key}.scales": torch.full((groups, outputs), step, dtype=torch.float16),
    }


def exl2(pool: Pool, key: str, shape: tuple[int, int], bits: float) -> Tensors:
    """``q_weight`` (words, outputs), its groups, their scales, and the order of the inputs."""
    outputs, inputs = shape
    size = gcd(_GROUP, inputs)
    widths = mixture(bits, inputs // size, size)
    words = [width * size // 32 for width in widths]
    starts = [sum(words[:i]) for i in range(len(words))]
    table = [number for pair in zip(widths, starts, strict=True) for number in pair]
    steps = [SCALE * 12**0.5 / 2**width for width in widths]
    return {
        f"{key}.q_weight": pool.words((sum(words), outputs)),
        f"{key}.q_groups": torch.tensor(table, dtype=torch.int16),
        # Four set bits are a scale of 16² = 256 of ``q_scale_max``, which is read as 1/256.
        f"{key}.q_scale": torch.full((len(widths), outputs // 8), -1, dtype=torch.int32),
        f"{key}.q_scale_max": torch.tensor(steps, dtype=torch.float16),
        f"{key}.q_invperm": pool.order(inputs),
    }


def mixture(bits: float, groups: int, size: int) -> list[int]:
    """The width of each group, the wider first: on average ``bits`` with the scales.

    Args:
        bits: A weight, 2 or more; what no mixture reaches becomes the nearest that does.
        groups: How many.
        size: Inputs of each.
    """
    wanted = min(max(bits - _SCALE_BITS / size, _WIDTHS[0]), _WIDTHS[-1])
    low = max(width for width in _WIDTHS if width <= wanted)
    high = min(width for width in _WIDTHS if width >= wanted)
    wide = round(groups * (wanted - low) / (high - low)) if high > low else 0
    return [high] * wide + [low] * (groups - wide)


MAKERS: Mapping[str, Callable[[Pool, str, tuple[int, int], float], Tensors]] = MappingProxyType(
    {"fp16": plain, "gptq4": gptq, "exl2": exl2}
)
