"""The latency lab: exact lengths, stages apart, and every figure held against one made by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engines.scripted import ScriptedEngine
from workbench.errors import InvalidInput, ModelError
from workbench.experiments import Run, compare, execute, load
from workbench.experiments.axes import CACHED, WARM_UP
from workbench.experiments.latency import latency
from workbench.experiments.latency_figures import (
    ANSWER_GAP,
    INTER_CHUNK,
    THINKING_GAP,
    aiperf_json,
    figures,
    goodput,
)
from workbench.experiments.latency_prompts import PromptWriter
from workbench.experiments.latency_stages import Lab, read, token_gaps
from workbench.experiments.latency_stages import settings as stages_of
from workbench.experiments.latency_tables import channel_rows, outlier_rows, stage_rows
from workbench.experiments.latency_tokens import counted, outliers, positions
from workbench.experiments.latency_words import conclusion
from workbench.metrics import TABLE, TokenTime, measure, percentiles
from workbench.records import (
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Failed,
    Finished,
    Generation,
    Mode,
    Plan,
    Progress,
    Started,
)
from workbench.session import Session
from workbench.store import Store

T, A = Channel.THINKING, Channel.ANSWER


@pytest.fixture(scope="module")
def demo() -> PromptWriter:
    return PromptWriter(EngineSpec(), Mode.ON, 0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "runs.sqlite") as opened:
        yield opened


# --- prompts --------------------------------------------------------------------------------------


@given(st.integers(42, 700), st.integers(0, 100_000))
@settings(max_examples=60)
def test_a_prompt_has_exactly_the_tokens_asked_for(length: int, number: int) -> None:
    writer = PromptWriter(EngineSpec(), Mode.ON, 7)
    text = writer.write(length, number)
    assert writer.count(text) == length
    assert text == PromptWriter(EngineSpec(), Mode.ON, 7).write(length, number)


@pytest.mark.parametrize("mode", list(Mode))
def test_the_template_and_the_prefill_count(mode: Mode, model_folder: Path) -> None:
    """Another tokenizer, whose words and digits are cut otherwise."""
    writer = PromptWriter(EngineSpec(model=str(model_folder)), mode, 0)
    for length in (*range(writer.least, writer.least + 12), 300):
        assert writer.count(writer.write(length, length)) == length


def test_no_two_prompts_begin_alike(demo: PromptWriter) -> None:
    texts = [demo.write(60, number) for number in range(500)]
    assert len({tuple(text.split()[:2]) for text in texts}) == 500
    assert len({text.split()[0] for text in texts[:100]}) == 100


# --- the plan -------------------------------------------------------------------------------------


def test_stages_are_parted_by_a_request_alone_and_warmed_by_a_batch() -> None:
    plan = latency(prompt_tokens=(64, 80), output_tokens=16, concurrency=(1, 3), requests=2)
    told = [
        "w" if setting is None else "c" if setting.cached else "u" for setting in stages_of(plan)
    ]
    alone, three = "w uu w cc", "w uuu w ccc"
    first = f"{alone} www {three}"
    assert "".join(told) == f"{first}{alone}{three}".replace(" ", "")
    warm = [cell for cell in plan.cells if cell.problem and cell.problem.group == WARM_UP]
    assert [cell.concurrency for cell in warm] == [1, 1, 3, 3, 3, 1, 1, 1, 1, 1, 1]
    assert all(cell.request.sampling.max_tokens == 8 for cell in warm)
    assert plan.kind == "latency"
    assert dict(plan.axes) == {
        "prompt_tokens": (64, 80),
        "output_tokens": (16,),
        "concurrency": (1, 3),
        "cached": (False, True),
    }


def test_the_cached_pass_asks_the_same_again() -> None:
    plan = latency(prompt_tokens=64, output_tokens=16, concurrency=2, requests=3)
    by_id: dict[str, list[Any]] = {}
    for cell in plan.cells:
        assert cell.problem is not None
        if cell.problem.group != WARM_UP:
            by_id.setdefault(cell.problem.id, []).append(cell)
    assert len(by_id) == 3
    for first, second in by_id.values():
        assert (first.request, first.sample, second.sample) == (second.request, 0, 1)
        assert second.problem.group == CACHED
        assert first.request.sampling.min_tokens == first.request.sampling.max_tokens == 16


def test_the_seed_decides_and_sides_are_asked_the_same(model_folder: Path) -> None:
    def texts(**asked: Any) -> list[str]:
        plan = latency(prompt_tokens=64, concurrency=2, requests=2, **asked)
        return [cell.request.messages[0].text for cell in plan.cells]

    once = texts(seed=1)
    assert once == texts(seed=1)
    assert not set(once) & set(texts(seed=2))
    both = texts(seed=1, engine=("exllama", "reference"))
    assert both == once + once
    assert len(texts(seed=1, model=("demo", str(model_folder)))) == 2 * len(once)


def test_sides_are_named_by_what_tells_them_apart() -> None:
    one = EngineSpec(kind="exllama", device="cpu")
    plan = latency(
        prompt_tokens=64,
        concurrency=1,
        requests=1,
        cached=False,
        engine=(one, replace(one, kind="reference")),
    )
    assert [s.side for s in stages_of(plan) if s is not None] == ["exllama", "reference"]
    assert plan.axes["engine"] == ("exllama", "reference")
    alone = latency(prompt_tokens=64, concurrency=1, requests=1, cached=False)
    assert [str(s) for s in stages_of(alone) if s is not None] == ["64 + 64 tokens · 1 at once"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"prompt_tokens": 4000}, "largest prompt that fits with 64 is 1,984"),
        ({"output_tokens": 3000}, "the shortest prompt has 42, and leaves 2,006"),
        ({"prompt_tokens": 64, "engine": EngineSpec(context=110)}, "fits with 64 is 46"),
        ({"prompt_tokens": 20}, "at least 42"),
        ({"prompt_tokens": 0}, "prompt-tokens is 0"),
        ({"prompt_tokens": ()}, "no prompt_tokens"),
        ({"output_tokens": 1}, "output-tokens is 1"),
        ({"concurrency": (1, 2.5)}, "2.5"),
        ({"concurrency": 65}, "at most 64"),
        ({"requests": 0}, "at least one"),
        ({"mode": "loud"}, "no mode 'loud'"),
        ({"max_tokens": 5}, "chooses max_tokens itself"),
        ({"warmth": 5}, "no setting 'warmth'"),
        ({"model": ()}, "nobody"),
        ({"temperature": -1.0}, "temperature is -1.0"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        latency(**asked)
    assert said in str(refused.value)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ModelError, match="no model 'nope'"):
        latency(model="nope")


# --- figures, by hand -----------------------------------------------------------------------------


def chunks(*tokens: tuple[float, Channel]) -> list[Event]:
    return [Chunk(t, (i,), f"<{i}>", channel) for i, (t, channel) in enumerate(tokens)]


FIRST: Sequence[Event] = (
    Started(0.0, 64, 14),
    Progress(0.2, 64, 64),
    *chunks((0.3, T), (0.4, T), (0.55, T), (0.65, A), (0.8, A)),
    Finished(0.8, "length"),
)
SECOND: Sequence[Event] = (
    Started(0.1, 64, 14),
    Progress(0.4, 64, 64),
    *chunks((0.5, T), (0.6, T), (0.7, A), (0.8, A), (1.8, A)),
    Finished(1.9, "length"),
)
THIRD: Sequence[Event] = (
    Started(0.0, 64, 14),
    Progress(0.5, 64, 64),
    Failed(0.6, "It broke.", "Mend it."),
)
WARM: Sequence[Event] = (Started(0.0, 64), *chunks((9.0, A)), Finished(9.0, "length"))
MOMENTS = (10.0, 10.1, 11.0)


def by_hand(store: Store, moments: Sequence[float] | None = MOMENTS, seed: int = 0) -> Run:
    """One stage of three requests, two at once, the third of which fails."""
    plan = latency(
        prompt_tokens=64, output_tokens=5, concurrency=2, requests=3, cached=False, seed=seed
    )
    run = store.begin_run(plan, {"concurrency": 2})
    told = iter([FIRST, SECOND, THIRD])
    known = iter(moments or ())
    for index, setting in enumerate(stages_of(plan)):
        keep(store, run, plan, index, WARM if setting is None else next(told), known, setting)
    store.finish_run(run)
    return load(run, store)


def keep(
    store: Store,
    run: str,
    plan: Plan,
    index: int,
    events: Sequence[Event],
    moments: Iterator[float],
    setting: object,
) -> None:
    cell = plan.cells[index]
    generation = Generation(cell.request, cell.spec, tuple(events))
    moment = 0.0 if setting is None else next(moments, None)
    metrics = measure(generation) | ({} if moment is None else {"submitted": moment})
    store.begin_generation(run, index, cell).finish(generation, metrics, {})


@pytest.fixture
def lab(store: Store) -> Lab:
    return read(by_hand(store))


def test_the_figures_of_a_stage(lab: Lab) -> None:
    (one,) = figures(lab)
    assert (one.requests, one.failed, one.short, lab.warm_ups) == (2, 1, 0, 3)
    # from 10.0 to 10.1 + 1.9
    assert one.duration == pytest.approx(2.0)
    assert one.output_token_throughput == pytest.approx(10 / 2.0)
    assert one.request_throughput == pytest.approx(2 / 2.0)
    assert one["time_to_first_token"]["avg"] == pytest.approx(0.4)
    assert one["time_to_first_token"]["p25"] == pytest.approx(0.35)
    assert one["time_to_first_output_token"]["min"] == pytest.approx(0.65)
    assert one["inter_token_latency"]["min"] == pytest.approx(0.5 / 4)
    assert one["inter_token_latency"]["max"] == pytest.approx(1.3 / 4)
    assert one["request_latency"]["max"] == pytest.approx(1.9)
    assert one["prefill_throughput"]["max"] == pytest.approx((64 - 14) / 0.3)
    assert one[INTER_CHUNK]["avg"] == pytest.approx((0.5 + 1.3) / 8)
    assert one[INTER_CHUNK]["max"] == pytest.approx(1.0)
    assert one[THINKING_GAP]["avg"] == pytest.approx((0.1 + 0.15 + 0.1) / 3)
    assert one[ANSWER_GAP]["p50"] == pytest.approx(0.1)
    assert one[ANSWER_GAP]["avg"] == pytest.approx((0.1 + 0.15 + 0.1 + 0.1 + 1.0) / 5)
    assert set(one.statistics) == {m.name for m in TABLE} | {INTER_CHUNK, THINKING_GAP, ANSWER_GAP}


@pytest.mark.parametrize(
    ("objectives", "good"),
    [
        ({"ttft": 0.5, "itl": 0.4}, 2),
        ({"time_to_first_token": 0.31}, 1),
        ({"ttft": 0.5, "itl": 0.2}, 1),
        ({"latency": 0.1}, 0),
        ({"output_token_throughput_per_user": 5.0}, 1),  # a rate: at least
        ({"ttft": 9.0, "mean_logprob": 9.0}, 0),  # nobody has one
    ],
)
def test_goodput_counts_what_meets_everything(
    lab: Lab, objectives: dict[str, float], good: int
) -> None:
    (found,) = goodput(lab, **objectives)
    assert (found.good, found.requests) == (good, 3)
    assert found.per_second == pytest.approx(good / 2.0)
    assert found.share == pytest.approx(good / 3)


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan"), float("inf")])
def test_objectives_that_cannot_be_are_refused(lab: Lab, bound: float) -> None:
    with pytest.raises(InvalidInput, match="objective for time_to_first_token"):
        goodput(lab, ttft=bound)
    with pytest.raises(InvalidInput, match="no metric 'speed'"):
        goodput(lab, speed=1.0)
    with pytest.raises(InvalidInput, match="No objective"):
        goodput(lab)


def test_the_shape_of_aiperf(lab: Lab) -> None:
    found = aiperf_json(lab, objectives={"ttft": 0.31})
    first = found["time_to_first_token"]
    assert first["unit"] == "ms"
    assert set(first) == {"unit", "count", *percentiles([])}
    assert (first["count"], first["avg"]) == (2, pytest.approx(400.0))
    assert found["inter_chunk_latency"]["count"] == 8
    assert found["input_sequence_length"]["avg"] == 64
    assert found["usage_prompt_cache_read_tokens"]["avg"] == 14
    assert found["prefill_throughput_per_user"]["unit"] == "tokens/sec/user"
    whole = {name: found[name] for name in found if "count" not in found[name]}
    assert whole == {
        "output_token_throughput": {"unit": "tokens/sec", "avg": pytest.approx(5.0)},
        "request_throughput": {"unit": "requests/sec", "avg": pytest.approx(1.0)},
        "request_count": {"unit": "requests", "avg": 2},
        "error_request_count": {"unit": "requests", "avg": 1},
        "benchmark_duration": {"unit": "sec", "avg": pytest.approx(2.0)},
        "good_request_count": {"unit": "requests", "avg": 1},
        "goodput": {"unit": "requests/sec", "avg": pytest.approx(0.5)},
    }
    assert aiperf_json(lab, lab.stages[0]) == aiperf_json(lab)


def test_a_run_without_moments_has_no_throughput(store: Store) -> None:
    lab = read(by_hand(store, None))
    (one,) = figures(lab)
    assert (one.duration, one.output_token_throughput, one.request_throughput) == (None,) * 3
    assert one["time_to_first_token"]["avg"] == pytest.approx(0.4)
    assert not {"output_token_throughput", "benchmark_duration"} & set(aiperf_json(lab))
    assert goodput(lab, ttft=1.0)[0].per_second is None
    assert outliers(lab)[0].because == "unknown: moments were not kept"


def test_latency_by_position(lab: Lab) -> None:
    ((setting, bands),) = positions(lab, most=2).items()
    assert str(setting) == "64 + 5 tokens · 2 at once"
    assert [(band.first, band.last, band.count) for band in bands] == [(1, 2, 4), (3, 4, 4)]
    assert bands[0].p50 == pytest.approx(np.median([0.1, 0.15, 0.1, 0.1]))
    assert bands[1].p95 == pytest.approx(np.percentile([0.1, 0.15, 0.1, 1.0], 95))
    assert bands[0].thinking == pytest.approx(3 / 4)


def test_the_gap_that_stands_out_has_its_token_and_what_happened_meanwhile(lab: Lab) -> None:
    (found,) = outliers(lab)
    assert (found.position, found.id, found.text, found.phase) == (4, 4, "<4>", "answer")
    assert (found.gap, found.median) == (pytest.approx(1.0), pytest.approx(0.1))
    # From 10.9 to 11.9; the third request's prompt was read from 11.0 to 11.5.
    assert found.because == "another prompt was read"
    assert counted(lab) == (1, 8)


def test_without_a_prompt_beside_it_the_run_tells_nothing(store: Store) -> None:
    lab = read(by_hand(store, (10.0, 10.1, 20.0)))
    assert outliers(lab)[0].because == "nothing in the run"


def test_the_rows_of_tables(lab: Lab) -> None:
    (row,) = stage_rows(lab, {"ttft": 0.31})
    assert (row["prompt"], row["answer"], row["at once"], row["cached"]) == (64, 5, 2, False)
    assert (row["failed"], row["good/s"]) == (1, pytest.approx(0.5))
    assert row["first token, ms"] == pytest.approx(400.0)
    (apart,) = channel_rows(lab)
    assert apart["thinking, tokens"] == 2.5
    (long,) = outlier_rows(lab)
    assert (long["text"], long["gap, ms"]) == ("'<4>'", pytest.approx(1000.0))


def test_a_stage_is_a_grid_cell_and_warm_ups_are_in_none(lab: Lab) -> None:
    assert lab.warm_ups == 3
    (row,) = lab.run.cells().to_dict("records")
    assert (row["prompt_tokens"], row["max_tokens"], row["concurrency"]) == (64, 5, 2)
    assert (row["planned"], row["generations"], row["failed"], row["cached"]) == (3, 3, 1, False)
    assert row["request_latency"] == pytest.approx((0.8 + 1.9) / 2), "9 s are those of a warm-up"


def test_the_paragraph(lab: Lab) -> None:
    said = conclusion(lab, {"ttft": 0.31})
    assert "the first token came after 400 ms, then one every 225 ms" in said
    assert "1 of 3 requests failed" in said
    assert "Goodput (time to first token at most 310 ms) was highest at" in said
    assert "at 64 + 5 tokens · 2 at once, 0.5" in said
    assert "1 of its 3 requests met it." in said
    assert "1 of 8 gaps between tokens stood out" in said
    assert "With 2 requests a stage" in said


def test_sides_are_told_apart_in_words(store: Store) -> None:
    specs = (EngineSpec(model="demo"), EngineSpec(kind="reference", model="demo"))
    plan = latency(
        prompt_tokens=64, output_tokens=5, concurrency=1, requests=1, cached=False, engine=specs
    )
    run = store.begin_run(plan, {})
    told = iter([FIRST, SECOND])
    for index, setting in enumerate(stages_of(plan)):
        events = WARM if setting is None else next(told)
        keep(store, run, plan, index, events, iter([10.0]), setting)
    store.finish_run(run)  # waits for what is still being written
    said = conclusion(load(run, store))
    assert said.startswith("exllama: with a prompt of 64 tokens and one request at a time")
    assert "reference: tokens of the thinking were" in said
    assert "Tokens of exllama come 2.6 times as fast as of reference." in said  # 0.325 / 0.125


def test_nothing_is_concluded_from_nothing(store: Store) -> None:
    plan = latency(prompt_tokens=64, output_tokens=5, concurrency=1, requests=1, cached=False)
    run = store.begin_run(plan, {})
    store.finish_run(run)
    assert "nothing to conclude" in conclusion(load(run, store))
    with pytest.raises(InvalidInput, match="compare plan"):
        read(load(store.begin_run(compare("x"), {}), store))


# --- gaps -----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0.001, 1.0), st.integers(1, 4)), min_size=1, max_size=12))
def test_gaps_add_up_whatever_came_together(steps: list[tuple[float, int]]) -> None:
    times, t = [], 0.0
    for gap, size in steps:
        t += gap
        times += [TokenTime(0, 0, t, None, T, None, None, size > 1)] * size
    gaps = token_gaps(times)
    assert len(gaps) == len(times) - 1
    assert (gaps >= 0).all()
    assert gaps.sum() == pytest.approx(times[-1].t - times[0].t)


# --- done -----------------------------------------------------------------------------------------


def test_stages_do_not_overlap_and_moments_are_kept(store: Store) -> None:
    plan = latency(prompt_tokens=64, output_tokens=12, concurrency=(1, 3), requests=3)
    session = Session(
        lambda: ScriptedEngine.answering("on and on, again", pace=0.02, token_seconds=0.1)
    )
    with session:
        run = execute(plan, session=session, store=store)
    rows = {row.index: row.metrics for row in store.generations(run.id)}
    spans: list[tuple[object, float, float]] = []
    for index, setting in enumerate(stages_of(plan)):
        begin, took = rows[index]["submitted"], rows[index]["request_latency"]
        assert begin is not None
        assert took is not None
        spans.append((setting, begin, begin + 0.02 * took))  # the script's seconds are shorter
    for earlier, later in pairwise(spans):
        assert later[1] >= earlier[1]
        if earlier[0] != later[0]:
            assert later[1] >= earlier[2]
    assert all(one.duration is not None for one in figures(run))
    assert figures(load(run.id, store)) == figures(run)


def test_the_model_keeps_to_the_lengths_and_its_cache_is_seen(store: Store) -> None:
    plan = latency(
        prompt_tokens=(60, 270), output_tokens=40, thinking_tokens=16, concurrency=2, requests=2
    )
    lab = read(execute(plan, store=store))
    assert [stage.setting.cached for stage in lab] == [False, True, False, True]
    for stage in lab:
        assert len(stage.good) == 2
        for reading in stage.good:
            asked = (stage.setting.prompt_tokens, stage.setting.output_tokens)
            assert (reading.metrics["prompt_tokens"], reading.metrics["output_tokens"]) == asked
            cached = reading.metrics["cached_tokens"]
            assert cached is not None
            if stage.setting.cached:
                assert cached == stage.setting.prompt_tokens - 1  # the last is always computed
            else:
                assert cached < 30  # what the chat format puts before every question
    said = conclusion(lab)
    assert "a prompt of 270 tokens found 269 of them in the cache" in said
