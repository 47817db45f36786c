"""The converter's native functions against loops that follow the formulas number by number."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from workbench.engines.conversion import natives
from workbench.engines.conversion.allocation import best_choice, sim_anneal
from workbench.engines.portable_matrix import unpacked

from .packing import stream, unstream

NONE = torch.empty(0, device="meta")
QZERO, MAXQ = 8.0, 15.0  # four bits


def weights(rows: int, columns: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows + columns))


def rounded(value: float, scale: float) -> tuple[int, float]:
    """An integer and what it stands for, in the precision of the kernels."""
    q = int(min(max(np.rint(np.float32(value) / np.float32(scale)) + QZERO, 0), MAXQ))
    return q, float(np.float16(q - QZERO) * np.float16(scale))


@pytest.mark.parametrize("norm", [3.5, 2.0])
def test_every_factor_of_the_scales_is_priced(norm: float) -> None:
    values, scale, grid = weights(6, 4), torch.tensor([0.1, 0.2, 0.3, 0.15]), 4
    errors = torch.zeros(grid + 1, 128)
    natives.quantize_err(values, errors, scale, QZERO, MAXQ, norm, 0.7, 1.2, grid)
    for i, priced in enumerate(errors.sum(1).tolist()):
        steps = scale.double().numpy() * (0.7 + 0.5 * i / grid)
        near = np.clip(np.rint(values.double().numpy() / steps), -QZERO, MAXQ - QZERO) * steps
        expected = (np.abs(near - values.double().numpy()) ** norm).sum()
        assert priced == pytest.approx(expected, rel=1e-4)


def test_each_rows_error_is_made_good_in_the_rows_after_it() -> None:
    rows, columns, a, b = 8, 4, 2, 6
    left = weights(rows, columns)
    factor = torch.triu(weights(rows, rows)) + 3 * torch.eye(rows)
    scale = torch.full((columns,), 0.25)
    expected, made, integers = left.double().numpy().copy(), {}, {}
    missed = np.zeros((rows, columns))
    for row in range(a, b):
        pairs = [rounded(value, 0.25) for value in expected[row]]
        integers[row], made[row] = [q for q, _ in pairs], [value for _, value in pairs]
        missed[row] = (expected[row] - made[row]) / float(factor[row, row])
        for later in range(row, rows):
            expected[later] -= float(factor[row, later]) * missed[row]
    quant, whole = torch.zeros(rows, columns), torch.zeros(rows, columns, dtype=torch.int16)
    natives.quantize_range(
        quant, scale, whole, QZERO, MAXQ, factor, left, torch.zeros(rows, columns), a, b
    )
    assert whole[a:b].tolist() == [integers[row] for row in range(a, b)]
    assert quant[a:b].tolist() == [made[row] for row in range(a, b)]
    np.testing.assert_allclose(left.numpy(), expected, atol=1e-4)
    assert not quant[:a].any()
    assert not quant[b:].any()


def test_rounding_to_the_nearest_leaves_other_rows_alone() -> None:
    values, whole = weights(5, 4), torch.zeros(5, 4, dtype=torch.int16)
    before = values.clone()
    natives.quantize_range_inplace(values, torch.full((4,), 0.3), whole, QZERO, MAXQ, 1, 3)
    pairs = [[rounded(value, 0.3) for value in row] for row in before[1:3].tolist()]
    assert values[1:3].tolist() == [[value for _, value in row] for row in pairs]
    assert whole[1:3].tolist() == [[q for q, _ in row] for row in pairs]
    assert torch.equal(values[[0, 3, 4]], before[[0, 3, 4]])


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_packed_columns_are_the_bits_one_after_another(bits: int) -> None:
    integers = np.random.default_rng(bits).integers(0, 2**bits, (64, 8))
    words = torch.zeros(64 * bits // 32, 8, dtype=torch.int32)
    natives.pack_columns(torch.from_numpy(integers).short(), words, bits)
    assert np.array_equal(words.numpy(), stream(integers, bits))
    assert np.array_equal(unpacked(words, bits).numpy(), integers)


def test_packed_scales_count_from_one() -> None:
    numbers = np.random.default_rng(0).integers(1, 17, (3, 16))
    words = torch.zeros(3, 2, dtype=torch.int32)
    natives.pack_rows_4(torch.from_numpy(numbers).short(), words)
    assert np.array_equal(unstream(words.numpy().T.copy(), 4).T + 1, numbers)


class TestAllocation:
    def slots(self, seed: int) -> list[list[tuple[int, float]]]:
        source = np.random.default_rng(seed)
        return [
            [(int(cost), 1 / cost * source.uniform(0.5, 2)) for cost in source.integers(10, 99, 4)]
            for _ in range(4)
        ]

    @pytest.mark.parametrize("seed", range(20))
    def test_nothing_within_the_budget_is_better(self, seed: int) -> None:
        slots, budget, norm = self.slots(seed), 230, 2.5
        ways = [way for way in product(*slots) if sum(cost for cost, _ in way) <= budget]
        options, chosen, total, cost, worst = sim_anneal(slots, budget, 2, 0.99, 0.1, 9, norm)
        assert total == pytest.approx(min(sum(e**norm for _, e in way) for way in ways))
        assert options == [slot[i] for slot, i in zip(slots, chosen, strict=True)]
        assert cost == sum(one for one, _ in options) <= budget
        assert worst == max(error for _, error in options)

    def test_where_nothing_fits_the_cheapest_are_taken(self) -> None:
        slots = self.slots(0)
        cheapest = [min(range(4), key=lambda i, slot=slot: slot[i][0]) for slot in slots]  # type: ignore[misc]
        assert best_choice(slots, 1, 2.0) == cheapest

    def test_as_many_blocks_as_the_8b_has(self) -> None:
        slots = [[(bits * 10**6, 0.5**bits) for bits in range(2, 9)] for _ in range(64)]
        chosen = best_choice(slots, 64 * 4 * 10**6, 2.5)
        assert chosen == [2] * 64
