"""Which attention ExLlamaV2 runs on, and a model's logits straight from it.

ExLlamaV2 decodes a batch only through flash-attn. Without flash-attn it falls
back to a path that leaves out the causal mask (0.3.2, attn.py), silently. The
workbench never uses that path: it either finds flash-attn, or puts
``paged.PagedAttention`` in its place. Which of the two runs is named in
``EngineSpec.attention``, and ``proof.py`` refuses a wrong one at load.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.engines.paged import PagedAttention
from workbench.errors import EngineError

FLASH = "flash-attn"
TORCH = "torch-sdpa-paged"
_ORIGINAL = "_workbench_flash_attn"  # where flash-attn's function is kept while ours stands in


def install(module: Any, choice: str | None = None) -> str:
    """Choose the attention that ExLlamaV2's paged mode calls; returns its name.

    Args:
        module: ``exllamav2.attn``.
        choice: ``flash-attn``, ``torch-sdpa-paged``, or ``None`` for flash-attn
            where it works and torch elsewhere.

    Raises:
        EngineError: An unknown choice, or flash-attn was asked for and is not usable.
    """
    if choice not in (None, FLASH, TORCH):
        raise EngineError(
            f"There is no attention called {choice!r}.", remedy=f"Choose {FLASH} or {TORCH}."
        )
    if module.has_flash_attn_with_paged and not hasattr(module, _ORIGINAL):
        setattr(module, _ORIGINAL, module.flash_attn_with_kvcache)
    original = getattr(module, _ORIGINAL, None)
    if choice == FLASH and original is None:
        raise EngineError(
            "flash-attn 2.5.7 or newer is not installed, or was built for another torch.",
            remedy=f"Install flash-attn for this torch, or choose attention {TORCH}.",
        )
    use_flash = original is not None and choice != TORCH
    module.flash_attn_with_kvcache = original if use_flash else PagedAttention()
    if original is None:
        setattr(module, _ORIGINAL, None)  # what stands there from now on is ours
        module.has_flash_attn = module.has_flash_attn_with_paged = True
    return FLASH if use_flash else TORCH


def forget(module: Any) -> None:
    """Let go of the tensors of the last forward pass.

    Args:
        module: ``exllamav2.attn``.
    """
    if isinstance(module.flash_attn_with_kvcache, PagedAttention):
        module.flash_attn_with_kvcache = PagedAttention()


@torch.inference_mode()
def forward(model: Any, cache: Any, ids: Tensor, past: list[int], pages: list[list[int]]) -> Tensor:
    """Logits ``(batch, n, vocabulary)`` of ids that follow ``past`` cached tokens."""
    from exllamav2.attn_params import PagedParams  # noqa: PLC0415  (only after the natives stand)

    params = PagedParams(
        batch_size=ids.shape[0],
        block_index=torch.tensor(pages, dtype=torch.int32),
        cache_seqlens=torch.tensor(past, dtype=torch.int32),
        max_cache_seqlen=max(past),
        page_size=256,
        q_len=ids.shape[1],
    )
    logits = model.forward_chunk(input_ids=ids, attn_params=params, cache=cache)["logits"]
    result: Tensor = logits.float().cpu().clone()
    return result
