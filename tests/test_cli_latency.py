"""``workbench latency``: the table, the document, and what is said of what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench import experiments
from workbench.cli.app import run
from workbench.engines.scripted import ScriptedEngine
from workbench.records import EngineSpec
from workbench.store import Store

SPEC = EngineSpec(kind="scripted", model="demo", device="cpu", context=4000)
TEXT = "<think>\nHm.\n</think>\n\nSo \x1b[2J it is, and it goes on."
SMALL = [
    "--prompt-tokens",
    "64",
    "--output-tokens",
    "30",
    "--concurrency",
    "1,2",
    "--requests",
    "2",
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "150")
    return tmp_path / "home"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every engine follows a script, a hundred times as fast as it says."""
    monkeypatch.setattr(
        "workbench.session.open_engine",
        lambda spec: ScriptedEngine.answering(TEXT, spec=SPEC, pace=0.01, token_seconds=0.02),
    )


@pytest.mark.usefixtures("scripted")
def test_a_table_a_paragraph_and_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["latency", *SMALL, "--goodput", "ttft=9,itl=9"]) == 0
    said = capsys.readouterr().out
    heads = next(line for line in said.splitlines() if "TTFT" in line and "prompt" in line)
    for head in ("at once", "p99", "ITL", "tok/s", "req/s", "good/s"):
        assert head in heads
    # The script's: 50 ms of prefill and a token every 20 ms.
    assert "the first token came after 70 ms, then one every 20 ms" in " ".join(said.split())
    assert "Goodput (time to first token at most 9 s" in " ".join(said.split())
    assert f"Kept as run {Store().runs()[0].id}" in said
    assert "\x1b" not in said
    assert run(["runs", "show", Store().runs()[0].id, "--no-text"]) == 0
    again = capsys.readouterr().out
    assert "the first token came after 70 ms" in " ".join(again.split())


@pytest.mark.usefixtures("scripted")
def test_the_document_is_in_aiperfs_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["latency", *SMALL, "--goodput", "ttft=9", "--json"]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    said: dict[str, Any] = json.loads(line)
    assert said["time_to_first_token"]["unit"] == "ms"
    assert {"avg", "min", "max", "std", "p1", "p50", "p99"} <= set(said["time_to_first_token"])
    assert said["request_count"]["avg"] == 8
    assert said["good_request_count"]["avg"] == 8
    assert said["warm_up_requests"] == 6
    assert said["objectives"] == {"time_to_first_token": 9}
    assert [(s["concurrency"], s["cached"]) for s in said["stages"]] == [
        (1, False),
        (1, True),
        (2, False),
        (2, True),
    ]
    for stage in said["stages"]:
        assert (stage["side"], stage["prompt_tokens"], stage["output_tokens"]) == (None, 64, 30)
        assert stage["metrics"]["output_sequence_length"]["avg"] == 30
        assert stage["metrics"]["output_token_throughput"]["avg"] > 0
    assert experiments.load(said["run"]).status == "finished"


@pytest.mark.usefixtures("scripted")
def test_several_models_or_engines_are_sides(
    capsys: pytest.CaptureFixture[str], model_folder: Path
) -> None:
    both = ["--model", "demo", "--model", str(model_folder), "--no-cached"]
    assert run(["latency", *SMALL, *both, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [stage["side"] for stage in said["stages"]] == ["demo"] * 2 + [str(model_folder)] * 2
    assert not any(stage["cached"] for stage in said["stages"])


def test_nothing_but_failures_is_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "workbench.session.open_engine", lambda spec: ScriptedEngine.answering({}, spec=SPEC)
    )
    assert run(["latency", *SMALL]) == 2
    captured = capsys.readouterr()
    assert "The script has no answer" in captured.err
    assert "TTFT" not in captured.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--prompt-tokens", "x"], "--prompt-tokens"),
        (["--concurrency", "0"], "concurrency is 0"),
        (["--prompt-tokens", "5000"], "largest prompt that fits with 64 is 1,984"),
        (["--goodput", "ttft"], "'ttft' is no objective"),
        (["--goodput", "speed=3"], "no metric 'speed'"),
        (["--goodput", ","], "No objective"),
        (["--mode", "loud"], "no mode 'loud'"),
        (["--model", "nope"], "no model 'nope'"),
        (["--requests", "0"], "at least one"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    capsys: pytest.CaptureFixture[str], home: Path, options: list[str], said: str
) -> None:
    assert run(["latency", *options]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert not home.exists()
