"""Intervals against closed forms, independent code and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from workbench.evaluation.statistics import accuracy, paired


def scores(values: list[float]) -> dict[str, list[float]]:
    return {f"p{i}": [value] for i, value in enumerate(values)}


def test_nothing_has_no_accuracy() -> None:
    assert accuracy({}) is None
    assert accuracy({"p": []}) is None
    assert paired({}, {}) is None
    assert paired({"a": [1.0]}, {"b": [1.0]}) is None


def test_none_right_of_thirty_is_bounded_by_clopper_pearson() -> None:
    estimate = accuracy(scores([0.0] * 30))
    assert estimate is not None
    assert (estimate.value, estimate.low) == (0.0, 0.0)
    assert estimate.high == pytest.approx(1 - 0.025 ** (1 / 30))  # closed form at zero


@pytest.mark.parametrize(("right", "count"), [(1, 1), (7, 10), (29, 30), (50, 100)])
def test_one_sample_a_problem_is_binomial(right: int, count: int) -> None:
    estimate = accuracy(scores([1.0] * right + [0.0] * (count - right)))
    assert estimate is not None
    low = stats.beta.ppf(0.025, right, count - right + 1)
    high = stats.beta.ppf(0.975, right + 1, count - right) if right < count else 1.0
    assert estimate.value == pytest.approx(right / count)
    assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))


def test_problems_count_and_not_samples() -> None:
    """Sixteen copies of the same answers make the interval no narrower."""
    few = {f"p{i}": [float(i % 2), float(i % 2)] for i in range(20)}
    many = {f"p{i}": [float(i % 2)] * 16 for i in range(20)}
    one, other = accuracy(few), accuracy(many)
    assert one is not None
    assert other is not None
    assert (one.low, one.high) == (other.low, other.high)
    assert one.low is not None
    assert one.low == pytest.approx(0.5 - 1.96 * math.sqrt(0.25 / 20), abs=0.03)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        truths = generator.beta(2, 2, size=40)
        draws = {f"p{i}": list(map(float, generator.random(4) < p)) for i, p in enumerate(truths)}
        estimate = accuracy(draws)
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= 0.5 <= estimate.high
    assert 180 <= covered <= 199  # 95 % of 200, within four standard errors


def test_paired_counts_and_mcnemar() -> None:
    on = scores([1.0] * 9 + [0.0])
    off = scores([0.0] * 8 + [1.0, 1.0])
    found = paired(on, off)
    assert found is not None
    assert (found.only_first, found.only_second) == (8, 1)
    assert found.difference.value == pytest.approx(0.7)
    assert found.p_value == pytest.approx(2 * sum(math.comb(9, k) for k in (0, 1)) / 2**9)


def test_paired_takes_only_common_problems() -> None:
    found = paired({"a": [1.0], "b": [1.0]}, {"b": [0.0], "c": [0.0]})
    assert found is not None
    assert (found.difference.count, found.difference.value) == (1, 1.0)
    assert found.difference.low is None


def test_equal_arms_have_no_p_value() -> None:
    found = paired(scores([1.0, 0.0]), scores([1.0, 0.0]))
    assert found is not None
    assert found.p_value is None
    assert found.difference.value == 0.0
