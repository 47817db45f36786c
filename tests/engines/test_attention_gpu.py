"""What only a GPU can show of attention: which kernel runs, that it is right, what it takes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workbench.engines import attending, proof
from workbench.engines.paged import PagedAttention
from workbench.models.memory import GATHERED

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

SHAPE = (32, 8, 128)  # heads, key heads and their width, of the 8B


def cuda(*shape: int, dtype: torch.dtype = torch.float16) -> Tensor:
    return torch.randn(*shape, device="cuda", dtype=dtype)


@pytest.mark.parametrize("fused", [None, False], ids=["chosen", "blocks"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_is_right_by_its_definition(
    fused: bool | None, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fused is not None:
        monkeypatch.setattr(attending, "fused", lambda *tensors: fused)
    worst = proof.by_definition(PagedAttention(), *SHAPE, torch.device("cuda:0"), dtype)
    assert worst <= proof.TOLERANCE * (1 if dtype == torch.float16 else 4)


def test_the_flash_kernel_is_chosen_where_there_is_one() -> None:
    q, keys = cuda(1, 64, 32, 128), cuda(1, 128, 8, 128)
    assert attending.fused(q, keys, keys) == (torch.cuda.get_device_capability() >= (8, 0))
    assert not attending.fused(q.float(), keys.float(), keys.float())


@pytest.mark.parametrize("fused", [None, False], ids=["chosen", "blocks"])
def test_a_prompt_of_32k_takes_no_matrix_of_scores(
    fused: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fused is not None:
        monkeypatch.setattr(attending, "fused", lambda *tensors: fused)
    q, keys, values = cuda(1, 2048, 32, 128), cuda(1, 32_768, 8, 128), cuda(1, 32_768, 8, 128)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = attending.behind(q, keys, values, 128**-0.5)
    torch.cuda.synchronize()
    taken = torch.cuda.max_memory_allocated() - before
    assert torch.isfinite(out).all()
    # All scores in fp16 would be 4 GiB. Without the flash kernel torch may keep a block's, in
    # float32, a few times over.
    assert taken < (2**28 if attending.fused(q, keys, values) else 5 * attending.SCORES)


def test_many_long_rows_are_gathered_within_the_bound() -> None:
    rows, tokens = 64, 4096
    pages = tokens // 256
    caches = [cuda(rows * pages, 256, 8, 128) for _ in "kv"]
    table = torch.randperm(rows * pages, device="cuda").view(rows, pages).int()
    lengths = torch.full((rows,), tokens - 1, dtype=torch.int32, device="cuda")
    q, fresh = cuda(rows, 1, 32, 128), cuda(rows, 1, 8, 128)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = PagedAttention()(q, *caches, fresh, fresh, cache_seqlens=lengths, block_table=table)
    torch.cuda.synchronize()
    assert torch.isfinite(out).all()
    assert torch.cuda.max_memory_allocated() - before < 2 * GATHERED
