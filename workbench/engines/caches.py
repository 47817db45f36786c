"""ExLlamaV2's key/value caches, by the type of their elements.

Imported only after the natives stand in place (``natives.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from exllamav2.cache import (
    ExLlamaV2Cache,
    ExLlamaV2Cache_Q4,
    ExLlamaV2Cache_Q6,
    ExLlamaV2Cache_Q8,
    ExLlamaV2CacheBase,
)


def cache(model: Any, tokens: int, kind: str) -> ExLlamaV2CacheBase:
    """A key/value cache for so many tokens, shared by all live requests.

    Args:
        model: A loaded ``ExLlamaV2``.
        tokens: A multiple of 256.
        kind: fp16, q8, q6, q4; fp32 is what the portable natives compute in.
    """
    if kind != "fp32":
        return _CACHES[kind](model, max_seq_len=tokens)
    wide = ExLlamaV2Cache.__new__(ExLlamaV2Cache)
    ExLlamaV2CacheBase.__init__(wide, model, 1, tokens, torch.float32, 1, 1, False, None, None)
    wide.create_state_tensors(None, False)
    return wide


_CACHES: Mapping[str, type[ExLlamaV2CacheBase]] = MappingProxyType(
    {
        "fp16": ExLlamaV2Cache,
        "q8": ExLlamaV2Cache_Q8,
        "q6": ExLlamaV2Cache_Q6,
        "q4": ExLlamaV2Cache_Q4,
    }
)
