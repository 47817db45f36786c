"""Proofs at load that attention is right: by its definition, and inside the model.

The function that ExLlamaV2 will call is compared with a float32 softmax over keys
that are gathered one by one; then a prompt that the model reads at once is compared
with the same prompt read token by token and in small pieces. Without a causal mask, with a
mask that sits wrong, with rows, pages or heads mixed up, one of the two differs by
more than rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from workbench.engines.attention import forward
from workbench.errors import EngineError

TOLERANCE = 0.02  # largest difference allowed, in standard deviations of what is right
_PAGE = 256  # flash-attn takes no smaller ones
_CASES = (  # tokens that each row has in the cache already, and new ones of every row
    ((300, 5, 511), 1),
    ((40,), 300),
    ((290, 3, 255), 4),
    ((0, 255, 300), 2),
)


def self_test(model: Any, cache: Any, vocabulary: int) -> float:
    """Prove the attention that a loaded model runs on.

    Args:
        model: A loaded ``ExLlamaV2``.
        cache: A cache of it, not quantised; the first two pages are overwritten.
        vocabulary: Ids below this are used.

    Returns:
        The largest difference found, relative to the standard deviation of what is right.

    Raises:
        EngineError: It is above ``TOLERANCE``.
    """
    function = import_module("exllamav2.attn").flash_attn_with_kvcache
    config, keys = model.config, cache.key_states[0]
    heads = (config.num_attention_heads, config.num_key_value_heads, config.head_dim)
    defined = by_definition(function, *heads, keys.device, keys.dtype)
    _refuse(defined, "random numbers give results that differ from a float32 softmax")
    stepped = by_steps(model, cache, vocabulary)
    _refuse(stepped, "the same prompt fed at once and token by token gives logits that differ")
    return max(defined, stepped)


@torch.inference_mode()
def by_definition(
    function: Callable[..., Tensor],
    heads: int,
    kv_heads: int,
    head_dim: int,
    device: torch.device,
    dtype: torch.dtype,
) -> float:
    """The function alone on random numbers, beside a float32 softmax.

    Rows of unlike lengths over several pages in no order, single tokens, a piece of a
    prompt behind a prefix, and several tokens a row; the new keys handed over, and in the
    cache already.

    Returns:
        The largest difference, relative to the right results' standard deviation.
    """
    source = torch.Generator().manual_seed(0)
    worst = 0.0
    for past, new in _CASES:
        shapes = ((len(past), new, count, head_dim) for count in (heads, kv_heads, kv_heads))
        q, k, v = (_random(shape, source, device, dtype) for shape in shapes)
        caches = [_random((7, _PAGE, kv_heads, head_dim), source, device, dtype) for _ in "kv"]
        table = torch.tensor([[5, 2], [0, 6], [3, 1]][: len(past)], dtype=torch.int32)
        for out in _both_ways(function, (q, k, v), caches, table.to(device), past):
            wanted = _softmax(q, caches, table.tolist(), past)  # the caches hold the new ones now
            worst = _larger(worst, _difference(out.float().cpu(), wanted))
    return worst


def by_steps(model: Any, cache: Any, vocabulary: int) -> float:
    """A short prompt at once, token by token in a batch of two, and in pieces of four.

    Returns:
        The largest difference of logits, relative to their standard deviation.
    """
    ids = (torch.arange(1, 25) * 7919 % vocabulary)[None]
    whole = forward(model, cache, ids, [0], [[0]])
    steps = [
        forward(model, cache, ids[:, i : i + 1].expand(2, 1), [i, i], [[0], [1]])
        for i in range(ids.shape[1])
    ]
    starts = (8, 19)  # rows at unlike places, as when drafts are verified
    pieces = torch.cat([ids[:, at : at + 4] for at in starts])
    again = forward(model, cache, pieces, list(starts), [[0], [1]])
    wanted = torch.cat([whole[:, at : at + 4] for at in starts])
    single = _difference(torch.cat(steps, dim=1), whole.expand(2, -1, -1))
    return _larger(single, _difference(again, wanted))


def _refuse(found: float, what: str) -> None:
    if found <= TOLERANCE:
        return
    raise EngineError(
        f"The attention in use is wrong: {what}, by {found:.2g} standard deviations.",
        remedy="Choose another attention, and report what `workbench doctor` shows.",
    )


def _both_ways(
    function: Callable[..., Tensor],
    new: tuple[Tensor, Tensor, Tensor],
    caches: Sequence[Tensor],
    table: Tensor,
    past: Sequence[int],
) -> Iterator[Tensor]:
    """Results with the new keys handed over, then with them in the cache, where they are now."""
    q, k, v = new
    lengths = torch.tensor(past, dtype=torch.int32, device=q.device)
    fixed = {"block_table": table, "causal": True, "softmax_scale": q.shape[-1] ** -0.5}
    yield function(
        q=q, k=k, v=v, k_cache=caches[0], v_cache=caches[1], cache_seqlens=lengths, **fixed
    )
    _write(caches, (k, v), table.tolist(), past)  # whatever the function left there
    after = lengths + q.shape[1]
    yield function(
        q=q, k=None, v=None, k_cache=caches[0], v_cache=caches[1], cache_seqlens=after, **fixed
    )


def _write(
    caches: Sequence[Tensor], new: Sequence[Tensor], table: list[list[int]], past: Sequence[int]
) -> None:
    for cache, fresh in zip(caches, new, strict=True):
        for row, start in enumerate(past):
            for i in range(fresh.shape[1]):
                page, slot = divmod(start + i, _PAGE)
                cache[table[row][page], slot] = fresh[row, i]


def _softmax(
    q: Tensor, caches: Sequence[Tensor], table: list[list[int]], past: Sequence[int]
) -> Tensor:
    """Causal attention in float32, written out: ``(rows, new, heads, head_dim)`` on the CPU."""
    q, (keys, values) = q.float().cpu(), (cache.float().cpu() for cache in caches)
    new, share = q.shape[1], q.shape[2] // keys.shape[2]
    rows = []
    for row, start in enumerate(past):
        total = start + new
        own = (part[table[row]].flatten(0, 1)[:total] for part in (keys, values))
        k, v = (part.repeat_interleave(share, dim=1) for part in own)
        scores = torch.einsum("nhd,thd->hnt", q[row], k) * q.shape[-1] ** -0.5
        unseen = torch.arange(total) > start + torch.arange(new)[:, None]
        weights = scores.masked_fill(unseen, -torch.inf).softmax(-1)
        rows.append(torch.einsum("hnt,thd->nhd", weights, v))
    return torch.stack(rows)


def _random(
    shape: tuple[int, ...], source: torch.Generator, device: torch.device, dtype: torch.dtype
) -> Tensor:
    return torch.randn(shape, generator=source).to(device, dtype)


def _difference(found: Tensor, wanted: Tensor) -> float:
    spread = float(wanted.std()) or 1.0
    return float((found - wanted).abs().max()) / spread


def _larger(one: float, other: float) -> float:
    """The larger; a NaN is larger than any number."""
    return other if not other <= one else one
