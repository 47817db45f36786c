"""A sweep asks every combination once, and refuses what cannot be before it builds anything."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import codec
from workbench.errors import InvalidInput
from workbench.evaluation.problems import arithmetic_suite
from workbench.experiments import axes, sweeps
from workbench.experiments.plans import seed_for
from workbench.experiments.sweeps import sweep
from workbench.records import EngineSpec, Mode, Plan, Problem


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def places(plan: Plan) -> list[tuple[Any, ...]]:
    """Where each cell stands on the axes of its plan."""
    return [
        tuple(axes.value_of(cell, name, values) for name, values in plan.axes.items())
        for cell in plan.cells
    ]


WARM, MASSES = [0.2, 0.4, 0.6, 0.8, 1.0, 1.2], [0.5, 0.8, 0.95, 1]


def test_six_by_four_by_sixteen(home: Path) -> None:
    plan = sweep(arithmetic_suite(16), temperature=WARM, top_p=MASSES)
    assert len(plan) == 6 * 4 * 16
    assert plan.kind == "sweep"
    assert list(plan.axes) == ["mode", "temperature", "top_p", "problem"]
    assert plan.axes["temperature"] == tuple(WARM)
    assert len(set(places(plan))) == 384
    assert places(plan) == list(itertools.product(*plan.axes.values()))
    assert {cell.concurrency for cell in plan.cells} == {None}
    assert not home.exists(), "a plan writes nothing"


def test_a_greedy_combination_is_asked_once() -> None:
    plan = sweep(["a", "b"], temperature=[0, *WARM], top_p=MASSES, replicates=3)
    assert len(plan) == (6 * 4 * 3 + 1) * 2
    greedy = [cell for cell in plan.cells if cell.request.sampling.temperature == 0]
    assert [(c.request.sampling.top_p, c.sample) for c in greedy] == [(0.5, 0), (0.5, 0)]
    budgets = sweep("a", temperature=0, top_k=[1, 5], min_p=[0, 0.1], max_tokens=[9, None])
    assert [cell.request.sampling.max_tokens for cell in budgets.cells] == [9, None]
    both = sweep("a", mode=["on", "off"], top_p=[0.5, 1], replicates=4)
    assert Counter(c.request.mode for c in both.cells) == {Mode.ON: 8, Mode.OFF: 1}


def test_what_is_left_out_is_what_the_card_recommends() -> None:
    plan = sweep("a", mode=["on", "off"], thinking_tokens=[16, None], temperature=None)
    assert [c.request.sampling.temperature for c in plan.cells] == [0.6, 0.6, 0.0, 0.0]
    assert plan.axes["thinking_tokens"] == (16, None)
    assert [c.request.sampling.thinking_tokens for c in plan.cells] == [16, None] * 2
    single = sweep("a", thinking_tokens=None, max_tokens=7)
    assert list(single.axes) == ["mode", "problem"]
    assert single.cells[0].request.sampling.max_tokens == 7


def test_a_problem_and_sample_have_one_seed_everywhere() -> None:
    plan = sweep(["a", "b"], temperature=WARM, mode=["on", "off"], replicates=2, seed=5)
    for cell in plan.cells:
        assert cell.problem is not None
        assert cell.request.sampling.seed == seed_for(5, cell.problem.id, cell.sample)
    assert plan.axes["sample"] == (0, 1)


def test_numbers_of_any_kind_become_plain_ones() -> None:
    plan = sweep("a", temperature=np.array([0.5, 1.0]), top_k=np.arange(2), top_p=(x for x in [1]))
    sampling = plan.cells[0].request.sampling
    assert [type(v) for v in (sampling.temperature, sampling.top_k, sampling.top_p)] == [
        float,
        int,
        float,
    ]
    assert str(sweep("a", temperature=-0.0).cells[0].request.sampling.temperature) == "0.0"


def test_models_and_engines_are_axes_too() -> None:
    plan = sweep("a", model=["demo", "other"], engine=["exllama", "reference"], mode=["on", "off"])
    assert list(plan.axes) == ["engine", "model", "mode", "problem"]
    assert len(set(places(plan))) == len(plan) == 8
    kinds = [cell.spec.kind for cell in plan.cells]
    assert kinds == sorted(kinds), "each engine is loaded once"
    specs = [EngineSpec(context=n) for n in (100, 200)]
    assert sweep("a", engine=specs).axes["context"] == (100, 200)
    odd = [EngineSpec("exllama", "demo"), EngineSpec("reference", "other")]
    unlike = sweep("a", engine=odd)
    assert unlike.axes["engine"] == tuple(odd)
    assert [place[0] for place in places(unlike)] == odd
    assert codec.from_json(Plan, codec.to_json(unlike)) == unlike


def test_a_plan_survives_the_store() -> None:
    plan = sweep(["a"], temperature=[0, 0.5], thinking_tokens=[None, 5], mode=list(Mode))
    assert codec.from_json(Plan, codec.loads(codec.dumps(codec.to_json(plan)))) == plan


@given(
    temperatures=st.lists(st.sampled_from([0, 0.5, 1.0]), min_size=1, unique=True),
    masses=st.lists(st.sampled_from([0.5, 0.9, 1.0]), min_size=1, unique=True),
    modes=st.lists(st.sampled_from(list(Mode)), min_size=1, unique=True),
    budgets=st.lists(st.sampled_from([None, 3, 9]), min_size=1, unique=True),
    warm=st.booleans(),
    replicates=st.integers(1, 3),
)
def test_the_count_is_known_before_anything_is_built(
    temperatures: list[float],
    masses: list[float],
    modes: list[Mode],
    budgets: list[int | None],
    warm: bool,
    replicates: int,
) -> None:
    settings: dict[str, Any] = {"top_p": masses, "thinking_tokens": budgets}
    if warm:
        settings["temperature"] = temperatures
    plan = sweep(["a", "b"], mode=modes, replicates=replicates, **settings)
    known = sweeps._settings_count(modes, axes.settings(settings), replicates)
    assert len(plan) == 2 * known
    asked = [(c.request.mode, c.request.sampling, c.problem, c.sample) for c in plan.cells]
    assert len(set(asked)) == len(asked), "nothing is asked twice"


def test_more_than_a_million_requests_are_refused_by_their_count() -> None:
    many = [n / 1000 + 0.001 for n in range(1000)]
    with pytest.raises(InvalidInput, match="1,001,000 requests; at most 1,000,000") as caught:
        sweep("a", temperature=many, top_p=many[:143], top_k=range(7))
    assert caught.value.remedy
    with pytest.raises(InvalidInput, match="has 16,000,000,000 requests"):
        sweep(arithmetic_suite(16), temperature=many, top_p=many, replicates=1000)
    with pytest.raises(InvalidInput, match="more than 1,000,000 values"):
        sweep("a", top_k=itertools.count())


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"temperature": NAN}, "temperature is nan"),
        ({"temperature": [0.1, INF]}, "temperature is inf"),
        ({"temperature": [0.1, -0.1]}, "temperature is -0.1"),
        ({"top_p": [0.5, 1.5]}, "top-p is 1.5"),
        ({"top_p": 0}, "top-p is 0"),
        ({"temperature": []}, "temperature has no values"),
        ({"top_k": range(9, 3)}, "top_k has no values.*smaller to its larger"),
        ({"temperature": [0.5, 1, 0.5]}, "temperature has 0.5 twice"),
        ({"top_p": [1, 1.0]}, "top_p has 1.0 twice"),
        ({"max_tokens": [None, 5, None]}, "max_tokens has None twice"),
        ({"mode": ["on", "off", "on"]}, "mode has on twice"),
        ({"model": ["demo", "demo"]}, "model has 'demo' twice"),
        ({"engine": [EngineSpec(), EngineSpec()]}, "twice"),
        ({"mode": []}, "mode has no values"),
        ({"mode": "maybe"}, "no mode 'maybe'"),
        ({"mode": 3}, "no mode '3'"),
        ({"heat": 1}, "no setting 'heat'.*max_tokens.*temperature"),
        ({"stop": "x"}, "no setting 'stop'"),
        ({"temperature": "0.5"}, "temperature has the value '0.5'; it must be a number"),
        ({"temperature": ["0.5"]}, "must be a number"),
        ({"temperature": True}, "temperature has the value True"),
        ({"temperature": [None, 0.5]}, "temperature has the value None"),
        ({"temperature": [[0.5]]}, r"temperature has the value \[0.5\]"),
        ({"temperature": {0.5: 1}}, "temperature is a dict"),
        ({"temperature": {0.5}}, "temperature is a set"),
        ({"temperature": 10**400}, "temperature has the value 1000"),
        ({"temperature": 1j}, "must be a number"),
        ({"max_tokens": 1.5}, "max_tokens has the value 1.5; it must be a whole number"),
        ({"max_tokens": 0}, "max-tokens is 0"),
        ({"thinking_tokens": -1}, "thinking-tokens is -1"),
        ({"replicates": 0}, "replicates is 0"),
        ({"replicates": 2.5}, "replicates has the value 2.5"),
        ({"replicates": True}, "replicates has the value True"),
        ({"model": 7}, "model has the value 7"),
        ({"engine": ""}, "engine has the value ''"),
        ({"engine": ["exllama", EngineSpec()]}, "by name and as spec"),
        ({"engine": EngineSpec(), "model": ["a", "b"]}, "by name and as spec"),
        ({"alternatives": -1}, "alternatives is -1"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        sweep("What?", **settings)
    assert caught.match(says)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("problems", "says"),
    [
        ([], "nothing to ask"),
        (None, "nothing to ask in None"),
        (7, "nothing to ask in 7"),
        ([7], "prompt of problem 1 is of type int"),
        (["a", None], "prompt of problem 2 is of type NoneType"),
        ([Problem("a", "x", 7)], "answer of problem 1 is of type int"),  # type: ignore[arg-type]
        ("  ", "prompt is empty"),
        ([Problem("a", "x"), Problem("a", "y")], "Two problems are called 'a'"),
    ],
)
def test_problems_that_cannot_be_asked_are_refused(problems: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        sweep(problems)
    assert caught.value.remedy
