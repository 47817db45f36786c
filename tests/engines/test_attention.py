from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.engines import attending, attention, proof
from workbench.engines.exllama import ExllamaEngine
from workbench.engines.paged import PagedAttention
from workbench.engines.pages import groups
from workbench.errors import EngineError
from workbench.models.memory import GATHERED
from workbench.records import EngineSpec

PAGE = 8
WIDTH = 16
PAGES = 24


# --- against a plain softmax ----------------------------------------------------------------------


def plain(q: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Causal attention of one sequence in float64, one query at a time.

    ``q`` is (new, heads, width), its last row the newest; keys and values are (total, kv
    heads, width).
    """
    q, keys, values = q.double(), keys.double(), values.double()
    share = q.shape[1] // keys.shape[1]
    out = torch.zeros_like(q)
    for i, row in enumerate(q):
        seen = len(keys) - len(q) + i + 1
        for head, query in enumerate(row):
            scores = keys[:seen, head // share] @ query * scale
            weights = (scores - scores.max()).exp()
            out[i, head] = weights @ values[:seen, head // share] / weights.sum()
    return out


class Case:
    """Sequences in a paged cache full of other numbers, and the tokens that come to them."""

    def __init__(
        self,
        past: list[int],
        new: int,
        *,
        heads: int = 4,
        kv_heads: int = 2,
        dtype: torch.dtype = torch.float32,
        cache: torch.dtype = torch.float32,
        order: str = "mixed",
    ) -> None:
        source = torch.Generator().manual_seed(len(past) * 1000 + new)
        shape = (PAGES, PAGE, kv_heads, WIDTH)
        self.caches = [torch.randn(shape, generator=source).to(cache) for _ in range(2)]
        pages = list(range(PAGES))
        if order == "mixed":
            Random(0).shuffle(pages)
        self.past, self.new = past, new
        blocks = -(-(max(past) + new) // PAGE)
        self.table = torch.tensor(
            [[pages[row * blocks + i] for i in range(blocks)] for row in range(len(past))],
            dtype=torch.int32,
        )
        self.q, self.k, self.v = (
            torch.randn(len(past), new, count, WIDTH, generator=source).to(dtype)
            for count in (heads, kv_heads, kv_heads)
        )
        self.expected_caches = [
            self._written(*pair) for pair in zip(self.caches, (self.k, self.v), strict=True)
        ]

    def _written(self, cache: Tensor, fresh: Tensor) -> Tensor:
        """The cache with the new entries behind each sequence's past."""
        cache = cache.clone()
        for row, past in enumerate(self.past):
            for i in range(self.new):
                page = int(self.table[row, (past + i) // PAGE])
                cache[page, (past + i) % PAGE] = fresh[row, i].to(cache.dtype)
        return cache

    def sequence(self, row: int) -> tuple[Tensor, Tensor]:
        total = self.past[row] + self.new
        keys, values = (
            cache[self.table[row].long()].flatten(0, 1)[:total] for cache in self.expected_caches
        )
        return keys, values

    def expected(self, scale: float = WIDTH**-0.5) -> Tensor:
        rows = [plain(q, *self.sequence(row), scale) for row, q in enumerate(self.q)]
        return torch.stack(rows)

    def appended(self, run: PagedAttention, **more: Any) -> Tensor:
        """What attention gives when it is handed the new keys and values."""
        lengths = torch.tensor(self.past, dtype=torch.int32)
        return run(
            self.q, *self.caches, self.k, self.v,
            cache_seqlens=lengths, block_table=self.table, **more,
        )  # fmt: skip

    def present(self, run: PagedAttention) -> Tensor:
        """What it gives when the cache has them already."""
        lengths = torch.tensor(self.past, dtype=torch.int32) + self.new
        return run(self.q, *self.expected_caches, cache_seqlens=lengths, block_table=self.table)

    def check(self, tolerance: float = 1e-5, *, gather: bool | None = None) -> None:
        expected = self.expected()
        runs = (PagedAttention(gather=gather) for _ in range(2))
        for out in (self.appended(next(runs)), self.present(next(runs))):
            assert out.dtype == self.q.dtype
            assert out.shape == self.q.shape
            assert float((out.double() - expected).abs().max()) <= tolerance
        for cache, wanted in zip(self.caches, self.expected_caches, strict=True):
            assert torch.equal(cache, wanted)


@pytest.mark.parametrize("kv_heads", [4, 2, 1], ids=["alone", "pairs", "fours"])
@pytest.mark.parametrize("order", ["in a row", "mixed"])
@pytest.mark.parametrize(
    ("past", "new"),
    [
        ([3, 5, 1], 1),
        ([0, 0], 1),
        ([7, 7], 1),
        ([8, 15, 23], 1),
        ([2, 20, 7, 16], 1),
        ([19], 1),
        ([0], 5),
        ([0], 8),
        ([0], 21),
        ([6], 9),
        ([8], 8),
        ([13], 20),
        ([0, 11], 4),
    ],
    ids=[
        "decode in one page",
        "decode the first token",
        "decode the last of a page",
        "decode across pages",
        "decode, some of each",
        "decode one",
        "prompt",
        "prompt of a page",
        "prompt of several pages",
        "behind a prefix over a border",
        "behind a whole page",
        "behind a prefix over several pages",
        "several at once",
    ],
)
@pytest.mark.parametrize("gather", [False, True], ids=["views", "gathered"])
def test_it_equals_a_plain_softmax(
    past: list[int], new: int, kv_heads: int, order: str, gather: bool
) -> None:
    Case(past, new, kv_heads=kv_heads, order=order).check(gather=gather)


@given(
    past=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    new=st.sampled_from([1, 1, 2, 9]),
    kv_heads=st.sampled_from([1, 2, 4]),
    gather=st.booleans(),
)
def test_it_equals_a_plain_softmax_at_any_lengths(
    past: list[int], new: int, kv_heads: int, gather: bool
) -> None:
    Case(past, new, kv_heads=kv_heads).check(gather=gather)


@pytest.mark.parametrize(("past", "new"), [([6], 9), ([0], 21), ([13], 20), ([0, 11], 4)])
def test_the_ways_of_a_gpu_for_prompts_equal_a_plain_softmax(
    past: list[int], new: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as flash_kernel:  # torch's own triangle at the lower right
        flash_kernel.setattr(attending, "fused", lambda *tensors: True)
        Case(past, new).check()
    monkeypatch.setattr(attending, "shares_heads", lambda q: False)
    for scores in (2**28, 4 * 4 * 33 * 3, 1):  # everything at once, a few queries, one
        monkeypatch.setattr(attending, "SCORES", scores)
        Case(past, new).check()


@pytest.mark.parametrize("scores", [4 * 4 * 33 * 5, 1], ids=["five", "one"])
def test_queries_may_come_in_blocks(scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "SCORES", scores)
    for past, new in (([0], 21), ([13], 20)):
        Case(past, new).check()


def test_a_gathered_step_has_few_groups_whatever_the_batch() -> None:
    """Rows one by one would be 64 launches in every layer."""
    source = Random(3)
    totals = [source.randrange(1, 2048) for _ in range(64)]
    pages = [list(range(-(-total // PAGE))) for total in totals]
    small = torch.zeros(1, PAGE, 2, WIDTH)
    found = groups(totals, pages, 1, small, gather=True)
    assert 2 <= len(found) <= 9  # powers of two up to 256 pages
    for group in found:
        counts = [len(pages[row]) for row in group.rows]
        assert max(counts) < 2 * min(counts) or max(counts) == 2
        assert group.picked(torch.zeros(256, PAGE, 2, WIDTH)).shape[0] == len(group.rows)
    rows = [row for group in found for row in group.rows]
    assert len(rows) == len(set(rows))


def test_what_is_gathered_at_once_is_bounded() -> None:
    cache = torch.zeros(1, 256, 8, 128, dtype=torch.float16)
    pages = [list(range(64))] * 64  # 64 requests of 16,384 tokens
    found = groups([16_384] * 64, pages, 1, cache, gather=True)
    assert sum(len(group.rows) for group in found) == 64
    for group in found:
        assert len(group.rows) * 16_384 * 8 * 128 * 2 * 2 <= GATHERED


class Largest(TorchDispatchMode):
    """The bytes of the largest tensor that any operation gives, and of all that are new at once."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for part in out if isinstance(out, tuple | list) else (out,):
            if isinstance(part, Tensor):
                self.bytes = max(self.bytes, part.numel() * part.element_size())
        return out


def test_32k_tokens_of_prompt_never_have_all_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece of 2,048 at the end of 32,768, in the 8B's shape: its scores would be 8 GiB.

    As on a GPU without the flash kernel, and even where torch keeps every score it is
    asked for, as it does on the device that only counts.
    """
    monkeypatch.setattr(attending, "shares_heads", lambda q: False)
    heads, kv_heads, width, new, total = 32, 8, 128, 2048, 32_768
    q = torch.empty(1, new, heads, width, dtype=torch.bfloat16, device="meta")
    keys = torch.empty(1, total, kv_heads, width, dtype=torch.bfloat16, device="meta")
    with Largest() as seen:
        out = attending.behind(q, keys, keys, 1.0)
    assert out.shape == q.shape
    assert seen.bytes <= attending.SCORES


def test_on_a_cpu_a_block_s_mask_is_all_that_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "SCORES", 2**22)
    q, keys = torch.randn(1, 256, 4, 16), torch.randn(1, 4096, 2, 16)
    with Largest() as seen:
        attending.behind(q, keys, keys, 0.25)
    assert seen.bytes <= 2**22


@pytest.mark.parametrize("past", [[3, 12], [5]])
@pytest.mark.parametrize("new", [1, 6])
def test_a_half_precision_cache_costs_its_rounding_only(past: list[int], new: int) -> None:
    Case(past, new, cache=torch.float16).check()
    Case(past, new, dtype=torch.float16, cache=torch.float16).check(tolerance=5e-3)


def test_layers_share_a_plan_and_steps_do_not() -> None:
    run = PagedAttention()
    first, second = Case([3, 12], 1), Case([3, 12], 1, kv_heads=1)
    lengths = torch.tensor([3, 12], dtype=torch.int32)
    for layer in (first, second):
        layer.table = first.table
        out = run(
            layer.q, *layer.caches, layer.k, layer.v,
            cache_seqlens=lengths, block_table=first.table,
        )  # fmt: skip
        assert torch.allclose(out.double(), layer.expected(), atol=1e-5)
    later = Case([4, 13], 1)
    assert torch.allclose(later.appended(run).double(), later.expected(), atol=1e-5)
    assert torch.allclose(later.present(run).double(), later.expected(), atol=1e-5)


def test_the_scale_is_the_callers() -> None:
    case = Case([3, 12], 2)
    out = case.appended(PagedAttention(), softmax_scale=0.5)
    assert torch.allclose(out.double(), case.expected(scale=0.5), atol=1e-5)


def test_attention_that_looks_ahead_cannot_be_asked_for() -> None:
    with pytest.raises(EngineError):
        Case([3], 2).appended(PagedAttention(), causal=False)


# --- which one runs -------------------------------------------------------------------------------


def flash(*args: object, **kwargs: object) -> None:
    """Stands for flash-attn's function."""


def module_with(function: Callable[..., Any] | None) -> SimpleNamespace:
    found = function is not None
    return SimpleNamespace(
        has_flash_attn=found, has_flash_attn_with_paged=found, flash_attn_with_kvcache=function
    )


@pytest.mark.parametrize("choice", [None, attention.TORCH])
def test_without_flash_attn_ours_runs_however_often_it_is_installed(choice: str | None) -> None:
    module = module_with(None)
    for _ in range(2):
        assert attention.install(module, choice) == attention.TORCH
        assert isinstance(module.flash_attn_with_kvcache, PagedAttention)
        assert module.has_flash_attn
        assert module.has_flash_attn_with_paged
    with pytest.raises(EngineError, match="flash-attn"):
        attention.install(module, attention.FLASH)


def test_with_flash_attn_it_runs_unless_ours_is_asked_for() -> None:
    module = module_with(flash)
    assert attention.install(module) == attention.FLASH
    assert module.flash_attn_with_kvcache is flash
    assert attention.install(module, attention.TORCH) == attention.TORCH
    assert isinstance(module.flash_attn_with_kvcache, PagedAttention)
    assert attention.install(module, attention.FLASH) == attention.FLASH
    assert module.flash_attn_with_kvcache is flash


def test_an_unknown_attention_is_refused() -> None:
    with pytest.raises(EngineError, match="xformers"):
        attention.install(module_with(None), "xformers")


# --- the self-test --------------------------------------------------------------------------------


class Wrong(PagedAttention):
    """Ours, with its result spoilt; ``spoil`` gets the queries too."""

    def __call__(self, q: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.spoil(q, super().__call__(q, *args, **kwargs))

    def spoil(self, q: Tensor, out: Tensor) -> Tensor:
        raise NotImplementedError


class LooksAhead(Wrong):
    """Every token of a prompt sees as far as the last."""

    def spoil(self, q: Tensor, out: Tensor) -> Tensor:
        return out[:, -1:].expand_as(out).contiguous()


class SkipsOne(Wrong):
    """Every token of a prompt sees one token less."""

    def spoil(self, q: Tensor, out: Tensor) -> Tensor:
        return out.roll(1, dims=1) if q.shape[1] > 1 else out


class NotANumber(Wrong):
    def spoil(self, q: Tensor, out: Tensor) -> Tensor:
        return out * math.nan


class MixesRows(Wrong):
    """A batch of single tokens is answered from its neighbours' keys."""

    def spoil(self, q: Tensor, out: Tensor) -> Tensor:
        return out.flip(2) if len(q) > 1 else out


class UpperLeft(PagedAttention):
    """The triangle at the upper left: a piece behind a prefix sees too little of it."""

    def __call__(self, q: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        with pytest.MonkeyPatch.context() as patched:
            if q.shape[1] > 1 and len(q) == 1:
                patched.setattr(attending, "_block", self.block)
            return super().__call__(q, *args, **kwargs)

    @staticmethod
    def block(q: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
        parts = (part.transpose(1, 2) for part in (q, keys, values))
        out = torch.nn.functional.scaled_dot_product_attention(
            *parts, is_causal=True, scale=scale, enable_gqa=True
        )
        return out.transpose(1, 2)


class WrongScale(PagedAttention):
    """Scores without the caller's factor."""

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().__call__(*args, **(kwargs | {"softmax_scale": 0.7}))


class FirstPageOnly(PagedAttention):
    """Every page of a row is taken for its first."""

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        table = kwargs["block_table"]
        first = table[:, :1].expand_as(table).contiguous()
        return super().__call__(*args, **(kwargs | {"block_table": first}))


class DraftsSeeTheLast(Wrong):
    """Several tokens a row all see what the last one sees, as drafts must not."""

    def spoil(self, q: Tensor, out: Tensor) -> Tensor:
        return out[:, -1:].expand_as(out).contiguous() if len(q) > 1 else out


class Unmasked(PagedAttention):
    """A softmax over everything that is in the cache, later tokens of the prompt included."""

    def __call__(
        self, q: Tensor, k_cache: Tensor, v_cache: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        if q.shape[1] == 1:
            return super().__call__(q, k_cache, v_cache, *args, **kwargs)
        new = q.shape[1]
        keys, values = (c.flatten(0, 1)[None, :new] for c in (k_cache, v_cache))
        out = torch.nn.functional.scaled_dot_product_attention(
            q.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), enable_gqa=True
        )
        return out.transpose(1, 2).contiguous()


@pytest.fixture
def engine(model_folder: Path) -> Iterator[ExllamaEngine]:
    engine = ExllamaEngine(EngineSpec(model=str(model_folder), device="cpu", cache_tokens=1024))
    yield engine
    engine.close()


def test_ours_passes_by_a_wide_margin(engine: ExllamaEngine) -> None:
    generator = engine._loaded.generator
    assert proof.self_test(generator.model, generator.cache, 500) < 1e-4


WRONG = [
    Unmasked,
    LooksAhead,
    SkipsOne,
    NotANumber,
    MixesRows,
    UpperLeft,
    WrongScale,
    FirstPageOnly,
    DraftsSeeTheLast,
]


@pytest.mark.parametrize("wrong", WRONG)
def test_by_its_definition_alone_a_wrong_one_shows(wrong: type[PagedAttention]) -> None:
    def found(function: PagedAttention) -> float:
        return proof.by_definition(function, 4, 2, 32, torch.device("cpu"), torch.float32)

    assert found(PagedAttention()) < 1e-4
    assert found(PagedAttention(gather=True)) < 1e-4
    assert not found(wrong()) <= proof.TOLERANCE


@pytest.mark.parametrize("wrong", [Unmasked, LooksAhead, SkipsOne, NotANumber, MixesRows])
def test_inside_the_model_alone_a_wrong_one_shows(
    engine: ExllamaEngine, wrong: type[PagedAttention], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["exllamav2.attn"], "flash_attn_with_kvcache", wrong())
    generator = engine._loaded.generator
    assert not proof.by_steps(generator.model, generator.cache, 500) <= proof.TOLERANCE


@pytest.mark.parametrize("wrong", [Unmasked, NotANumber, UpperLeft])
def test_a_wrong_one_is_refused_at_load(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, wrong: type[PagedAttention]
) -> None:
    spec = EngineSpec(model=str(model_folder), device="cpu", cache_tokens=1024)
    with monkeypatch.context() as patched:
        patched.setattr(attention, "PagedAttention", wrong)
        with pytest.raises(EngineError, match="attention in use is wrong") as refused:
            ExllamaEngine(spec)
        assert refused.value.remedy
    attention.install(sys.modules["exllamav2.attn"])  # other engines of this process use it
