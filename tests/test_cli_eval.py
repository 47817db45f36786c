"""``workbench eval``: the plan first, pass@1 with intervals, and the way on after a stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench import experiments
from workbench.cli.app import run
from workbench.engines.scripted import ScriptedEngine
from workbench.evaluation import grading
from workbench.evaluation.graders.verdict import right
from workbench.experiments import evaluate
from workbench.experiments.plans import seed_for
from workbench.records import EngineSpec, Mode, Request
from workbench.store import Store

SPEC = EngineSpec(device="cpu", context=4000)  # told apart from no other: it is the demo's
SUITE = "".join(
    json.dumps({"id": f"sum-{n}", "prompt": f"{n}+1?", "answer": n + 1, "group": "sums"}) + "\n"
    for n in range(4)
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "home"


@pytest.fixture
def suite(tmp_path: Path) -> str:
    (tmp_path / "sums.jsonl").write_text(SUITE)
    return str(tmp_path / "sums.jsonl")


def answer(request: Request) -> str:
    """With reasoning on wrong for 3+1 alone; without it right for 0+1 alone, and 1+1 leaks."""
    first = int(request.messages[-1].text[0])
    if request.mode is Mode.ON:
        return f"<think>\n{first}+1\n</think>\n\n\\boxed{{{first + 1 if first < 3 else 7}}}"
    if first == 1:
        return "<think>\nnow it thinks\n</think>\n\\boxed{9}"
    return f"\\boxed{{{1 if first == 0 else 9}}}"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "workbench.session.open_engine",
        lambda spec: ScriptedEngine.answering(answer, spec=SPEC),
    )


def last(out: str) -> Any:
    return json.loads(out.splitlines()[-1], parse_constant=pytest.fail)


def newest() -> str:
    return Store(read_only=True).runs()[0].id


@pytest.fixture
def done(scripted: None, suite: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["eval", suite, "--mode", "on,off", "--samples", "2"]) == 0
    capsys.readouterr()
    return newest()


# --- the plan, and what comes of it ---------------------------------------------------------------


def test_the_plan_comes_first_then_partial_results_then_the_table(
    scripted: None, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", suite, "--mode", "on,off,off_prefilled", "--samples", "4"]) == 0
    out = capsys.readouterr().out
    told = [
        "evaluation: 3 grid cells, 24 requests to demo on exllama",
        "nothing like it has been measured yet",
        "mode on: pass@1 ",
        "pass@1   truncated   unclosed   leaked",
        "pass@1 is the mean over 4 problems",
        "On is right more often than off",
        f"Kept as run {newest()} in ",
    ]
    places = [out.index(text) for text in told]
    assert places == sorted(places)
    rows = {
        line.split()[0]: line.split() for line in out.splitlines() if "%" in line and line[0] != "m"
    }
    assert rows["on"][1:3] == ["16", "75.0%"]
    assert rows["off"][1:3] == ["4", "25.0%"], "greedy: asked once"
    assert "25.0%" in rows["off"][3:], "of four answers one leaked"


def test_json_is_the_last_line_and_has_a_row_an_arm(
    scripted: None, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", suite, "--samples", "3", "--json"]) == 0
    told = last(capsys.readouterr().out)
    assert (told["benchmark"], told["status"]) == (suite, "finished")
    arms = {arm["mode"]: arm for arm in told["arms"]}
    assert arms["on"]["accuracy"] == 0.75
    assert arms["on"]["accuracy_low"] < 0.75 < arms["on"]["accuracy_high"]
    assert arms["on"]["leaked_rate"] is None
    assert arms["off"]["leaked_rate"] == 0.25
    assert told["price"]["dear"] == "on"
    assert told["plan"]["requests"] == 4 * (3 + 1)


def test_a_dry_run_begins_nothing(
    suite: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", suite, "--samples", "16", "--max-tokens", "100", "--dry-run"]) == 0
    assert "68 requests" in capsys.readouterr().out
    assert run(["eval", "arithmetic", "--limit", "5", "--dry-run", "--json"]) == 0
    assert last(capsys.readouterr().out)["plan"]["requests"] == 10
    assert not home.exists()


def test_what_was_measured_tells_tokens_and_time(
    done: str, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", suite, "--samples", "8", "--dry-run", "--json"]) == 0
    plan = last(capsys.readouterr().out)["plan"]
    assert plan["expected_output_tokens"] > 0
    assert plan["expected_seconds"] > 0


# --- seeds and resuming --------------------------------------------------------------------------


def test_a_samples_seed_is_made_of_run_problem_and_sample_alone() -> None:
    plans = [
        evaluate("arithmetic", modes=modes, samples=3, limit=limit, seed=7)
        for modes, limit in ((["on"], 4), (["on", "off"], 4), (["off_prefilled", "on"], 4))
    ]
    seeds = [
        {
            (cell.problem.id, cell.sample): cell.request.sampling.seed
            for cell in plan.cells
            if cell.problem is not None and cell.request.mode is Mode.ON
        }
        for plan in plans
    ]
    assert seeds[0] == seeds[1] == seeds[2]
    assert len(set(seeds[0].values())) == 12
    assert all(seed == seed_for(7, *place) for place, seed in seeds[0].items())


def test_killed_it_is_resumed_and_asks_nothing_twice(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", "arithmetic", "--limit", "2", "--mode", "on", "--samples", "3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench.cli", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"WORKBENCH_HOME": str(home)},
    )
    try:
        wait_for(lambda: 0 < ended(home) < 6, process)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    with Store() as store:
        (row,) = store.runs()
        before = {one.index: store.generation(row.id, one.index).ids for one in ended_rows(store)}
    assert run(["eval", "--resume", row.id, "--json"]) == 0
    assert last(capsys.readouterr().out)["status"] == "finished"
    again = experiments.load(row.id)
    ids = {index: one.ids for index, one in again.generations.items()}
    assert len(ids) == 6
    assert before.items() <= ids.items(), "nothing is asked twice"


def ended_rows(store: Store) -> list[Any]:
    return [one for one in store.rows(store.runs()[0].id) if one.end is not None]


def ended(home: Path) -> int:
    if not (home / "runs.sqlite").exists():
        return 0
    with Store(read_only=True) as store:
        return len(ended_rows(store)) if store.runs() else 0


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_how_far_it_is_can_be_seen_at_any_time(
    scripted: None, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = evaluate(suite, samples=2)
    with Store() as store:
        row = store.begin_run(plan, {})  # as if another process were at it
        assert run(["eval", "--resume", row, "--dry-run", "--json"]) == 0
        told = last(capsys.readouterr().out)
        assert [(arm["generations"], arm["accuracy"]) for arm in told["arms"]] == [(0, None)] * 2
        store.finish_run(row, "interrupted")
    assert run(["eval", "--resume", row, "--json"]) == 0
    assert last(capsys.readouterr().out)["arms"][0]["accuracy"] == 0.75


# --- what was wrong, and grading again -----------------------------------------------------------


def test_wrong_answers_are_listed_with_what_was_read_and_why(
    done: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", "show", done, "--wrong", "--no-text"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.strip()[:1].isdigit()]
    assert [row[1] for row in rows] == ["sum-3", "sum-3", "sum-1", "sum-2", "sum-3"]
    assert all(row[-1] == "different" for row in rows)
    assert rows[0][-3:-1] == ["7", "4"], "what was read, and what is right"


def test_grading_again_needs_no_model_and_changes_nothing(
    done: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("workbench.session.open_engine", lambda spec: pytest.fail("a model"))
    before = Store(read_only=True).scores(done)
    assert run(["runs", "regrade", done]) == 0
    assert "every score is what it was" in capsys.readouterr().out
    assert Store(read_only=True).scores(done) == before


def test_what_grading_again_changes_is_told(
    done: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = dict(grading.GRADERS) | {"boxed": lambda *_: right("all", "kind", "lenient")}
    monkeypatch.setattr(grading, "GRADERS", everything)
    assert run(["runs", "regrade", done, "--json"]) == 0
    told = last(capsys.readouterr().out)
    assert told["after"] == {"on": {"right": 8}, "off": {"right": 4}}
    assert told["before"]["on"] == {"right": 6, "wrong": 2}
    assert [change["after"]["by"] for change in told["changes"]] == ["lenient"] * 12
    assert experiments.load(done).scores[-1].reason == "kind"


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "There is nothing to evaluate. Name a benchmark (math500"),
        (["arithmetic", "--mode", "maybe"], "maybe"),
        (["arithmetic", "--samples", "0"], "--samples"),
        (["arithmetic", "--limit", "0"], "--limit"),
        (["arithmetic", "--max-tokens", "0"], "--max-tokens"),
        (["arithmetic", "--model", "no-such"], "There is no model 'no-such'"),
        (["arithmetic", "--engine", "abacus"], "There is no engine called 'abacus'"),
        (["mathfivehundred"], "math500"),
        (["math500", "--data", "missing.jsonl"], "missing.jsonl"),
        (["--resume", "2099"], "2099"),
        (["--resume", "2099", "--samples", "3"], "2099"),
    ],
)
def test_what_cannot_be(
    options: list[str], says: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", *options]) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert not (home / "runs.sqlite").exists()


def test_another_kind_of_run_is_not_resumed_as_an_evaluation(
    scripted: None, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sweep", suite]) == 0
    sweep = newest()
    capsys.readouterr()
    assert run(["eval", "--resume", sweep]) == 2
    assert f"`workbench sweep --resume {sweep}` does." in capsys.readouterr().err


def test_a_resumed_run_keeps_its_plan(
    done: str, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", "--resume", done, "--samples", "3"]) == 2
    assert "keeps its plan" in capsys.readouterr().err
    assert run(["eval", suite, "--resume", done, "--samples", "3"]) == 2
    assert "was begun with another plan" in capsys.readouterr().err
