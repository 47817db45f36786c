"""Intervals against closed forms, independent code and simulation."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workbench.evaluation.statistics import accuracy, difference, mean, paired, ratio


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


# --- any quantity -------------------------------------------------------------------------------


def amounts(values: Iterable[float]) -> dict[str, list[float]]:
    return {f"p{i}": [float(value)] for i, value in enumerate(values)}


def test_a_mean_is_over_problems_and_has_an_interval_from_two_on() -> None:
    found = mean({"a": [1.0, 3.0], "b": [10.0]})
    assert found is not None
    assert (found.value, found.count, found.share) == (6.0, 2, False)
    assert (found.low, found.high) == (2.0, 10.0)
    single = mean({"a": [1.0, 3.0], "b": []})
    assert single is not None
    assert (single.value, single.low, single.high, single.count) == (2.0, None, None, 1)
    assert mean({}) is None
    assert str(mean({"a": [1234.5]})) == "1,234 (n=1)"


def test_intervals_are_those_of_scipy_s_percentile_bootstrap() -> None:
    generator = np.random.default_rng(3)
    ours, theirs = generator.lognormal(3, 1, 40), generator.lognormal(2.5, 1, 40)
    found = difference(amounts(ours), amounts(theirs))
    assert found is not None
    yardstick = stats.bootstrap(
        (ours, theirs),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    width = yardstick.high - yardstick.low
    assert found.estimate.low == pytest.approx(yardstick.low, abs=0.04 * width)
    assert found.estimate.high == pytest.approx(yardstick.high, abs=0.04 * width)


def test_of_many_problems_the_interval_is_the_normal_one() -> None:
    gaps = np.random.default_rng(5).normal(2, 3, 1000)
    found = difference(amounts(gaps), amounts(np.zeros(1000)))
    assert found is not None
    half = 1.96 * gaps.std() / math.sqrt(1000)
    assert found.estimate.low == pytest.approx(gaps.mean() - half, abs=0.05 * half)
    assert found.estimate.high == pytest.approx(gaps.mean() + half, abs=0.05 * half)


def test_the_interval_of_a_difference_covers_the_truth_and_the_test_keeps_its_level() -> None:
    """Thirty problems whose difficulty the arms share; the true difference is 5 seconds."""
    generator = np.random.default_rng(6)
    covered = rejected = 0
    for _ in range(200):
        shared = generator.lognormal(3, 1, 30)
        gaps = generator.normal(5, 4, 30)
        found = difference(amounts(shared + gaps), amounts(shared))
        same = difference(amounts(shared + gaps - 5), amounts(shared))
        assert found is not None
        assert same is not None
        assert found.estimate.low is not None
        assert found.estimate.high is not None
        covered += found.estimate.low <= 5 <= found.estimate.high
        rejected += same.p_value is not None and same.p_value < 0.05
    assert 180 <= covered <= 198  # 95 % of 200 is 190, its standard deviation 3
    assert 2 <= rejected <= 20  # 5 % of 200 is 10


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=30), st.randoms())
def test_with_one_score_a_problem_the_test_is_mcnemars(
    ours: list[float], shuffler: random.Random
) -> None:
    theirs = [shuffler.choice([0.0, 1.0]) for _ in ours]
    whole, other = difference(scores(ours), scores(theirs)), paired(scores(ours), scores(theirs))
    assert whole is not None
    assert other is not None
    assert whole.estimate.value == other.difference.value
    if other.p_value is None:
        assert whole.p_value is None
    else:
        assert whole.p_value == pytest.approx(other.p_value, abs=0.02)  # exact up to 12 gaps


def test_few_problems_are_never_sure() -> None:
    alike = difference(amounts([3, 3, 3, 3]), amounts([1, 1, 1, 1]))
    assert alike is not None
    assert (alike.estimate.value, alike.estimate.low) == (2.0, None)
    assert alike.p_value == pytest.approx(2 / 2**4)
    assert not alike.sure
    enough = difference(amounts([3] * 6), amounts([1] * 6))
    assert enough is not None
    assert enough.sure
    one = difference({"a": [2.0]}, {"a": [1.0]})
    assert one is not None
    assert (one.estimate.low, one.sure) == (None, False)
    none = difference({"a": [1.0]}, {"a": [1.0]})
    assert none is not None
    assert (none.p_value, none.sure) == (None, False)
    assert difference({"a": [1.0]}, {"b": [1.0]}) is None


def test_a_ratio_of_differences() -> None:
    """Ten problems: 100 tokens more each, right on half of them instead of none."""
    more, less = amounts([110] * 10), amounts([10] * 10)
    right, wrong = amounts([1, 0] * 5), amounts([0] * 10)
    found = ratio((more, less), (right, wrong))
    assert found is not None
    estimate, meaningless = found
    assert estimate.value == pytest.approx(200.0)
    assert estimate.low is not None
    assert estimate.high is not None
    assert 100 < estimate.low < 200 < estimate.high < 1000
    assert meaningless == pytest.approx(5000 / 2**10, abs=10)  # all ten draws wrong
    assert ratio((more, less), (wrong, wrong)) is None
    assert ratio((more, less), (right, {})) is None
    single = ratio(({"a": [5.0]}, {"a": [2.0]}), ({"a": [1.0]}, {"a": [0.0]}))
    assert single is not None
    assert (single[0].value, single[0].low, single[0].count) == (3.0, None, 1)


def test_the_interval_of_a_ratio_covers_the_truth() -> None:
    """Each problem costs 200 tokens more and is right 40 % more often: 500 tokens an answer."""
    generator = np.random.default_rng(8)
    covered = 0
    for _ in range(150):
        cost = amounts(generator.normal(200, 80, 60))
        gain = amounts(generator.random(60) < 0.4)
        found = ratio((cost, amounts([0] * 60)), (gain, amounts([0] * 60)))
        assert found is not None
        assert found[0].low is not None
        assert found[0].high is not None
        covered += found[0].low <= 500 <= found[0].high
    assert 133 <= covered <= 149


def test_a_gain_that_may_be_none_has_no_upper_price() -> None:
    found = ratio((amounts([5] * 4), amounts([1] * 4)), (amounts([1, 0, 0, 0]), amounts([0] * 4)))
    assert found is not None
    assert found[0].value == pytest.approx(16.0)
    assert found[0].low is not None
    assert found[0].high is None
