"""pass@k and majority@k against taking every subset; errors against their formulas and draws."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import InvalidInput
from workbench.evaluation.agreement import Published, gap
from workbench.evaluation.passes import Sample, errors, majority_at, measure, pass_at

RIGHT = Sample(True, "right")
ANSWERS = st.sampled_from([RIGHT, Sample(False, "1"), Sample(False, "2"), Sample(False, None)])
PROBLEMS = st.lists(st.lists(ANSWERS, min_size=1, max_size=6), min_size=1, max_size=4)


def named(problems: list[list[Sample]]) -> dict[str, list[Sample]]:
    return {str(number): own for number, own in enumerate(problems)}


def one_right(own: list[Sample], k: int) -> float:
    ways = list(combinations(own, k))
    return sum(any(one.right for one in way) for way in ways) / len(ways)


def most_right(own: list[Sample], k: int) -> float:
    """Of several most frequent answers one is drawn; who says nothing has no vote."""
    ways = list(combinations(own, k))
    total = 0.0
    for way in ways:
        votes = Counter("right" if one.right else one.answer for one in way if one.answer)
        first = [answer for answer, count in votes.items() if count == max(votes.values())]
        total += ("right" in first) / len(first) if first else 0.0
    return total / len(ways)


@given(PROBLEMS, st.integers(1, 7))
@settings(max_examples=150, deadline=None)
def test_both_are_those_of_every_subset(problems: list[list[Sample]], k: int) -> None:
    samples = named(problems)
    if min(map(len, problems)) < k:
        assert pass_at(samples, k) is None
        assert majority_at(samples, k) is None
        return
    assert pass_at(samples, k) == pytest.approx(np.mean([one_right(own, k) for own in problems]))
    assert majority_at(samples, k) == pytest.approx(
        np.mean([most_right(own, k) for own in problems])
    )


def test_known_figures() -> None:
    sixteen = {"one": [RIGHT] * 4 + [Sample(False, None)] * 12}
    assert pass_at(sixteen, 4) == pytest.approx(1 - 495 / 1820)  # C(12, 4) / C(16, 4)
    assert pass_at(sixteen, 17) is None
    assert pass_at({}, 1) is None
    for wrong in (0, -1):
        with pytest.raises(InvalidInput):
            pass_at(sixteen, wrong)
        with pytest.raises(InvalidInput):
            majority_at(sixteen, wrong)


def test_every_problem_counts_the_same() -> None:
    found = measure({"long": [RIGHT] * 6, "short": [Sample(False, "1")] * 2})
    assert found is not None
    assert found.average.value == 0.5
    assert found.samples == (2, 6)
    assert found.passes[2] == 0.5
    assert found.passes[3] is None
    assert set(found.passes) == set(range(1, 7))
    assert found.named()["pass@1[avg-of-2-6]"] == 50.0
    assert measure({}) is None


def test_neither_order_nor_spelling_of_wrong_answers_matters() -> None:
    own = [RIGHT, RIGHT, Sample(False, "007"), Sample(False, "7"), Sample(False, "7.0")]
    assert majority_at({"a": own}, 5) == 0.0, "7 has three votes"
    assert majority_at({"a": own}, 5, same=str.__eq__) == 1.0
    assert majority_at({"a": own[::-1]}, 4) == majority_at({"a": own}, 4)


def test_errors_are_their_formulas() -> None:
    table = np.array([[1, 1, 0, 1], [0, 0, 0, 1], [1, 1, 1, 1]], dtype=bool)
    samples = named([[RIGHT if one else Sample(False, "x") for one in row] for row in table])
    found, means = errors(samples), table.mean(axis=1)
    assert found.clustered == pytest.approx(means.std(ddof=1) / sqrt(3))
    assert found.sampling == pytest.approx(sqrt(sum(means * (1 - means) / 3)) / 3)
    assert found.naive == pytest.approx(table.std(ddof=1) / sqrt(12))
    whole = measure(samples)
    assert whole is not None
    assert whole.deviation_of_runs == pytest.approx(table.mean(axis=0).std(ddof=1))
    assert whole.named()["std_err_across_runs"] == pytest.approx(table.mean(axis=0).std(ddof=1) / 2)
    alone = errors({"a": [RIGHT], "b": [Sample(False, None)]})
    assert alone.sampling is None
    assert errors({"a": [RIGHT, RIGHT]}).clustered is None


def test_at_nothing_the_interval_is_clopper_and_pearsons() -> None:
    found = errors(named([[Sample(False, None)]] * 30)).interval
    assert found is not None
    assert found[0] == 0.0
    assert found[1] == pytest.approx(1 - 0.025 ** (1 / 30))  # 11.6 %


def drawn(source: np.random.Generator, chances: np.ndarray, count: int) -> dict[str, list[Sample]]:
    hits = source.random((len(chances), count)) < chances[:, None]
    return named([[RIGHT if hit else Sample(False, "x") for hit in row] for row in hits])


def test_the_sampling_error_is_that_of_drawing_again() -> None:
    source = np.random.default_rng(0)
    chances = source.beta(0.4, 0.4, 60)
    shares, told = [], []
    for _ in range(150):
        samples = drawn(source, chances, 8)
        shares.append(np.mean([one.right for own in samples.values() for one in own]))
        told.append(errors(samples).sampling)
    assert np.mean(told) == pytest.approx(np.std(shares, ddof=1), rel=0.2)


@pytest.mark.parametrize("count", [1, 4])
def test_a_gap_covers_none_where_there_is_none(count: int) -> None:
    """Both sides drawn from the same chances: about 95 of 100 intervals hold 0."""
    source, covered, rounds = np.random.default_rng(count), 0, 120
    chances = source.beta(0.4, 0.4, 80)
    for _ in range(rounds):
        theirs = float((source.random((80, 16)) < chances[:, None]).mean())
        found = gap(drawn(source, chances, count), Published(theirs, 80, 16))
        assert found is not None
        assert found.whole
        covered += found.low <= 0 <= found.high
    assert covered / rounds >= 0.9
