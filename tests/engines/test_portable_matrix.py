from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from workbench.engines import portable
from workbench.engines import portable_matrix as matrices
from workbench.engines.exllama import ExllamaEngine
from workbench.records import EngineSpec

from .contract import answers, ask
from .packing import Group, exl2_matrix, exl2_values, folders, gptq_matrix, gptq_values

NONE = torch.empty(0, device="meta")  # what ExLlamaV2 hands over for "no tensor"
EVERY_WIDTH = (Group(8, 32), Group(6, 32), Group(5, 32), Group(4, 64), Group(3, 32), Group(2, 64))


def matrix(rows: int, columns: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(rows * columns).normal(size=(rows, columns))


def shuffled(count: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(count).permutation(count)


# --- matrices -------------------------------------------------------------------------------------


def exl2_handle(natives: portable.Natives, packed: dict[str, Tensor], bias: Tensor = NONE) -> int:
    """As ``exllamav2.ext.make_q_matrix`` hands the tensors of a file on."""
    order = torch.argsort(packed["q_invperm"]).short()
    group_map = natives.make_group_map(packed["q_groups"], len(packed["q_weight"]))
    share = packed["q_scale_max"] * (1 / 256)
    handle: int = natives.make_q_matrix(
        packed["q_weight"],
        order,
        packed["q_invperm"].short(),
        packed["q_scale"],
        share,
        packed["q_groups"],
        group_map,
        *(NONE, NONE, NONE),
        bias,
        NONE,
        1,
    )
    return handle


def test_exl2_at_every_width_is_what_its_bits_say() -> None:
    packed = exl2_matrix(matrix(256, 32), EVERY_WIDTH, shuffled(256))
    natives = portable.Natives()
    out = torch.empty(256, 32, dtype=torch.half)
    natives.reconstruct(exl2_handle(natives, packed), out)
    assert torch.equal(out, torch.from_numpy(exl2_values(packed)))
    assert (out.double() - torch.from_numpy(matrix(256, 32))).abs().max() < 3  # two-bit rows too


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_more_bits_are_nearer_to_the_matrix(bits: int) -> None:
    original = matrix(64, 32)
    packed = exl2_matrix(original, [Group(bits, 64)], np.arange(64))
    error = np.abs(exl2_values(packed) - original).max()
    assert error < 5 / 2 ** (bits - 1)


def test_a_product_adds_the_bias() -> None:
    packed = exl2_matrix(matrix(64, 32), [Group(4, 64)], shuffled(64))
    natives, bias = portable.Natives(), torch.arange(32).half()
    handle = exl2_handle(natives, packed, bias)
    out = torch.empty(3, 32, dtype=torch.half)
    hidden = torch.from_numpy(matrix(3, 64)).half()
    natives.gemm_half_q_half(hidden, handle, out, False)
    expected = hidden.double() @ torch.from_numpy(exl2_values(packed)).double() + bias.double()
    torch.testing.assert_close(out.double(), expected, atol=0.02, rtol=1e-3)


def test_a_freed_matrix_is_gone() -> None:
    natives = portable.Natives()
    handle = exl2_handle(natives, exl2_matrix(matrix(32, 8), [Group(4, 32)], np.arange(32)))
    natives.free_q_matrix(handle)
    with pytest.raises(KeyError):
        natives.reconstruct(handle, torch.empty(32, 8, dtype=torch.half))


def test_columns_move_as_the_next_matrix_has_its_rows() -> None:
    """ExLlamaV2 gives the feed-forward's first matrices the row order of the last one."""
    packed, index = exl2_matrix(matrix(64, 32), [Group(5, 64)], shuffled(64)), shuffled(32)
    before = exl2_values(packed)
    matrices.tensor_remap(packed["q_weight"], torch.from_numpy(index).int())
    matrices.tensor_remap_4bit(packed["q_scale"], torch.from_numpy(index).int())
    assert np.array_equal(exl2_values(packed), before[:, index])


def test_the_group_map_counts_each_groups_rows_down() -> None:
    groups = torch.tensor([8, 0, 4, 8], dtype=torch.int16)
    table = matrices.make_group_map(groups, 12).view(-1, 2).tolist()
    assert table == [[0, 32 - i] for i in range(32)] + [[1, 32 - i] for i in range(32)]


@pytest.mark.parametrize("sorted_rows", [False, True])
def test_gptq_is_its_formula(sorted_rows: bool) -> None:
    group_of = np.repeat(np.arange(4), 32)
    if sorted_rows:
        group_of = group_of[shuffled(128)]
    packed = gptq_matrix(matrix(128, 16), 32, group_of)
    natives = portable.Natives()
    handle = natives.make_q_matrix(
        packed["qweight"],
        *(NONE,) * 6,
        packed["qzeros"],
        packed["scales"],
        packed["g_idx"] if sorted_rows else NONE,
        *(NONE, NONE, 1),
    )
    out = torch.empty(128, 16, dtype=torch.half)
    natives.reconstruct(handle, out)
    assert torch.equal(out, torch.from_numpy(gptq_values(packed)))
    assert np.abs(out.double().numpy() - matrix(128, 16)).max() < 0.5


# --- models ---------------------------------------------------------------------------------------


def exl2_model(weights: np.ndarray) -> dict[str, Tensor]:  # type: ignore[type-arg]
    rows = len(weights)
    return exl2_matrix(weights, [Group(8, 32), Group(5, rows - 32)], shuffled(rows))


def gptq_model(weights: np.ndarray) -> dict[str, Tensor]:  # type: ignore[type-arg]
    rows = len(weights)
    return gptq_matrix(weights, 32, np.repeat(np.arange(rows // 32), 32)[shuffled(rows)])


KINDS: dict[str, tuple[dict[str, object], Callable[..., object], Callable[..., object]]] = {
    "exl2-5.5bpw": ({"quant_method": "exl2", "bits": 5.5}, exl2_model, exl2_values),
    "gptq-4bit": ({"quant_method": "gptq", "bits": 4}, gptq_model, gptq_values),
}


@contextmanager
def opened(folder: Path) -> Iterator[ExllamaEngine]:
    engine = ExllamaEngine(EngineSpec(model=str(folder), device="cpu", cache_tokens=1024))
    yield engine
    engine.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_model_answers_as_its_values_do(
    model_folder: Path, tmp_path: Path, stops: frozenset[int], kind: str
) -> None:
    settings, pack, values = KINDS[kind]
    packed, plain = folders(model_folder, tmp_path, settings, pack, values)  # type: ignore[arg-type]
    ids = list(range(3, 300))
    request = ask("the tide came in", max_tokens=30)
    with opened(packed) as quantised:
        assert quantised.spec.quantization == kind
        logits = quantised._loaded.logits(ids, 64)
        (trace,) = answers(quantised, [request], stops)
    with opened(plain) as unquantised:
        torch.testing.assert_close(
            logits, unquantised._loaded.logits(ids, 64), atol=1e-4, rtol=1e-4
        )
        assert answers(unquantised, [request], stops)[0].ids == trace.ids
    assert len(trace.ids) == 30 or trace.reason == "stop"
