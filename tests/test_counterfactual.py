"""Figures of settings that were never run: certain or ``None``, and never wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from workbench.counterfactual import (
    MOST_IDS,
    TOLERANCE,
    Counterfactual,
    counterfactual,
    grid,
)
from workbench.engines.exllama import ExllamaEngine
from workbench.errors import InvalidInput
from workbench.records import (
    Alternatives,
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Finished,
    Generation,
    Message,
    Mode,
    Request,
    Sampling,
    Started,
)
from workbench.store.blocks import pack, unpack

Numbers = npt.NDArray[np.float64]

TEMPERATURES = (0.0, 0.3, 0.6, 1.0, 1.3, 2.0)
TOP_PS = (0.5, 0.9, 0.95, 1.0)


# --- what is true -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    size: int
    entropy: float
    chances: Numbers  # by id
    close: float  # how near the law is to keeping another number of tokens


def truth(logits: Numbers, s: Sampling) -> Truth:
    """The law of ``workbench.sampling`` on a whole row of logits, in float64."""
    order = np.argsort(-logits, kind="stable")
    if s.temperature == 0:
        return Truth(1, 0.0, np.eye(len(logits))[order[0]], 1.0)
    ranked = np.exp((logits[order] - logits.max()) / s.temperature)
    possible = int(np.isfinite(logits).sum())
    counted = min(s.top_k or possible, possible)
    reached = np.cumsum(ranked[:counted])
    share = reached / reached[-1]
    crossing = counted if s.top_p >= 1 else int(np.searchsorted(share, s.top_p)) + 1
    likely = int((ranked[:counted] >= s.min_p).sum())
    size = min(counted, crossing, likely)
    kept = ranked[:size] / ranked[:size].sum()
    chances = np.zeros(len(logits))
    chances[order[:size]] = kept
    positive = kept[kept > 0]
    edges = [1.0]
    edges += [float(np.abs(share - s.top_p).min())] if s.top_p < 1 else []
    edges += [float(np.abs(ranked / s.min_p - 1).min())] if s.min_p else []
    return Truth(size, float(-(positive * np.log(positive)).sum()), chances, min(edges))


def ranking(logits: Numbers, count: int) -> Alternatives:
    """What an engine records of a row: the most likely first, equal ones by id."""
    logprobs = log_softmax(logits)
    order = np.argsort(-logits, kind="stable")[:count]
    return tuple((int(i), float(logprobs[i])) for i in order if np.isfinite(logprobs[i]))


def log_softmax(logits: Numbers) -> Numbers:
    shifted = logits - logits.max()
    return shifted - math.log(np.exp(shifted).sum())


def request(alternatives: int = 20, **sampling: float) -> Request:
    return Request(
        (Message("user", "?"),), sampling=Sampling(**sampling), alternatives=alternatives
    )


def generation(*events: Event, asked: Request | None = None) -> Generation:
    return Generation(asked or request(), EngineSpec(), events)


def record(rows: Sequence[Numbers], ids: Sequence[int], count: int) -> Generation:
    """A generation that drew ``ids`` from rows of logits."""
    chunks = [
        Chunk(float(i), (token,), "x", Channel.ANSWER, (own,), (ranking(row, count),))
        for i, (row, token) in enumerate(zip(rows, ids, strict=True))
        for own in [float(log_softmax(row)[token])]
    ]
    return generation(
        Started(0.0, 1), *chunks, Finished(9.0, "stop"), asked=request(alternatives=count)
    )


def assert_true(
    told: Counterfactual, rows: Sequence[Numbers], tolerance: float = TOLERANCE
) -> None:
    """Every bound holds, and every figure is the truth to within half the tolerance."""
    noise = 1e-9
    for i, one in enumerate(told):
        real = truth(rows[i], told.sampling)
        chance = float(real.chances[one.id])
        if one.size is not None and real.close > noise:
            assert one.size == real.size
        assert told.size.low[i] <= real.size <= told.size.high[i] or real.close < noise
        if real.close > noise or told.size.high[i] > told.size.low[i]:
            assert told.entropy.low[i] - noise <= real.entropy <= told.entropy.high[i] + noise
            assert told.probability.low[i] * (1 - noise) <= chance + 1e-300
            assert chance <= told.probability.high[i] * (1 + noise)
            if one.entropy is not None:
                assert abs(one.entropy - real.entropy) <= tolerance / 2 + noise
            if one.probability is not None:
                assert abs(one.probability - chance) <= tolerance * chance + 1e-300


# --- properties ---------------------------------------------------------------------------------


@st.composite
def distributions(draw: st.DrawFn) -> Numbers:
    """Rows of logits: sharp, flat, tied, with impossible ids."""
    size = draw(st.integers(1, 40))
    kind = draw(st.sampled_from(["any", "tied", "sharp", "flat"]))
    elements = {
        "any": st.floats(-12, 12, width=32),
        "tied": st.sampled_from([0.0, 1.0, 1.5, 4.0, -math.inf]),
        "sharp": st.floats(-60, 0, width=32),
        "flat": st.floats(-(2.0**-7), 2.0**-7, width=32),
    }[kind]
    logits = np.array(draw(st.lists(elements, min_size=size, max_size=size)), np.float64)
    assume(np.isfinite(logits).any())
    if kind == "sharp":
        logits[draw(st.integers(0, size - 1))] = draw(st.floats(0, 30, width=32))
    return logits


settings_ = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.05, 0.3, 0.7, 1.0, 1.2, 2.0, 10.0]),
    top_p=st.sampled_from([1.0, 0.999, 0.95, 0.9, 0.5, 0.1]) | st.floats(0.01, 1.0),
    top_k=st.sampled_from([0, 0, 1, 2, 5, 30, 100]),
    min_p=st.sampled_from([0.0, 0.0, 0.02, 0.3, 1.0]),
)


@given(distributions(), settings_, st.integers(1, 45), st.booleans(), st.data())
@example(np.zeros(3), Sampling(temperature=1.0, top_p=0.5), 1, True, None)
@example(np.zeros(12), Sampling(temperature=1.0, top_k=5), 2, True, None)
def test_no_figure_is_ever_wrong(
    logits: Numbers, s: Sampling, count: int, known: bool, data: st.DataObject | None
) -> None:
    possible = np.flatnonzero(np.isfinite(logits))
    token = int(data.draw(st.sampled_from(list(possible))) if data else possible[0])
    vocabulary = len(logits) if known and len(possible) == len(logits) else None
    told = counterfactual(
        record([logits], [token], count),
        temperature=s.temperature,
        top_p=s.top_p,
        top_k=s.top_k,
        min_p=s.min_p,
        vocabulary=vocabulary,
    )
    assert_true(told, [logits])
    if count > len(logits) and truth(logits, s).close > 1e-6:  # then nothing is unknown
        assert told[0].size is not None
        assert told[0].entropy is not None
        assert told[0].probability is not None


@given(distributions(), settings_, st.integers(1, 45))
def test_single_precision_is_allowed_for(logits: Numbers, s: Sampling, count: int) -> None:
    token = int(logits.argmax())
    exact = record([logits], [token], count)
    (chunk,) = exact.chunks()
    assert chunk.alternatives is not None
    assert chunk.logprobs is not None
    rounded = replace(
        chunk,
        logprobs=tuple(float(np.float32(p)) for p in chunk.logprobs),
        alternatives=(tuple((i, float(np.float32(p))) for i, p in chunk.alternatives[0]),),
    )
    told = counterfactual(
        replace(exact, events=(rounded,)),
        temperature=s.temperature,
        top_p=s.top_p,
        top_k=s.top_k,
        min_p=s.min_p,
    )
    assert_true(told, [logits])


# --- the embedded model, run again on every token -----------------------------------------------


@dataclass(frozen=True)
class Replayed:
    """A generation of the embedded model, and what the model says before each of its tokens."""

    generation: Generation
    logits: Numbers  # [tokens, vocabulary], by one pass over the whole text

    @property
    def vocabulary(self) -> int:
        return self.logits.shape[1]

    def recorded(self, count: int) -> Generation:
        """As if the recording had been made of exactly these logits."""
        return record(list(self.logits), self.generation.ids, count)


ASKED = (
    (Mode.ON, "What is 47 + 38 - 12?", {"temperature": 0.6, "top_p": 0.95, "seed": 1}),
    (Mode.ON, "Tell me of the sea", {"temperature": 1.5, "seed": 3}),
    (Mode.OFF, "What is 47 * 38 - 12?", {"temperature": 1.0, "seed": 2}),
    (Mode.OFF, "What is 47 + 38 - 12?", {"temperature": 0.0}),
)


@pytest.fixture(scope="module")
def replayed() -> list[Replayed]:
    engine = ExllamaEngine(EngineSpec(model="demo", device="cpu", context=2048, cache_tokens=4096))
    try:
        return [replay(engine, mode, asked, dict(drawn)) for mode, asked, drawn in ASKED]
    finally:
        engine.close()


def replay(engine: ExllamaEngine, mode: Mode, question: str, drawn: dict[str, Any]) -> Replayed:
    asked = Request(
        (Message("user", question),),
        mode=mode,
        sampling=Sampling(max_tokens=160, **drawn),
        logprobs=True,
        alternatives=20,
    )
    engine.submit(asked)
    events: list[Event] = []
    while not events or not isinstance(events[-1], Finished):
        events += [event for _, event in engine.step()]
    told = Generation(asked, engine.spec, tuple(events))
    prompt = engine.encode((Message("system", mode.system_prompt), *asked.messages), mode.prefill)
    logits = engine.logits([*prompt, *told.ids])[len(prompt) - 1 : -1]
    return Replayed(told, logits.double().numpy())


@pytest.mark.parametrize(("count", "cuts"), [(20, {}), (3, {}), (20, {"top_k": 8, "min_p": 0.05})])
def test_every_figure_is_that_of_a_full_recomputation(
    replayed: list[Replayed], count: int, cuts: dict[str, Any]
) -> None:
    for one in replayed:
        for t, p in product(TEMPERATURES, TOP_PS):
            told = counterfactual(
                one.recorded(count),
                temperature=t,
                top_p=p,
                vocabulary=one.vocabulary,
                **cuts,
            )
            assert_true(told, one.logits)


def test_what_was_recorded_while_decoding_says_the_same(replayed: list[Replayed]) -> None:
    """The model is not quite the same in one pass and step by step: 1e-3 of a logit."""
    for one in replayed:
        for t, p in product((0.3, 0.6, 1.0, 1.3), TOP_PS):
            told = counterfactual(one.generation, temperature=t, top_p=p, vocabulary=one.vocabulary)
            for row, figures in zip(one.logits, told, strict=True):
                real = truth(row, told.sampling)
                if real.close < 0.01:
                    continue
                assert figures.size in (None, real.size)
                assert figures.entropy is None or figures.entropy == pytest.approx(
                    real.entropy, abs=0.01
                )
                assert figures.probability is None or figures.probability == pytest.approx(
                    real.chances[figures.id], rel=0.03, abs=1e-6
                )


def test_twenty_candidates_cover_the_embedded_model_and_three_do_not(
    replayed: list[Replayed],
) -> None:
    ours = [one.generation for one in replayed]
    few = [one.recorded(3) for one in replayed]
    size = replayed[0].vocabulary
    for row, narrow in zip(
        grid(ours, (0.3, 0.6, 1.0), TOP_PS, vocabulary=size),
        grid(few, (0.3, 0.6, 1.0), TOP_PS, vocabulary=size),
        strict=True,
    ):
        assert row.size.coverage is not None
        assert row.entropy.coverage is not None
        assert row.probability.coverage is not None
        assert narrow.entropy.coverage is not None
        assert min(row.size.coverage, row.entropy.coverage, row.probability.coverage) > 0.95
        assert narrow.entropy.coverage <= row.entropy.coverage
    hot = grid(few, [1.3], [0.99], vocabulary=size)[0]
    assert hot.size.coverage is not None
    assert 0 < hot.size.coverage < 1
    assert any(one.size is None for one in counterfactual(few, temperature=1.3, top_p=0.99))


def test_every_token_was_possible_under_its_own_setting(replayed: list[Replayed]) -> None:
    for one in replayed:
        s = one.generation.request.sampling
        told = counterfactual(
            one.generation, temperature=s.temperature, top_p=s.top_p, vocabulary=one.vocabulary
        )
        assert (told.probability.high > 0).all()
        assert told.ids.tolist() == list(one.generation.ids)


@pytest.mark.parametrize("count", [3, 20])
def test_means_are_of_all_tokens_or_bounded(replayed: list[Replayed], count: int) -> None:
    """A mean over the tokens with a figure would leave the broadest distributions out."""
    for one, t, p in product(replayed, (0.6, 1.0, 1.3), TOP_PS):
        (row,) = grid(one.recorded(count), [t], [p], vocabulary=one.vocabulary)
        reals = [truth(line, Sampling(temperature=t, top_p=p)) for line in one.logits]
        for told, real in (
            (row.size, np.mean([real.size for real in reals])),
            (row.entropy, np.mean([real.entropy for real in reals])),
        ):
            assert told.low is not None
            assert told.high is not None
            assert told.low - 1e-9 <= real <= told.high + 1e-9
            assert told.value is None or told.value == pytest.approx(real, rel=0.01, abs=0.01)


def test_the_likelihood_is_that_of_the_full_distribution(replayed: list[Replayed]) -> None:
    hot = replayed[1]
    (row,) = grid(hot.generation, [1.0], [1.0], vocabulary=hot.vocabulary)
    own = [p for chunk in hot.generation.chunks() for p in chunk.logprobs or ()]
    assert row.log_likelihood == pytest.approx(math.fsum(own), abs=1e-6)
    assert row.log_likelihood_error == pytest.approx(0, abs=1e-6)
    (warm,) = grid(hot.recorded(20), [0.8], [1.0], vocabulary=hot.vocabulary)
    chances = [
        truth(line, Sampling(temperature=0.8)).chances[token]
        for line, token in zip(hot.logits, hot.generation.ids, strict=True)
    ]
    if warm.log_likelihood is not None:
        assert warm.log_likelihood_error is not None
        real = math.fsum(np.log(chances))
        assert abs(warm.log_likelihood - real) <= warm.log_likelihood_error + 1e-9


def test_the_store_keeps_alternatives_bit_for_bit(replayed: list[Replayed]) -> None:
    for one in replayed:
        events = one.generation.events
        for deflate in (False, True):
            block = pack(events, deflate=deflate)
            assert unpack(block) == events
            print(f"{len(block) / len(one.generation.ids):.0f} bytes a token, deflated: {deflate}")
        told = [
            counterfactual(replace(one.generation, events=kept), temperature=0.7, top_p=0.9)
            for kept in (events, unpack(pack(events)))
        ]
        assert list(told[0]) == list(told[1])


# --- small cases --------------------------------------------------------------------------------


def chunk(*pairs: tuple[int, float], token: int = 0, own: float | None = None) -> Chunk:
    ranked = tuple((i, math.log(p)) for i, p in pairs)
    logprobs = None if own is None else (math.log(own),)
    return Chunk(1.0, (token,), "x", Channel.ANSWER, logprobs, (ranked,))


HALF = chunk((7, 0.5), (3, 0.25), (1, 0.125), token=3)


def test_a_known_case_by_hand() -> None:
    """0.5, 0.25, 0.125 and 0.125 of others: a nucleus of 0.7 keeps two."""
    told = counterfactual(generation(HALF), temperature=1.0, top_p=0.7)[0]
    assert (told.index, told.id, told.size) == (0, 3, 2)
    assert told.probability == pytest.approx(1 / 3)
    assert told.entropy == pytest.approx(math.log(3) - 2 / 3 * math.log(2))
    asked = request(alternatives=3)
    half = counterfactual(generation(HALF, asked=asked), temperature=0.5, top_p=0.7)
    # At 1/2 the weights are 16, 4 and 1 of 64; the others weigh from nothing to 1.
    assert half[0].size == 1
    assert half[0].probability == 0
    assert [half.probability.high[0], half.entropy.high[0]] == [0, 0]
    wide = counterfactual(generation(HALF, asked=asked), temperature=0.5)
    assert wide.probability.low[0] == pytest.approx(4 / 22)
    assert 4 / 21.0001 < wide.probability.high[0] < 4 / 21
    assert wide[0].probability is None
    sure = counterfactual(generation(HALF, asked=asked), temperature=0.5, tolerance=0.05)
    assert sure[0].probability == pytest.approx(4 / 21.5, rel=1e-3)


def test_min_p_and_top_k_need_no_rest() -> None:
    asked = generation(HALF, asked=request(alternatives=3))
    for cuts in ({"top_k": 2}, {"min_p": 0.4}):
        for temperature, right in ((1.0, 1 / 3), (0.5, 0.2)):
            if "min_p" in cuts and temperature < 1:
                continue
            told = counterfactual(asked, temperature=temperature, **cuts)[0]
            assert told.size == 2
            assert told.probability == pytest.approx(right)


def test_a_token_outside_the_candidates_counts_with_its_own_log_probability() -> None:
    outside = chunk((7, 0.5), (3, 0.25), token=9, own=0.2)
    asked = request(alternatives=2)
    told = counterfactual(generation(outside, asked=asked), temperature=1.0)[0]
    assert told.probability == pytest.approx(0.2)
    cut = counterfactual(generation(outside, asked=asked), temperature=1.0, top_p=0.6)[0]
    assert (cut.size, cut.probability) == (2, 0.0)
    blind = replace(outside, logprobs=None)
    told = counterfactual(generation(blind, asked=asked), temperature=1.0)[0]
    assert told.probability is None
    cut = counterfactual(generation(blind, asked=asked), temperature=1.0, top_p=0.6)[0]
    assert cut.probability == 0.0


def test_greedy_keeps_one() -> None:
    other = replace(HALF, ids=(7,))
    told = list(counterfactual(generation(HALF, other), temperature=0.0))
    assert [(one.size, one.entropy, one.probability) for one in told] == [(1, 0, 0), (1, 0, 1)]
    (row,) = grid(generation(HALF, other), [0.0], [1.0])
    assert (row.excluded, row.log_likelihood, row.probability.value) == (1, None, 0.5)
    (row,) = grid(generation(other), [0.0], [1.0])
    assert (row.excluded, row.log_likelihood) == (0, 0.0)


def test_forced_ids_are_left_out_and_places_stay() -> None:
    forced = replace(HALF, forced=True)
    told = list(counterfactual(generation(HALF, forced, HALF), temperature=0.0))
    assert [one.index for one in told] == [0, 2]
    assert len(counterfactual(generation(forced), temperature=0.7)) == 0


def test_fewer_candidates_than_asked_for_are_all_that_are_possible() -> None:
    whole = chunk((7, 0.5), (3, 0.5), token=3)
    told = counterfactual(generation(whole), temperature=2.0)[0]
    assert (told.size, told.probability) == (2, pytest.approx(0.5))
    assert told.entropy == pytest.approx(math.log(2))
    odd = counterfactual(generation(HALF), temperature=2.0)  # 0.125 are missing all the same
    assert odd[0].size is None


def test_an_unknown_vocabulary_is_bounded_and_a_known_one_is_used() -> None:
    asked = request(alternatives=3)
    unknown = counterfactual(generation(HALF, asked=asked), temperature=2.0)
    assert (unknown.size.low[0], unknown.size.high[0]) == (4, MOST_IDS)
    assert unknown[0].size is unknown[0].probability is None
    known = counterfactual(generation(HALF, asked=asked), temperature=2.0, vocabulary=9)
    assert known[0].size == 9
    assert known.probability.low[0] > unknown.probability.low[0]


def test_tokens_of_several_generations_know_theirs() -> None:
    told = list(counterfactual([generation(HALF), generation(HALF, HALF)], temperature=0.0))
    assert [(one.generation, one.index) for one in told] == [(0, 0), (1, 0), (1, 1)]


def test_a_grid_has_a_row_a_setting_and_no_tokens_no_figures() -> None:
    rows = grid(generation(HALF), (0.0, 1.0), iter((0.4, 0.7, 1.0)), min_p=0.01)
    assert [(row.temperature, row.top_p) for row in rows] == list(
        product((0.0, 1.0), (0.4, 0.7, 1.0))
    )
    assert {(row.tokens, row.min_p, row.top_k) for row in rows} == {(1, 0.01, 0)}
    assert [row.size.value for row in rows] == [1, 1, 1, 1, 2, None]
    assert grid(generation(HALF), [], [1.0]) == grid(generation(HALF), [1.0], []) == []
    (none,) = grid(generation(), [1.0], [1.0])
    figures = none.row()
    zeros = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0, "tokens": 0, "excluded": 0}
    assert figures == dict.fromkeys(figures) | zeros


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "settings", "says"),
    [
        (generation(HALF, asked=request(0)), {}, r"alternatives=20"),
        (generation(replace(HALF, alternatives=None)), {}, r"alternatives=20"),
        (generation(HALF, asked=request(repetition_penalty=1.1)), {}, r"penalty of 1\.1"),
        (generation(HALF, asked=request(min_tokens=5)), {}, r"before token 5"),
        (generation(chunk((1, 0.2), (2, 0.5))), {}, r"no distribution"),
        (generation(chunk((1, 0.8), (2, 0.5))), {}, r"no distribution"),
        (generation(replace(HALF, alternatives=((),))), {}, r"no distribution"),
        (generation(replace(HALF, alternatives=(((1, math.nan),),))), {}, r"no distribution"),
        (generation(replace(HALF, alternatives=(((1, -math.inf),),))), {}, r"no distribution"),
        (generation(HALF), {"vocabulary": 7}, r"too small"),
        (generation(chunk((0, 0.1)), asked=request(1)), {"vocabulary": 9}, r"too small"),
        (generation(HALF), {"temperature": -1.0}, r"temperature is -1"),
        (generation(HALF), {"top_p": 0.0}, r"top-p is 0"),
    ],
)
def test_what_cannot_be_told_is_refused(
    told: Generation, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        counterfactual(told, **({"temperature": 0.7} | settings))
