"""The law of sampling against a law computed on its own in numpy and plain Python."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from workbench import sampling as room
from workbench.bench import sampling as bench
from workbench.errors import EngineError, InvalidInput
from workbench.records import Sampling
from workbench.sampling import Row, UndrawableLogits, draw, uniform

DRAWS = 8192
EDGE = 1e-9  # how far rounding may move the line of a nucleus, or a step of the CDF


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads that wait for a busy core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def law(logits: Tensor, s: Sampling, seen: Sequence[int] = ()) -> np.ndarray:
    """The distribution that ``s`` describes, one step of the textbook after the other."""
    z = logits.float().numpy().astype(np.float64)
    for i in set(seen):
        z[i] = z[i] / s.repetition_penalty if z[i] > 0 else z[i] * s.repetition_penalty
    ranked = sorted(range(len(z)), key=lambda i: (-z[i], i))
    if s.temperature == 0:
        return np.eye(len(z))[ranked[0]]
    p = np.exp((z - z.max()) / s.temperature)
    kept = ranked[: s.top_k or None]
    if s.top_p < 1:
        mass = sum(p[i] for i in kept)
        inside: list[int] = []
        while sum(p[i] for i in inside) / mass < s.top_p and len(inside) < len(kept):
            inside.append(kept[len(inside)])
        kept = inside
    kept = [i for i in kept if p[i] >= s.min_p * p.max()]
    out = np.zeros_like(p)
    out[kept] = p[kept]
    return out / out.sum()


def rows_of(s: Sampling, count: int, seen: Tensor | None = None) -> list[Row]:
    return [Row(s, position, seen) for position in range(count)]


def draw_many(logits: Tensor, s: Sampling, seen: Tensor | None = None) -> np.ndarray:
    ids = draw(logits.expand(DRAWS, -1), rows_of(s, DRAWS, seen)).ids
    return np.bincount(ids, minlength=len(logits))


def p_value(counts: np.ndarray, law: np.ndarray) -> float:
    """Of the chi-square test; rare tokens are pooled so that every cell expects five."""
    expected = law * counts.sum()
    assert not counts[law == 0].any()
    rare = expected < 5
    cells = [(c, e) for c, e in zip(counts[~rare], expected[~rare], strict=True)]
    if rare.any() and expected[rare].sum() > 0:
        cells.append((counts[rare].sum(), expected[rare].sum()))
    if len(cells) == 1:
        return 1.0
    seen, wanted = zip(*cells, strict=True)
    return float(stats.chisquare(seen, wanted).pvalue)


def spread(size: int = 40, scale: float = 1.5) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(7)) * scale


FULL = Sampling(
    temperature=1.3, top_k=25, top_p=0.9, min_p=0.05, repetition_penalty=1.4, seed=2**64 - 1
)
SETTINGS = {
    "temperature 1": Sampling(temperature=1.0),
    "cold": Sampling(temperature=0.35, seed=1),
    "hot": Sampling(temperature=100.0, seed=2),
    "top-k": Sampling(temperature=1.0, top_k=7, seed=3),
    "top-k beyond the vocabulary": Sampling(temperature=1.0, top_k=10**6, seed=3),
    "nucleus": Sampling(temperature=1.0, top_p=0.8, seed=4),
    "recommended": Sampling(temperature=0.6, top_p=0.95, seed=5),
    "min-p": Sampling(temperature=1.0, min_p=0.15, seed=6),
    "top-k then nucleus": Sampling(temperature=1.0, top_k=9, top_p=0.7, seed=7),
    "nucleus then min-p": Sampling(temperature=1.5, top_p=0.9, min_p=0.1, seed=8),
    "top-k then min-p": Sampling(temperature=1.5, top_k=30, min_p=0.1, seed=9),
    "everything": FULL,
}


# --- frequencies ------------------------------------------------------------------------------


@pytest.mark.parametrize("s", SETTINGS.values(), ids=SETTINGS)
def test_drawn_frequencies_are_the_law(s: Sampling) -> None:
    seen = spread().topk(6).indices.repeat(2)
    counts = draw_many(spread(), s, seen)
    penalised = seen.tolist() if s.repetition_penalty != 1 else []
    assert p_value(counts, law(spread(), s, penalised)) > 1e-3


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 1.1},
        {"top_k": 8},
        {"top_p": 0.85},
        {"min_p": 0.3},
        {"repetition_penalty": 1.2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_frequency_test_would_notice_a_slightly_different_law(change: dict[str, Any]) -> None:
    s = Sampling(temperature=1.0, top_k=10, top_p=0.95, repetition_penalty=1.3)
    seen = spread().topk(6).indices
    counts = draw_many(spread(), s, seen)
    other = law(spread(), replace(s, **change), seen.tolist())
    assert counts[other == 0].any() or p_value(counts, other) < 1e-6


# --- what is kept -----------------------------------------------------------------------------


def kept(probabilities: Sequence[float], s: Sampling) -> dict[int, float]:
    """Share of each token drawn from these probabilities, over many positions."""
    counts = draw_many(torch.tensor(probabilities).log(), s)
    return {int(i): counts[i] / DRAWS for i in counts.nonzero()[0]}


def test_the_token_that_crosses_top_p_is_in_the_nucleus() -> None:
    shares = kept([0.5, 0.35, 0.1, 0.05], Sampling(temperature=1.0, top_p=0.8))
    assert set(shares) == {0, 1}
    assert shares[1] == pytest.approx(0.35 / 0.85, abs=0.02)


def test_a_nucleus_that_is_reached_exactly_takes_no_further_token() -> None:
    assert set(kept([0.25] * 4, Sampling(temperature=1.0, top_p=0.5))) == {0, 1}
    assert set(kept([0.25] * 4, Sampling(temperature=1.0, top_p=0.5 + 1e-12))) == {0, 1, 2}


def test_the_nucleus_is_of_the_mass_that_top_k_left() -> None:
    probabilities = [0.4, 0.3, 0.2, 0.1]  # the first two are 0.7 of all, 0.78 of the first three
    assert set(kept(probabilities, Sampling(temperature=1.0, top_p=0.75))) == {0, 1, 2}
    assert set(kept(probabilities, Sampling(temperature=1.0, top_p=0.75, top_k=3))) == {0, 1}


def test_temperature_comes_before_the_nucleus() -> None:
    hot = Sampling(temperature=10.0, top_p=0.8)
    assert set(kept([0.5, 0.35, 0.1, 0.05], hot)) == {0, 1, 2, 3}


def test_min_p_is_relative_to_the_most_likely_token() -> None:
    probabilities = [0.5, 0.25, 0.2, 0.05]
    assert set(kept(probabilities, Sampling(temperature=1.0, min_p=0.499))) == {0, 1}
    assert set(kept(probabilities, Sampling(temperature=1.0, min_p=0.501))) == {0}
    assert set(kept([0.4, 0.4, 0.2], Sampling(temperature=1.0, min_p=1.0))) == {0, 1}


@pytest.mark.parametrize("top_p", [1e-300, 1e-9])
def test_a_tiny_nucleus_is_the_most_likely_token(top_p: float) -> None:
    assert set(kept([0.2, 0.5, 0.3], Sampling(temperature=1.0, top_p=top_p))) == {1}


def test_extreme_temperatures_are_greedy_and_uniform() -> None:
    assert set(kept([0.3, 0.35, 0.35], Sampling(temperature=1e-4))) == {1, 2}
    assert set(kept([0.3, 0.4, 0.3], Sampling(temperature=5e-324))) == {1}
    near = draw_many(torch.tensor([0.0, 2e-4]), Sampling(temperature=1e-4)) / DRAWS
    assert near[0] == pytest.approx(1 / (1 + math.exp(2)), abs=0.02)
    shares = kept([0.9, 0.09, 0.01], Sampling(temperature=1e300))
    assert list(shares.values()) == pytest.approx([1 / 3] * 3, abs=0.02)


@pytest.mark.parametrize(
    "s", [Sampling(temperature=1.0, top_k=2), Sampling(temperature=1, top_p=0.5)]
)
def test_among_equals_the_lower_ids_are_kept(s: Sampling) -> None:
    assert set(kept([0.25, 0.25, 0.25, 0.25], s)) == {0, 1}


@pytest.mark.parametrize("size", [5, 300, 5000, 128_256])
def test_greedy_takes_the_lowest_of_the_largest(size: int) -> None:
    for first, second in [
        (0, size - 1),
        (size // 2, size - 1),
        (size - 2, size - 1),
        (size - 1,) * 2,
    ]:
        logits = torch.zeros(1, size)
        logits[0, [first, second]] = 2.0
        assert draw(logits, [Row(Sampling(top_p=0.3, top_k=1, min_p=1.0), 0)]).ids == [first]


def test_ids_that_are_ruled_out_are_never_drawn() -> None:
    logits = torch.full((5000,), -torch.inf)
    logits[[7, 4321]] = torch.tensor([1.0, 1.0])
    for s in SETTINGS.values():
        rows = [Row(s, i, torch.tensor([0, 7])) for i in range(50)]
        assert set(draw(logits.expand(50, -1), rows).ids) <= {7, 4321}


# --- penalty ----------------------------------------------------------------------------------


def test_the_penalty_divides_positive_and_multiplies_negative_logits_once_an_id() -> None:
    logits = torch.tensor([[2.0, -1.0, 1.5, 0.0]])
    s = Sampling(temperature=1.0, repetition_penalty=2.0)
    expected = torch.tensor([1.0, -2.0, 1.5, 0.0])
    seen = torch.tensor([1, 0, 0, 3, 1])
    for position in range(200):
        got = draw(logits, [Row(s, position, seen)]).ids
        assert got == draw(expected[None], [Row(Sampling(temperature=1.0), position)]).ids


def test_the_penalty_turns_greedy_away_and_leaves_the_logits_and_log_probabilities() -> None:
    logits = torch.tensor([[2.0, 1.5, -1.0]])
    before = logits.clone()
    row = Row(Sampling(repetition_penalty=1.5), 0, torch.tensor([0]), logprobs=True, alternatives=1)
    drawn = draw(logits, [row])
    assert drawn.ids == [1]
    assert drawn.logprobs[0] == pytest.approx(before.double().log_softmax(-1)[0, 1].item())
    assert drawn.alternatives[0] is not None
    assert drawn.alternatives[0][0][0] == 0
    assert torch.equal(logits, before)


def test_rows_are_penalised_by_their_own_context() -> None:
    logits = torch.tensor([[2.0, 1.9]]).expand(4, -1)
    hard, none = Sampling(repetition_penalty=3.0), Sampling()
    rows = [
        Row(hard, 0, torch.tensor([0])),
        Row(hard, 0, torch.tensor([], dtype=torch.int64)),
        Row(none, 0, torch.tensor([0])),
        Row(hard, 0, torch.tensor([1, 0])),
    ]
    assert draw(logits, rows).ids == [1, 0, 0, 0]


# --- one row, whatever stands beside it ---------------------------------------------------------


def mixed_batch(size: int, vocabulary: int) -> tuple[Tensor, list[Row]]:
    rng = random.Random(size)
    logits = torch.randn(size, vocabulary, generator=torch.Generator().manual_seed(size)) * 3
    choices = [Sampling(), *SETTINGS.values()]
    rows = [
        Row(
            replace(choices[i % len(choices)], seed=rng.randrange(2**64)),
            rng.randrange(5000),
            torch.tensor([rng.randrange(vocabulary) for _ in range(9)]),
            logprobs=i % 3 > 0,
            alternatives=i % 4,
        )
        for i in range(size)
    ]
    return logits, rows


@pytest.mark.parametrize("vocabulary", [16, 512, 5003])
def test_a_row_draws_the_same_alone_in_a_batch_and_in_another_order(vocabulary: int) -> None:
    logits, rows = mixed_batch(16, vocabulary)
    together = draw(logits, rows)
    order = random.Random(0).sample(range(16), 16)
    shuffled = draw(logits[order], [rows[i] for i in order])
    for place, i in enumerate(order):
        alone = draw(logits[i : i + 1], rows[i : i + 1])
        for field in ("ids", "logprobs", "alternatives"):
            assert getattr(alone, field)[0] == getattr(together, field)[i]
            assert getattr(shuffled, field)[place] == getattr(together, field)[i]


@pytest.mark.parametrize("s", [FULL, SETTINGS["recommended"], SETTINGS["hot"]])
def test_a_resumed_generation_goes_on_as_it_would_have(s: Sampling) -> None:
    table = torch.randn(40, 40, generator=torch.Generator().manual_seed(2))

    def continued(ids: list[int], until: int) -> list[int]:
        while len(ids) < until:
            row = Row(s, len(ids), torch.tensor(ids, dtype=torch.int64))
            ids = ids + draw(table[ids[-1:] or [0]], [row]).ids
        return ids

    whole = continued([], 30)
    assert all(continued(whole[:cut], 30) == whole for cut in range(30))
    assert len(set(whole)) > 3


def test_portions_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, rows = mixed_batch(24, 40_000)
    once = draw(logits, rows)
    torch.set_num_threads(2)
    assert draw(logits, rows) == once
    assert draw(logits[:1], rows[:1]).logprobs == once.logprobs[:1]
    monkeypatch.setattr(room, "_ELEMENTS_CPU", 1)
    assert draw(logits, rows) == once


def adversaries(size: int) -> dict[str, Callable[[], Tensor]]:
    noise = torch.randn(size, generator=torch.Generator().manual_seed(3))
    return {
        "all equal": lambda: torch.zeros(size),
        "nearly equal": lambda: noise * 1e-6,
        "few values": noise.round,
        "wide": lambda: noise * 30,
        "one against the rest": lambda: torch.eye(size)[size // 3] * 12,
        "half ruled out": lambda: noise.where(noise > 0, torch.tensor(-torch.inf)),
        "falling": lambda: -torch.log1p(torch.arange(size, dtype=torch.float32)),
    }


@pytest.mark.parametrize("shape", adversaries(1))
@pytest.mark.parametrize("size", [100, 4500])
def test_sorting_candidates_equals_sorting_everything(shape: str, size: int) -> None:
    logits = adversaries(size)[shape]()
    rows = [
        Row(Sampling(temperature=t, top_p=p, top_k=k, min_p=m, seed=1), position)
        for position, (t, p, k, m) in enumerate(
            (t, p, k, m)
            for t in (0.3, 1.0, 3.0)
            for p in (1e-6, 0.5, 0.95, 1 - 1e-6, 1 - 1e-10, 1 - 2**-53, 1.0)
            for k in (0, 1, 60)
            for m in (0.0, 0.02, 1.0)
        )
    ]
    batch = logits.expand(len(rows), -1)
    assert draw(batch, rows).ids == bench.full_sort(batch, rows)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_number_formats_are_read_as_float32(dtype: torch.dtype) -> None:
    logits, rows = mixed_batch(16, 300)
    logits = logits.to(dtype)
    assert draw(logits, rows) == draw(logits.float(), rows)


def test_logits_may_be_a_view_an_inference_tensor_or_carry_a_gradient() -> None:
    logits, rows = mixed_batch(16, 300)
    expected = draw(logits, rows)
    padded = torch.full((16, 320), 99.0)
    padded[:, :300] = logits
    with torch.inference_mode():
        frozen = logits.clone()
    for same in (padded[:, :300], frozen, logits.clone().requires_grad_(), logits.t().clone().t()):
        assert draw(same, rows) == expected


# --- hypothesis ---------------------------------------------------------------------------------

samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 1e-4, 0.3, 0.6, 1.0, 2.0, 100.0]),
    top_p=st.one_of(st.just(1.0), st.floats(1e-6, 1.0)),
    top_k=st.integers(0, 12),
    min_p=st.one_of(st.just(0.0), st.floats(0.0, 1.0)),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.8]),
    seed=st.integers(0, 2**64 - 1),
)
logit = st.one_of(st.integers(-3, 3).map(float), st.floats(-20, 20, width=16), st.just(-math.inf))
batches = st.integers(1, 12).flatmap(
    lambda width: st.lists(
        st.tuples(
            st.lists(logit, min_size=width, max_size=width).filter(lambda z: max(z) > -math.inf),
            samplings,
            st.integers(0, 2**40),
            st.lists(st.integers(0, width - 1), max_size=4),
        ),
        min_size=1,
        max_size=5,
    )
)


@given(batches)
@settings(max_examples=150, deadline=None)
def test_every_draw_is_the_inverse_cdf_of_the_law(
    batch: list[tuple[list[float], Sampling, int, list[int]]],
) -> None:
    logits = torch.tensor([z for z, *_ in batch])
    rows = [
        Row(s, position, torch.tensor(seen, dtype=torch.int64)) for _, s, position, seen in batch
    ]
    drawn = draw(logits, rows).ids
    for z, row, token in zip(logits, rows, drawn, strict=True):
        assert row.seen is not None
        seen = row.seen.tolist() if row.sampling.repetition_penalty != 1 else []
        assert any(_fits(token, law(z, s, seen), row) for s in _neighbours(row.sampling))


def _neighbours(s: Sampling) -> list[Sampling]:
    """The setting, and those that rounding may take it for."""
    if s.top_p == 1 and s.min_p == 0:
        return [s]
    shifts = [(0.0, 0.0), *((p, m) for p in (-EDGE, EDGE) for m in (-EDGE, EDGE))]
    return [
        replace(s, top_p=min(1.0, s.top_p + p), min_p=min(1.0, max(0.0, s.min_p + m)))
        for p, m in shifts
    ]


def _fits(token: int, p: np.ndarray, row: Row) -> bool:
    if p[token] == 0:
        return False
    u, upto = uniform(row.sampling.seed, row.position), p.cumsum()
    return row.sampling.temperature == 0 or (
        upto[token] - p[token] - EDGE <= u <= upto[token] + EDGE
    )


# --- log-probabilities and alternatives ---------------------------------------------------------


@pytest.mark.parametrize("vocabulary", [3, 511, 5003])
def test_log_probabilities_are_of_the_raw_logits(vocabulary: int) -> None:
    logits, rows = mixed_batch(13, vocabulary)
    rows = [replace(row, logprobs=True) for row in rows]
    drawn = draw(logits, rows)
    truth = logits.double().log_softmax(-1)
    for i, (token, value) in enumerate(zip(drawn.ids, drawn.logprobs, strict=True)):
        assert value == pytest.approx(truth[i, token].item(), abs=1e-9)


@pytest.mark.parametrize("vocabulary", [3, 511, 5003])
def test_alternatives_are_the_most_likely_ids_equal_ones_by_id(vocabulary: int) -> None:
    logits = mixed_batch(13, vocabulary)[0].round()
    truth = logits.double().log_softmax(-1)
    for count in (1, 2, 7):
        drawn = draw(logits, [Row(Sampling(), 0, alternatives=count)] * 13)
        for i, pairs in enumerate(drawn.alternatives):
            assert pairs is not None
            ranked = sorted(range(vocabulary), key=lambda j: (-logits[i, j].item(), j))[:count]
            assert [token for token, _ in pairs] == ranked
            assert [p for _, p in pairs] == pytest.approx(truth[i, ranked].tolist(), abs=1e-9)


def test_only_what_is_asked_for_is_reported() -> None:
    logits = torch.tensor([[1.0, 0.0, -torch.inf]]).expand(3, -1)
    rows = [
        Row(Sampling(), 0),
        Row(Sampling(), 0, logprobs=True),
        Row(Sampling(), 0, alternatives=9),
    ]
    drawn = draw(logits, rows)
    assert drawn.logprobs[0] is None
    assert drawn.logprobs[1] == pytest.approx(-math.log1p(math.exp(-1)))
    assert drawn.logprobs[2] is None
    assert drawn.alternatives[:2] == [None, None]
    pairs = drawn.alternatives[2]
    assert pairs is not None
    assert [token for token, _ in pairs] == [0, 1]  # the one that is ruled out is no alternative


def test_everything_drawn_is_plain_python() -> None:
    logits, rows = mixed_batch(16, 50)
    drawn = draw(logits, rows)
    assert {type(i) for i in drawn.ids} == {int}
    assert {type(p) for p in drawn.logprobs} == {float, type(None)}
    pairs = [pair for some in drawn.alternatives if some for pair in some]
    assert {(type(i), type(p)) for i, p in pairs} == {(int, float)}


# --- unusable input -----------------------------------------------------------------------------


@pytest.mark.parametrize("vocabulary", [6, 5000])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("s", [Sampling(), *SETTINGS.values()])
def test_rows_that_are_no_distribution_are_named(
    s: Sampling, value: float, vocabulary: int
) -> None:
    logits = torch.zeros(3, vocabulary)
    logits[1:, :] = value if value == -math.inf else 0.0
    logits[1:, 4] = value
    rows = [Row(s, 0, torch.tensor([0]), logprobs=True, alternatives=3)] * 3
    with pytest.raises(UndrawableLogits, match="row 1, 2") as caught:
        draw(logits, rows)
    assert isinstance(caught.value, EngineError)
    assert caught.value.rows == (1, 2)
    assert caught.value.remedy
    with pytest.raises(UndrawableLogits):
        draw(logits[1:2], rows[1:2])
    assert draw(logits[:1], rows[:1]).ids  # without them the rest goes on


def test_a_penalty_that_overflows_is_refused() -> None:
    row = Row(Sampling(repetition_penalty=1e-38), 0, torch.tensor([0]))
    with pytest.raises(UndrawableLogits):
        draw(torch.tensor([[1000.0, 1.0]]), [row])


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(UndrawableLogits("a", remedy="b", rows=(1,))))
    assert (type(error), str(error)) == (UndrawableLogits, "a b")


@pytest.mark.parametrize(
    ("logits", "rows"),
    [
        (torch.zeros(2, 3), 1),
        (torch.zeros(3), 3),
        (torch.zeros(1, 1, 3), 1),
        (torch.zeros(0, 3), 0),
    ],
)
def test_rows_must_fit_the_logits(logits: Tensor, rows: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        draw(logits, rows_of(Sampling(), rows))


def test_a_penalty_needs_the_context() -> None:
    with pytest.raises(ValueError, match="has seen"):
        draw(torch.zeros(1, 3), [Row(Sampling(repetition_penalty=1.1), 0)])


# --- the uniform numbers ------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "position"), [(0, 0), (1, 0), (0, 1), (2**64 - 1, 2**40)])
def test_uniform_is_53_bits_of_blake2b(seed: int, position: int) -> None:
    packed = seed.to_bytes(8, "little") + position.to_bytes(8, "little")
    number = int(hashlib.blake2b(packed, digest_size=8).digest()[::-1].hex(), 16)
    assert uniform(seed, position) == (number // 2**11) / 2**53


def test_uniform_is_below_one_at_its_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ones:
        def __init__(self, *_: object, **__: object) -> None: ...

        def digest(self) -> bytes:
            return b"\xff" * 8

    monkeypatch.setattr(hashlib, "blake2b", Ones)
    assert uniform(0, 0) == 1 - 2**-53
    for s in (Sampling(temperature=1.0), Sampling(temperature=1.0, top_p=0.9)):
        assert draw(torch.tensor([[1.0, 0.5, -torch.inf]]), [Row(s, 0)]).ids == [1]


@pytest.mark.parametrize("s", [Sampling(temperature=1.0), Sampling(temperature=1.0, top_p=0.99)])
def test_a_step_of_the_cdf_belongs_to_the_token_that_starts_there(
    monkeypatch: pytest.MonkeyPatch, s: Sampling
) -> None:
    logits = torch.tensor([[-torch.inf, 1.0, -torch.inf, 1.0]])
    for u, token in [(0.0, 1), (0.5 - 2**-53, 1), (0.5, 3), (1 - 2**-53, 3)]:
        monkeypatch.setattr(room, "uniform", lambda *_, u=u: u)
        assert draw(logits, [Row(s, 0)]).ids == [token]


@pytest.mark.parametrize(
    "pairs",
    [
        [(0, i) for i in range(32_768)],
        [(i, 0) for i in range(32_768)],
        [(i, i) for i in range(32_768)],
    ],
    ids=["positions", "seeds", "both"],
)
def test_uniforms_are_equidistributed_and_neighbours_independent(
    pairs: list[tuple[int, int]],
) -> None:
    u = np.array([uniform(*pair) for pair in pairs])
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    cells = np.histogram2d(u[:-1], u[1:], bins=16, range=[(0, 1), (0, 1)])[0]
    assert stats.chisquare(cells.ravel()).pvalue > 1e-3


def test_uniforms_of_two_seeds_are_independent() -> None:
    a, b = ([uniform(seed, i) for i in range(32_768)] for seed in (1, 2))
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(32_768)
    assert not set(a) & set(b)


# --- the benchmark and the GPU ------------------------------------------------------------------


def test_the_benchmark_times_the_same_draws_both_ways() -> None:
    figures = bench.measure(vocabulary=300, rows=(1, 3), seconds=0.0)
    assert len(figures) == 2 * 2 * len(bench.SETTINGS)
    assert all(figure["equal_ids"] for figure in figures)
    assert all(figure["microseconds_call"] > 0 for figure in figures)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("vocabulary", [512, 128_256])
def test_a_gpu_draws_what_the_cpu_draws(vocabulary: int) -> None:
    logits, rows = mixed_batch(64, vocabulary)
    rows[::7] = [replace(row, ruled_out=(1, 2, 3), forced=4) for row in rows[::7]]
    rows[3::7] = [replace(row, ruled_out=tuple(range(50))) for row in rows[3::7]]
    here, there = draw(logits, rows), draw(logits.cuda(), rows)
    assert there.ids == here.ids
    assert [p for p in there.logprobs if p is not None] == pytest.approx(
        [p for p in here.logprobs if p is not None], abs=1e-9
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("rows", [1, 16, 64])
def test_a_step_moves_a_few_bytes_a_request_to_the_host(rows: int) -> None:
    """Not its vocabulary, which is 513,024 bytes: id, peak, log-probability, and counts."""
    logits = torch.randn(rows, 128_256, device="cuda") * 3
    batch = [
        Row(Sampling(temperature=0.6, top_p=0.95, seed=i), i, logprobs=True) for i in range(rows)
    ]
    draw(logits, batch)
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profile:
        draw(logits, batch)
        torch.cuda.synchronize()
    trace = json.loads(_exported(profile))["traceEvents"]
    copies = [e for e in trace if str(e.get("name", "")).startswith("Memcpy DtoH")]
    assert 1 <= len(copies) <= 8
    assert sum(e["args"]["bytes"] for e in copies) <= 64 * rows + 64


def _exported(profile: torch.profiler.profile) -> str:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(file))
        return file.read_text()


# --- ruled-out and forced ids ---------------------------------------------------------------------


@pytest.mark.parametrize("s", [Sampling(), *SETTINGS.values()], ids=["greedy", *SETTINGS])
def test_what_is_ruled_out_is_never_drawn_and_the_rest_by_the_law(s: Sampling) -> None:
    best = tuple(spread().topk(3).indices.tolist())
    seen = spread().topk(6).indices if s.repetition_penalty != 1 else None
    rows = [Row(s, position, seen, ruled_out=best) for position in range(DRAWS)]
    counts = np.bincount(draw(spread().expand(DRAWS, -1), rows).ids, minlength=40)
    without = spread()
    without[list(best)] = -torch.inf
    assert not counts[list(best)].any()
    penalised = seen.tolist() if seen is not None else []
    assert p_value(counts, law(without, s, penalised)) > 1e-3


@settings(max_examples=50)
@given(st.data())
def test_a_forced_id_is_put_in_and_reported_by_the_raw_logits(data: st.DataObject) -> None:
    logits = torch.randn(
        6, 50, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    )
    free = [
        Row(
            data.draw(st.sampled_from([Sampling(), *SETTINGS.values()])),
            position,
            torch.tensor([1, 2, 3]),
            logprobs=data.draw(st.booleans()),
            alternatives=data.draw(st.integers(0, 4)),
        )
        for position in range(6)
    ]
    ids = st.integers(0, 49)
    changes = [
        {
            "forced": data.draw(st.none() | ids),
            "ruled_out": tuple(data.draw(st.sets(ids, max_size=9))),
        }
        for _ in free
    ]
    plain, got = (
        draw(logits, rows)
        for rows in (free, [replace(row, **new) for row, new in zip(free, changes, strict=True)])
    )
    said = logits.double().log_softmax(-1)
    assert got.alternatives == plain.alternatives
    for i, new in enumerate(changes):
        if new["forced"] is not None:
            assert got.ids[i] == new["forced"]
        elif not new["ruled_out"]:
            assert got.ids[i] == plain.ids[i]
        else:
            assert got.ids[i] not in new["ruled_out"]
        told = float(said[i, got.ids[i]]) if free[i].logprobs else None
        assert got.logprobs[i] == told


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_ruling_out_hides_no_broken_logit(bad: float) -> None:
    logits = spread()[None].clone()
    logits[0, 5] = bad
    for row in (Row(Sampling(), 0, ruled_out=(5,)), Row(Sampling(), 0, forced=3)):
        with pytest.raises(UndrawableLogits):
            draw(logits, [row])


def test_a_row_with_everything_ruled_out_is_refused_and_ids_beyond_the_logits_are_none() -> None:
    with pytest.raises(UndrawableLogits):
        draw(torch.zeros(1, 4), [Row(Sampling(), 0, ruled_out=(0, 1, 2, 3))])
    assert draw(torch.zeros(1, 4), [Row(Sampling(), 0, ruled_out=(0, 4, 99))]).ids == [1]


def test_the_logits_given_are_not_written_to() -> None:
    logits = spread()[None].clone()
    draw(logits, [Row(Sampling(), 0, ruled_out=(1, 2), forced=1)])
    assert torch.equal(logits, spread()[None])


def test_a_least_length_above_the_most_is_refused() -> None:
    assert Sampling(min_tokens=5, max_tokens=5).min_tokens == 5
    assert Sampling(min_tokens=5).max_tokens is None
    with pytest.raises(InvalidInput, match="min-tokens is 6 and max-tokens 5") as refused:
        Sampling(min_tokens=6, max_tokens=5)
    assert refused.value.remedy
