"""What a plan is expected to take: the mean of what is most alike, and nothing made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench import codec
from workbench.experiments import expectation
from workbench.experiments.expectation import expected, history
from workbench.experiments.plans import compare
from workbench.experiments.sweeps import sweep
from workbench.records import (
    Cell,
    EngineSpec,
    Expected,
    Finished,
    FinishReason,
    Generation,
    Plan,
    Problem,
    Started,
)
from workbench.store import Store

EASY, HARD = Problem("e", "1+1?", "2", "easy"), Problem("h", "9*9+8*7?", "137", "hard")
Tokens = Callable[[Cell], dict[str, float | None]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as opened:
        yield opened


def measured(
    store: Store,
    plan: Plan,
    tokens: Tokens,
    *,
    at_once: int | None = 1,
    reason: FinishReason = "stop",
    **flags: bool,
) -> None:
    """Keep a run of the plan whose generations were of these lengths."""
    run = store.begin_run(plan, {} if at_once is None else {"concurrency": at_once})
    for index, cell in enumerate(plan.cells):
        recorder = store.begin_generation(run, index, cell)
        done = replace(cell.spec, device="cpu")
        generation = Generation(cell.request, done, (Started(0.0, 9), Finished(9.0, reason)))
        recorder.finish(generation, tokens(cell), flags)
    store.finish_run(run)


def lasting(output: float, thinking: float = 0, latency: float | None = None) -> Tokens:
    told = {"output_tokens": output, "thinking_tokens": thinking, "request_latency": latency}
    return lambda cell: told


def by_group(cell: Cell) -> dict[str, float | None]:
    assert cell.problem is not None
    hard = cell.problem.group == "hard"
    return {"output_tokens": 300.0 if hard else 100.0, "request_latency": 3.0 if hard else 1.0}


# --- lengths -------------------------------------------------------------------------------------


def test_nothing_is_expected_where_nothing_was_measured(store: Store, home: Path) -> None:
    plan = sweep([EASY])
    assert plan.expected is None
    assert str(plan).endswith("\n  nothing like it has been measured yet")
    assert history(None, plan)(plan.cells[0]) is None
    assert not home.exists(), "looking makes nothing"
    assert expected([], store) is None


def test_a_group_is_expected_to_be_as_it_was(store: Store) -> None:
    measured(store, sweep([EASY, HARD], temperature=[0.2, 0.4]), by_group)
    plan = sweep([EASY, HARD, Problem("o", "?", group="odd")], temperature=[0.9], store=store)
    lengths = history(store, plan)
    assert [lengths(cell) for cell in plan.cells] == [100, 300, 200]
    assert plan.expected == Expected(600.0, 6.0, 4)
    assert plan.cost == "about 600 tokens, 6 s, by 4 generations measured before"
    assert str(plan) == f"{plan.title}\n  {plan.cost}"
    assert codec.from_json(Plan, codec.to_json(plan)) == plan


def test_the_same_temperature_goes_before_others(store: Store) -> None:
    measured(store, sweep([EASY], temperature=0.2), lasting(50))
    measured(store, sweep([EASY], temperature=1.2), lasting(90))
    lengths = history(store, sweep([EASY]))
    asked = [sweep([EASY], temperature=heat).cells[0] for heat in (0.2, 1.2, 0.7)]
    assert [lengths(cell) for cell in asked] == [50, 90, 70]


def test_what_had_no_limit_is_cut_at_the_cells_own(store: Store) -> None:
    measured(store, sweep([EASY]), lasting(100, thinking=80))
    lengths = history(store, sweep([EASY]))

    def length(**settings: Any) -> float | None:
        return lengths(sweep([EASY], **settings).cells[0])

    assert length(thinking_tokens=16) == 36
    assert length(thinking_tokens=200) == 100
    assert length(max_tokens=30) == 30
    assert length(thinking_tokens=16, max_tokens=30) == 30
    assert length(min_tokens=150) == 150
    assert length(min_tokens=64, max_tokens=64) == 64


def test_what_was_cut_does_not_speak_for_what_is_not(store: Store) -> None:
    measured(store, sweep([EASY], max_tokens=10), lasting(10), reason="length")
    plan = sweep([EASY])
    assert history(store, plan)(plan.cells[0]) == 10, "better than nothing"
    measured(store, sweep([EASY], thinking_tokens=4), lasting(20, 5), forced_close=True)
    measured(store, sweep([EASY], max_tokens=500), lasting(70, 50))
    assert history(store, plan)(plan.cells[0]) == 70
    tight = sweep([EASY], thinking_tokens=4)
    assert history(store, tight)(tight.cells[0]) == 20, "the same budget"


def test_other_models_engines_and_modes_say_nothing(store: Store) -> None:
    measured(store, sweep([EASY], mode=["on"]), lasting(100, latency=1.0))
    assert sweep([EASY], mode="off", store=store).expected is None
    assert sweep([EASY], mode=["on", "off"], store=store).expected is None
    assert sweep([EASY], model="other", store=store).expected is None
    assert sweep([EASY], engine="reference", store=store).expected is None
    assert sweep([EASY], store=store).expected is not None


def test_fixed_lengths_need_no_history(store: Store) -> None:
    plan = sweep([EASY, HARD], min_tokens=32, max_tokens=32, store=store)
    assert plan.expected == Expected(64.0, None, 0)
    assert plan.cost == "about 64 tokens, time unknown"


@pytest.mark.parametrize("reason", ["cancelled"])
def test_what_was_stopped_is_no_measurement(store: Store, reason: FinishReason) -> None:
    measured(store, sweep([EASY]), lasting(3), reason=reason)
    assert sweep([EASY], store=store).expected is None


# --- seconds -------------------------------------------------------------------------------------


def test_seconds_come_from_runs_with_as_many_under_way(store: Store) -> None:
    problems = [Problem(f"p{n}", f"{n}?") for n in range(64)]
    measured(store, sweep(problems), lasting(100, latency=8.0), at_once=64)  # 800 tokens/s
    together = sweep(problems, store=store).expected
    assert together == Expected(6400.0, 8.0, 64)
    few = sweep(problems[:4], store=store).expected
    assert few == Expected(400.0, None, 64), "how fast four are was never seen"
    measured(store, sweep(problems[:5]), lasting(100, latency=2.0), at_once=5)  # 250 tokens/s
    again = sweep(problems[:4], store=store).expected
    assert again is not None
    assert again.seconds == pytest.approx(400 / 250)


def test_a_comparison_noted_how_many_were_under_way(store: Store) -> None:
    plan = compare([EASY, HARD], modes=["on"])
    measured(store, plan, lasting(100, latency=2.0), at_once=2)
    found = expected(plan.cells, store)
    assert found == Expected(200.0, 2.0, 2)


def test_stages_of_a_run_have_speeds_of_their_own(store: Store) -> None:
    problems = [Problem(f"p{n}", f"{n}?") for n in range(32)]
    alone = [replace(cell, concurrency=1) for cell in sweep(problems).cells]
    both = Plan("latency", (*alone, *(replace(cell, concurrency=32) for cell in alone)))
    latencies = {1: 1.0, 32: 8.0}
    measured(
        store,
        both,
        lambda c: {"output_tokens": 100.0, "request_latency": latencies[c.concurrency or 0]},
        at_once=32,
    )
    found = expected(both.cells, store)
    assert found is not None
    assert found.seconds == pytest.approx(32 * 1.0 + 8.0)


def test_a_device_that_was_never_timed_has_no_seconds(store: Store) -> None:
    measured(store, sweep([EASY]), lasting(100, latency=1.0))
    found = sweep([EASY], engine=EngineSpec(device="cuda:0"), store=store).expected
    assert found == Expected(100.0, None, 1)
    assert "time unknown" in str(found)


# --- a store that cannot be read -----------------------------------------------------------------


@pytest.mark.parametrize("content", [b"not a database", b"\0" * 9000, b""])
def test_a_store_that_cannot_be_read_has_measured_nothing(home: Path, content: bytes) -> None:
    home.mkdir()
    (home / "runs.sqlite").write_bytes(content)
    plan = sweep([EASY])
    assert plan.expected is None
    assert history(None, plan)(plan.cells[0]) is None
    assert (home / "runs.sqlite").read_bytes() == content


def test_a_home_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "file"))
    assert sweep([EASY]).expected is None


def test_only_the_latest_are_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(store, sweep([EASY]), lasting(10))
    measured(store, sweep([EASY, HARD]), lasting(20))
    monkeypatch.setattr(expectation, "_ROWS", 2)
    found = sweep([EASY], store=store).expected
    assert found is not None
    assert (found.output_tokens, found.basis) == (20, 1)


# --- as it is printed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "seconds", "basis", "says"),
    [
        (43210.0, 125.0, 36, "about 43,000 tokens, 2 min, by 36 generations measured before"),
        (7.0, 0.2, 1, "about 7 tokens, under a second, by 1 generation measured before"),
        (1234567.0, 8000.0, 1200, "about 1,200,000 tokens, 2.2 h, by 1,200 generations"),
        (100.0, None, 3, "about 100 tokens, time unknown, by 3"),
        (96.0, 59.4, 3, "about 96 tokens, 59 s"),
    ],
)
def test_expectations_in_words(tokens: float, seconds: float | None, basis: int, says: str) -> None:
    assert str(Expected(tokens, seconds, basis)).startswith(says)


def test_a_plan_in_words() -> None:
    plan = sweep([EASY, HARD], temperature=[0, 0.5, 1], top_p=[0.5, 1], replicates=2)
    assert plan.title == (
        "sweep: 5 grid cells, 18 requests to demo on exllama; mode [on] × "
        "temperature [0.0, 0.5, 1.0] × top_p [0.5, 1.0] × problem [e, h] × sample [0, 1]"
    )
    assert "\n" not in plan.title
