"""A plan says exactly what will be asked, and refuses what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.errors import InvalidInput
from workbench.experiments.plans import compare, seed_for
from workbench.records import EngineSpec, Mode, Problem


def test_three_arms_as_the_card_recommends() -> None:
    plan = compare("What is 1+1?")
    assert [cell.request.mode for cell in plan.cells] == [Mode.ON, Mode.OFF, Mode.OFF_PREFILLED]
    drawn = [(c.request.sampling.temperature, c.request.sampling.top_p) for c in plan.cells]
    assert drawn == [(0.6, 0.95), (0.0, 1.0), (0.0, 1.0)]
    assert {cell.problem for cell in plan.cells} == {Problem("prompt-1", "What is 1+1?")}
    assert all(cell.request.logprobs for cell in plan.cells)
    assert str(plan) == (
        "compare: 3 requests to demo on exllama; mode [on, off, off_prefilled] × problem [prompt-1]"
    )


def test_greedy_arms_are_asked_once() -> None:
    plan = compare(["a", "b"], samples=3)
    counts = {mode: sum(cell.request.mode is mode for cell in plan.cells) for mode in Mode}
    assert counts == {Mode.ON: 6, Mode.OFF: 2, Mode.OFF_PREFILLED: 2}
    warm = compare(["a", "b"], samples=3, temperature=0.5)
    assert len(warm) == 18


def test_seeds_depend_on_problem_and_sample_only() -> None:
    plan = compare(["a", "b"], samples=2, temperature=1.0, seed=7)
    seeds = {
        (c.problem.id if c.problem else "", c.sample): c.request.sampling.seed for c in plan.cells
    }
    assert len(set(seeds.values())) == 4
    for cell in plan.cells:
        assert cell.problem is not None
        assert cell.request.sampling.seed == seed_for(7, cell.problem.id, cell.sample)
    alone = compare([Problem("prompt-2", "b")], temperature=1.0, seed=7)
    assert alone.cells[0].request.sampling.seed == seeds["prompt-2", 0]
    assert seed_for(8, "prompt-2", 0) != seed_for(7, "prompt-2", 0)
    assert 0 <= seed_for(0, "\ud800", 0) < 2**64


def test_settings_apply_to_all_arms_and_none_means_recommended() -> None:
    plan = compare("x", temperature=None, max_tokens=9, stop=("!",), modes=["off", "on"])
    assert [cell.request.sampling.max_tokens for cell in plan.cells] == [9, 9]
    assert plan.cells[1].request.sampling.temperature == 0.6
    assert plan.cells[0].request.sampling.stop == ("!",)


def test_a_whole_specification_is_taken_as_it_is() -> None:
    spec = EngineSpec(kind="reference", model="m", context=512)
    assert {cell.spec for cell in compare("x", engine=spec, model="ignored").cells} == {spec}


def test_modes_are_taken_once() -> None:
    assert len(compare("x", modes=["on", Mode.ON])) == 1


@pytest.mark.parametrize(
    ("prompts", "settings", "says"),
    [
        ([], {}, "nothing to ask"),
        ("", {}, "prompt is empty"),
        (" \n", {}, "prompt is empty"),
        ("x", {"modes": ["sideways"]}, "no mode 'sideways'"),
        ("x", {"modes": []}, "No mode"),
        ("x", {"samples": 0}, "0 samples"),
        ("x", {"temperature": -0.1}, "temperature is -0.1"),
        ("x", {"temperature": float("nan")}, "temperature is nan"),
        ("x", {"top_p": 0.0}, "top-p is 0.0"),
        ("x", {"top_p": 1.5}, "top-p is 1.5"),
        ("x", {"max_tokens": 0}, "max-tokens is 0"),
        ("x", {"heat": 1}, "no setting 'heat'"),
        ([Problem("a", "x"), Problem("a", "y")], {}, "Two problems are called 'a'"),
    ],
)
def test_what_cannot_be_is_refused(prompts: Any, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        compare(prompts, **settings)
    assert caught.value.remedy
