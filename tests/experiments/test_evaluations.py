"""An evaluation asks what the model card asks, once where nothing is drawn, and only what fits."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

from workbench import codec
from workbench.engines.prompts import prompt_ids
from workbench.errors import InvalidInput
from workbench.experiments import evaluate
from workbench.experiments.grid import coordinates
from workbench.experiments.lengths import fitted, limits
from workbench.experiments.plans import seed_for
from workbench.models.catalogue import locate
from workbench.models.template import chat_format
from workbench.models.tokenizer import Tokenizer
from workbench.records import EngineSpec, Mode, Plan, Problem

CONTEXT = 2048  # of the embedded model
WIDE = "nemotron-nano-8b"  # 131,072


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def most(plan: Plan) -> list[int | None]:
    return [cell.request.sampling.max_tokens for cell in plan.cells]


# --- what is asked -------------------------------------------------------------------------------


def test_each_mode_as_the_card_samples_it_and_greedy_ones_once(home: Path) -> None:
    plan = evaluate("arithmetic", modes=list(Mode), samples=16, limit=3, model=WIDE)
    assert plan.kind == "evaluation"
    assert Counter(cell.request.mode for cell in plan.cells) == {"on": 48, "off": 3} | {
        "off_prefilled": 3
    }
    drawn = {cell.request.mode: cell.request.sampling for cell in plan.cells}
    assert (drawn[Mode.ON].temperature, drawn[Mode.ON].top_p) == (0.6, 0.95)
    assert drawn[Mode.OFF].temperature == drawn[Mode.OFF_PREFILLED].temperature == 0
    assert set(most(plan)) == {32_768}
    assert {cell.concurrency for cell in plan.cells} == {None}, "all that fit at once"
    assert not home.exists(), "a plan writes nothing"


def test_its_axes_name_the_benchmark_and_tell_its_cells_apart() -> None:
    plan = evaluate("arithmetic", modes=["on", "off"], samples=2, limit=2)
    assert list(plan.axes) == ["benchmark", "mode", "problem", "sample"]
    assert plan.axes["benchmark"] == ("arithmetic",)
    assert "benchmark [arithmetic]" in plan.title
    assert coordinates(plan)[0] == {"mode": "on"}
    assert codec.from_json(Plan, codec.loads(codec.dumps(codec.to_json(plan)))) == plan


def test_a_problem_and_sample_have_one_seed_in_every_mode_and_engine() -> None:
    specs = [EngineSpec(cache="fp16"), EngineSpec(cache="fp32")]
    plan = evaluate(samples=3, limit=2, seed=7, engine=specs, temperature=0.5)
    assert len(plan) == 2 * 2 * 3 * 2
    items: dict[tuple[str, Mode], list[tuple[Problem, int, int]]] = {}
    for cell in plan.cells:
        assert cell.problem is not None
        assert cell.request.sampling.seed == seed_for(7, cell.problem.id, cell.sample)
        place = (cell.spec.cache, cell.request.mode)
        items.setdefault(place, []).append((cell.problem, cell.sample, cell.request.sampling.seed))
    assert len(items) == 4
    assert all(a == b for a, b in itertools.pairwise(items.values()))


def test_another_seed_gives_other_draws() -> None:
    first, second = (evaluate(limit=3, seed=seed) for seed in (0, 1))
    seeds = [{cell.request.sampling.seed for cell in plan.cells} for plan in (first, second)]
    assert not seeds[0] & seeds[1]


def test_settings_of_the_caller_win_and_may_be_axes() -> None:
    plan = evaluate(modes="on", limit=2, samples=2, temperature=[0, 1.0], thinking_tokens=8)
    sampling = [cell.request.sampling for cell in plan.cells]
    assert [one.temperature for one in sampling] == [0, 0, 1, 1, 1, 1]
    assert {one.thinking_tokens for one in sampling} == {8}
    assert plan.axes["temperature"] == (0, 1)


# --- how long answers may become -----------------------------------------------------------------


def test_a_limit_that_does_not_fit_gives_way_to_what_the_context_leaves() -> None:
    plan = evaluate(limit=3)
    assert set(most(plan)) == {None}
    assert (
        limits(plan) == "An answer may take what the prompt leaves of the context (2,048 tokens)."
    )
    assert limits(evaluate(limit=3, max_tokens=64)) == "An answer may take at most 64 new tokens."


def test_the_narrow_band_is_counted_to_the_token() -> None:
    folder = locate("demo")
    form = chat_format(folder, Tokenizer.from_folder(folder))
    free = evaluate(limit=4, modes="on", max_tokens=None)
    left = [CONTEXT - len(prompt_ids(form, cell.request)) for cell in free.cells]
    assert len(set(left)) > 1, "prompts differ in length"
    for asked in (min(left), min(left) + 1, max(left), max(left) + 1):
        plan = evaluate(limit=4, modes="on", max_tokens=asked)
        assert most(plan) == [asked if asked <= room else None for room in left]


def test_an_engine_that_holds_less_than_its_context() -> None:
    plan = evaluate(limit=2, model=WIDE)
    opened = EngineSpec(model=WIDE, context=131_072, cache_tokens=16_384)
    assert {c.request.sampling.max_tokens for c in fitted(plan.cells, opened)} == {None}
    roomy = EngineSpec(model=WIDE, context=131_072, cache_tokens=65_536)
    assert fitted(plan.cells, roomy) == plan.cells


def test_what_the_caller_gives_as_context_counts() -> None:
    spec = EngineSpec(model=WIDE, context=8192)
    assert set(most(evaluate(limit=2, engine=spec))) == {None}
    assert set(most(evaluate(limit=2, engine=spec, max_tokens=4096))) == {4096}
    unknown = EngineSpec(kind="scripted", model="anything")
    assert set(most(evaluate(limit=2, engine=unknown))) == {32_768}


# --- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"samples": 2.5}, "samples has the value 2.5"),
        ({"limit": 0}, "0 problems"),
        ({"modes": "maybe"}, "There is no mode 'maybe'"),
        ({"modes": ["on", "on"]}, "mode has on twice"),
        ({"max_tokens": 0}, "max-tokens is 0"),
        ({"warmth": 1}, "no setting 'warmth'"),
        ({"benchmark": "no-such-benchmark"}, "no-such-benchmark"),
        ({"limit": 1000, "samples": 10**6}, "The evaluation has 1,000,001,000 requests"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        evaluate(**options)  # type: ignore[arg-type]
    assert says in str(caught.value)
