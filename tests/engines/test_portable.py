from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from workbench.engines import natives, portable
from workbench.engines.portable_sampling import nucleus
from workbench.engines.rotary import Rotation
from workbench.errors import EngineError

NONE = torch.empty(0, device="meta")  # what ExLlamaV2 hands over for "no tensor"


# --- the stand-in ---------------------------------------------------------------------------------


def test_what_is_not_provided_is_named() -> None:
    with pytest.raises(NotImplementedError, match="q_mlp_forward_ needs CUDA"):
        _ = portable.Natives().q_mlp_forward_


def test_probing_for_a_modules_attributes_is_answered_as_by_any_module() -> None:
    stand_in = portable.Natives()
    with pytest.raises(AttributeError):
        _ = stand_in.__file__
    assert not hasattr(stand_in, "__path__")
    assert inspect.getmodule(stand_in) is stand_in
    assert stand_in.__spec__.name == portable.NAME


def test_it_is_installed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("exllamav2")]:
        monkeypatch.delitem(sys.modules, name)
    assert not portable.installed()
    portable.install()
    first = sys.modules[portable.NAME]
    portable.install()
    again, installed = importlib.import_module(portable.NAME), portable.installed()
    del sys.modules[portable.NAME]
    assert again is first
    assert installed


@pytest.mark.parametrize("present", [portable.NAME, "exllamav2"])
def test_it_does_not_take_the_place_of_the_real_one(
    monkeypatch: pytest.MonkeyPatch, present: str
) -> None:
    monkeypatch.delitem(sys.modules, portable.NAME, raising=False)
    monkeypatch.setitem(sys.modules, present, ModuleType(present))
    with pytest.raises(RuntimeError, match="CUDA extension"):
        portable.install()
    with pytest.raises(EngineError, match="already runs ExLlamaV2 on the GPU") as refused:
        natives.load("cpu")
    assert refused.value.remedy


def test_an_extension_that_cannot_be_loaded_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(name: str) -> ModuleType:
        print("a warning of the library's")
        torch.set_num_threads(1)
        raise OSError("CUDA_HOME is not set\nand more")

    threads = torch.get_num_threads()
    monkeypatch.setattr(natives, "import_module", broken)
    monkeypatch.setattr(portable, "install", lambda: None)
    torch.set_num_threads(3)
    try:
        with pytest.raises(EngineError, match="OSError: CUDA_HOME is not set") as refused:
            natives.load("cpu")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert "and more" not in str(refused.value)
    assert "workbench doctor" in refused.value.remedy


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_cpu_is_chosen_and_cuda_refused() -> None:
    assert natives.load(None).device == "cpu"
    for device in ("cuda", "cuda:0"):
        with pytest.raises(EngineError, match="no CUDA GPU"):
            natives.load(device)


# --- rotary positions -----------------------------------------------------------------------------


def rotated(x: Tensor, positions: Tensor, base: float = 10_000.0) -> Tensor:
    """Each pair (i, i + half) as a complex number, turned by position · base^(-2i/width)."""
    half = x.shape[-1] // 2
    pairs = torch.complex(x[..., :half].double(), x[..., half:].double())
    speed = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = positions.double()[..., None, None] * speed
    turned = pairs * torch.polar(torch.ones_like(angle), angle)
    return torch.cat((turned.real, turned.imag), dim=-1)


def tables(length: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Sines and cosines as ExLlamaV2 makes them, the two halves equal."""
    speed = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.outer(torch.arange(length).double(), speed).repeat(1, 2)[None, None]
    return angle.sin().to(dtype), angle.cos().to(dtype)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 4e-3)], ids=["fp32", "fp16"]
)
@pytest.mark.parametrize("flat", [True, False])
def test_rope_is_a_rotation(dtype: torch.dtype, tolerance: float, flat: bool) -> None:
    x = torch.randn(3, 5, 4, 16, generator=torch.Generator().manual_seed(0))
    past = torch.tensor([0, 7, 40], dtype=torch.int32)
    positions = 2 + past[:, None] + torch.arange(5)
    expected = rotated(x, positions)
    given = x.flatten(2) if flat else x.clone()
    Rotation()(given, *tables(64, 16, dtype), 2, 4, 16, past, True)
    assert float((given.view_as(x).double() - expected).abs().max()) < tolerance


def test_rope_without_further_offsets_counts_from_the_first_position() -> None:
    x = torch.randn(2, 3, 2, 8, generator=torch.Generator().manual_seed(0))
    expected = rotated(x, (4 + torch.arange(3)).expand(2, 3))
    Rotation()(x, *tables(16, 8, torch.float32), 4, 2, 8, NONE, True)
    assert torch.allclose(x.double(), expected, atol=1e-5)


def test_rope_keeps_half_precision_tensors_half() -> None:
    x = torch.randn(1, 2, 2, 8).half()
    Rotation()(x, *tables(16, 8, torch.float16), 0, 2, 8, NONE, True)
    assert x.dtype == torch.float16


def test_angles_are_kept_for_the_same_pass_and_no_other() -> None:
    """One ``Rotation`` over passes that differ in table, offsets, start or length."""
    kept = Rotation()
    first, second = tables(64, 16, torch.float32), tables(64, 16, torch.float32)
    second = (second[0].flip(2), second[1].flip(2))
    near, far = torch.tensor([3, 7], dtype=torch.int32), torch.tensor([9, 1], dtype=torch.int32)
    passes = [(first, near, 0, 1), (first, near, 0, 1), (first, far, 0, 1), (first, far, 0, 4)]
    passes += [(first, far, 2, 4), (second, far, 2, 4), (first, near, 0, 1), (first, NONE, 0, 1)]
    for (sin, cos), offsets, start, length in passes:
        given = torch.randn(2, length, 4, 16)
        fresh = given.clone()
        kept(given, sin, cos, start, 4, 16, offsets, True)
        Rotation()(fresh, sin, cos, start, 4, 16, offsets, True)
        assert torch.equal(given, fresh)


def test_rope_of_neighbouring_pairs_is_not_pretended() -> None:
    with pytest.raises(NotImplementedError, match="halves"):
        Rotation()(torch.zeros(1, 1, 1, 8), *tables(4, 8, torch.float32), 0, 1, 8, NONE, False)


# --- the others -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_rms_norm(dtype: torch.dtype) -> None:
    source = torch.Generator().manual_seed(0)
    x = (torch.randn(3, 32, generator=source) * 5).to(dtype)
    weight = torch.randn(32, generator=source).to(dtype)
    out = torch.empty_like(x)
    portable.rms_norm(x, weight, out, 1e-5)
    rows = x.double()
    expected = rows / (rows.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight.double()
    assert torch.allclose(out.double(), expected, atol=1e-5 if dtype == torch.float32 else 1e-2)


@given(
    a=st.lists(st.integers(0, 2), max_size=8),
    b=st.lists(st.integers(0, 2), max_size=8),
    limit=st.integers(-1, 10),
)
def test_count_match(a: list[int], b: list[int], limit: int) -> None:
    expected = 0
    for left, right in zip(a[: max(limit, 0)], b[: max(limit, 0)], strict=False):
        if left != right:
            break
        expected += 1
    rows = [torch.tensor([ids], dtype=torch.long) for ids in (a, b)]
    assert portable.count_match(rows[0], rows[1], limit) == expected


@given(st.permutations(range(6)), st.integers(2, 6))
def test_cache_rotate_moves_every_page_to_the_one_before_it(order: list[int], count: int) -> None:
    ring = order[:count]
    cache = torch.arange(6.0)[:, None].repeat(1, 3)
    expected = list(range(6))
    for place, page in enumerate(ring):
        expected[page] = ring[(place + 1) % count]
    portable.cache_rotate(cache, torch.tensor(ring, dtype=torch.int), torch.empty(1, 3))
    assert cache[:, 0].tolist() == expected
    assert torch.equal(cache[:, 0], cache[:, 2])


class TestReading:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "weights"
        file.write_bytes(bytes(range(256)))
        return file

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.int32, torch.uint8])
    def test_bytes_become_a_tensor(self, file: Path, dtype: torch.dtype) -> None:
        target = torch.empty(2, 4, dtype=dtype)
        size = target.numel() * target.element_size()
        portable.stloader_read(str(file), 10, size, target)
        assert target.view(-1).view(torch.uint8).tolist() == list(range(10, 10 + size))

    @pytest.mark.parametrize("offset", [250, 256, 1000])
    def test_a_file_that_ends_too_early_is_named(self, file: Path, offset: int) -> None:
        target = torch.zeros(8, dtype=torch.uint8)
        with pytest.raises(OSError, match=f"{file.name} ends before byte {offset + 8}"):
            portable.stloader_read(str(file), offset, 8, target)
        assert not target.any()

    def test_a_missing_file_is_an_os_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            portable.stloader_read(str(tmp_path / "none"), 0, 8, torch.empty(8, dtype=torch.uint8))

    def test_nothing_may_be_read(self, file: Path) -> None:
        portable.stloader_read(str(file), 0, 0, torch.empty(0))


class TestSampling:
    PROBABILITIES = (0.05, 0.4, 0.25, 0.2, 0.1)
    DRAWS = 2000

    def shares(
        self, temperature: float = 1.0, top_k: int = 0, top_p: float = 0.0, min_p: float = 0.0
    ) -> tuple[list[float], dict[int, float]]:
        """How often each id comes over evenly spread numbers, and the probability told of it."""
        logits = torch.tensor(self.PROBABILITIES).log()[None, None] + 3
        counts, told = [0] * 5, {}
        for i in range(self.DRAWS):
            ids, probabilities = torch.empty(1, 1, dtype=torch.long), torch.empty(1, 1)
            u = (i + 0.5) / self.DRAWS
            portable.sample_basic(
                logits, temperature, top_k, top_p, 0.0, min_p, 0.0, 0.0, u, ids, probabilities
            )
            counts[int(ids)] += 1
            told[int(ids)] = float(probabilities)
        return [count / self.DRAWS for count in counts], told

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({}, PROBABILITIES),
            ({"top_k": 2}, (0, 0.4 / 0.65, 0.25 / 0.65, 0, 0)),
            # Added up in order: 0.25 crosses the line and goes, 0.2 fits and stays, 0.1 does not.
            ({"top_p": 0.62}, (0, 0.4 / 0.6, 0, 0.2 / 0.6, 0)),
            ({"min_p": 0.45}, (0, 0.4 / 0.85, 0.25 / 0.85, 0.2 / 0.85, 0)),
            ({"top_k": 1}, (0, 1, 0, 0, 0)),
            ({"temperature": 0.0}, (0, 1, 0, 0, 0)),
        ],
        ids=["plain", "top-k", "nucleus", "min-p", "top-1", "greedy"],
    )
    def test_frequencies(self, settings: dict[str, float], expected: tuple[float, ...]) -> None:
        shares, told = self.shares(**settings)  # type: ignore[arg-type]
        assert shares == pytest.approx(expected, abs=2 / self.DRAWS)
        for token, probability in told.items():
            assert probability == pytest.approx(expected[token], abs=1e-5)

    def test_what_crosses_the_nucleus_is_dropped_and_smaller_ones_stay(self) -> None:
        """As measured on the extension itself."""
        assert nucleus([0.5, 0.35, 0.1, 0.05], 0.8) == [0, 2, 3]

    def test_a_penalty_is_taken_once_an_id(self) -> None:
        logits = torch.tensor([[[2.0, -2.0, 1.0, 0.5]]])
        portable.apply_rep_penalty(torch.tensor([[0, 1, 1, 9]]), 2.0, -1, 0, 0.0, 0.0, logits)
        assert logits.tolist() == [[[1.0, -4.0, 1.0, 0.5]]]

    def test_temperature(self) -> None:
        weights = [p**0.5 for p in self.PROBABILITIES]
        shares, _ = self.shares(temperature=2.0)
        expected = [weight / sum(weights) for weight in weights]
        assert shares == pytest.approx(expected, abs=2 / self.DRAWS)
