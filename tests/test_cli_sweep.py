"""``workbench sweep``: the cost first, then the answers, then a table; stopped, it goes on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from workbench import experiments
from workbench.cli.app import run
from workbench.cli.ranges import names, numbers
from workbench.cli.tally import Tally
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import EngineError, InvalidInput, StoreError
from workbench.records import EngineSpec, Failed, Mode, Request
from workbench.store import Store
from workbench.store.database import Database
from workbench.stream import Stream

SPEC = EngineSpec(kind="scripted", model="scripted", device="cpu", context=4000)
SUITE = '{"prompt": "1+1?", "answer": 2, "id": "one"}\n{"prompt": "2+3?", "answer": 5}\n'
TEXT = "<think>\nIt is {0}.\n</think>\n\nThe answer is \\boxed{{{0}}}."
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path / "home"


@pytest.fixture
def suite(tmp_path: Path) -> str:
    (tmp_path / "suite.jsonl").write_text(SUITE)
    return str(tmp_path / "suite.jsonl")


def script(request: Request) -> str:
    """Right with reasoning on; without it only where the temperature is below 1."""
    right = "2" if "1+1" in request.messages[-1].text else "5"
    if request.mode is Mode.ON:
        return TEXT.format(right)
    return f"\\boxed{{{right if request.sampling.temperature < 1 else 9}}}"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    def use(answers: Any) -> None:
        monkeypatch.setattr(
            "workbench.session.open_engine",
            lambda spec: ScriptedEngine.answering(answers, spec=SPEC),
        )

    use(script)
    return use


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], home: Path) -> Refused:
    """A command line that must be refused before anything is begun; what it says."""

    def check(*arguments: str) -> str:
        assert run(["sweep", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1, "one line"
        return captured.err.strip()

    return check


def document(out: str) -> Any:
    (line,) = out.splitlines()
    return json.loads(line, parse_constant=pytest.fail)


# --- what it does --------------------------------------------------------------------------------


def test_json_is_one_document_with_a_row_a_grid_cell(
    scripted: Any, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--temperature", "0:1:0.5", "--mode", "on,off", "--samples", "2", "--top-p", "0.5,1"]
    assert run(["sweep", suite, *options, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    told = document(captured.out)
    assert set(told) == {"run", "status", "store", "plan", "cells"}
    assert told["status"] == "finished"
    assert told["plan"]["requests"] == 2 * 2 * (1 + 2 * 2 * 2)
    assert told["plan"]["axes"]["temperature"] == [0, 0.5, 1]
    assert told["plan"]["axes"]["problem"] == ["one", "line-2"]
    cells = told["cells"]
    places = [(cell["mode"], cell["temperature"], cell["top_p"]) for cell in cells]
    assert places[:3] == [("on", 0, 0.5), ("on", 0.5, 0.5), ("on", 0.5, 1)]
    assert len(places) == len(set(places)) == 10
    right = {place: cell["accuracy"] for place, cell in zip(places, cells, strict=True)}
    assert right["off", 1, 0.5] == 0
    assert right["off", 0.5, 0.5] == right["on", 1, 1] == 1
    assert Store(read_only=True).run(told["run"]).status == "finished"


def test_the_cost_comes_first_then_lines_then_the_table(
    scripted: Any, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sweep", suite, "--mode", "off", "--temperature", "0.5,1", "--engine", "exllama"]
    assert run(command) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    told = [
        "sweep: 2 grid cells, 4 requests to demo on exllama",
        "nothing like it has been measured yet",
        "temperature 0.5: 2 of 2 right (100%)",
        "temperature 1.0: 0 of 2 right (0%)",
        "means over 2 problems",
        "Of 2 settings",
        f"Kept as run {Store(read_only=True).runs()[0].id} in ",
    ]
    places = [out.index(text) for text in told]
    assert places == sorted(places)
    (row,) = [line for line in out.splitlines() if line.split()[:2] == ["0.5", "2"]]
    assert row.split()[2] == "100%"
    assert "latency is that of a batch, its queue included" in " ".join(out.split())
    assert run(["runs", "show", Store(read_only=True).runs()[0].id, "--no-text"]) == 0
    assert row in capsys.readouterr().out.splitlines()


def test_a_dry_run_asks_nothing(suite: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", suite, "--thinking-tokens", "16,none", "--dry-run"]) == 0
    assert "thinking_tokens [16, None]" in capsys.readouterr().out
    assert run(["sweep", "arithmetic", "--count", "4", "--dry-run", "--json"]) == 0
    plan = document(capsys.readouterr().out)["plan"]
    assert (plan["requests"], plan["expected_seconds"]) == (4, None)
    assert not home.exists()


def test_what_was_measured_tells_the_cost(
    suite: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "workbench.session.open_engine",
        lambda spec: ScriptedEngine.answering(script, spec=EngineSpec(device="cpu", context=4000)),
    )
    assert run(["sweep", suite]) == 0
    capsys.readouterr()
    assert run(["sweep", suite, "--temperature", "0.1,0.2", "--dry-run"]) == 0
    assert "by 2 generations measured before" in capsys.readouterr().out


def test_a_failed_request_is_told_and_the_others_count(
    scripted: Any, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted(lambda r: [Failed(0.0, "Too long.", "Cut it.")] if "2+3" in str(r) else script(r))
    assert run(["sweep", suite, "--temperature", "0.5,1"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "2 of 4 requests failed: Too long. Cut it.\n"
    assert "1 of 1 right (100%), 1 failed" in captured.out
    scripted(lambda r: [Failed(0.0, "Too long.", "Cut it.")])
    assert run(["sweep", suite]) == 2
    assert capsys.readouterr().err == "2 of 2 requests failed: Too long. Cut it.\n"


def test_plain_prompts_have_no_accuracy(
    scripted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain.jsonl").write_text('{"prompt": "1+1?"}')
    assert run(["sweep", str(tmp_path / "plain.jsonl")]) == 0
    out = capsys.readouterr().out
    assert "mode on: ended" in out
    assert "right" not in out.splitlines()[5]


# --- stopped, and going on -----------------------------------------------------------------------


@pytest.fixture
def stopped_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Ctrl-C once so many have ended; 0 takes it back."""
    original = Tally.progress

    def stop(count: int) -> None:
        def progress(self: Tally, done: int, planned: int) -> None:
            original(self, done, planned)
            if count and done == count:
                raise KeyboardInterrupt

        monkeypatch.setattr(Tally, "progress", progress)

    return stop


def test_stopped_it_says_how_to_go_on_and_does(
    scripted: Any, suite: str, stopped_after: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--temperature", "0.2:1:0.2", "--concurrency", "1", "--samples", "2"]
    stopped_after(3)
    assert run(["sweep", suite, *options]) == 130
    row = Store(read_only=True).runs()[0]
    assert capsys.readouterr().err == (
        f"Stopped. 3 of 20 generations are kept as run {row.id}; "
        f"go on with `workbench sweep --resume {row.id}`.\n"
    )
    stopped_after(0)
    assert run(["sweep", "--resume", row.id, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"Run {row.id}: 3 of 20 generations have ended." in out
    assert run(["sweep", "--resume", row.id, "--json"]) == 0
    told = document(capsys.readouterr().out)
    assert (told["run"], told["status"]) == (row.id, "finished")
    assert [cell["generations"] for cell in told["cells"]] == [4] * 5
    whole = experiments.load(row.id)
    assert run(["sweep", suite, *options]) == 0
    again = experiments.load(Store(read_only=True).runs()[0].id)
    assert [g.ids for g in whole.generations.values()] == [
        g.ids for g in again.generations.values()
    ]


def test_a_disk_that_fills_up_ends_it_and_it_can_go_on(
    scripted: Any,
    suite: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original = Tally.progress

    def full(self: Tally, done: int, planned: int) -> None:
        original(self, done, planned)
        if done == 2:
            raise StoreError("The disk is full.", remedy="Free some space.")

    monkeypatch.setattr(Tally, "progress", full)
    options = ["--temperature", "0.2,0.4", "--concurrency", "1"]
    assert run(["sweep", suite, *options]) == 2
    (row,) = Store(read_only=True).runs()
    early, why = capsys.readouterr().err.splitlines()
    assert early == (
        f"The sweep has ended early. 2 of 4 generations are kept as run {row.id}; "
        f"go on with `workbench sweep --resume {row.id}`."
    )
    assert why == "The disk is full. Free some space."
    monkeypatch.setattr(Tally, "progress", original)
    assert run(["sweep", suite, *options, "--resume", row.id, "--json"]) == 0
    assert document(capsys.readouterr().out)["status"] == "finished"


def test_a_store_that_takes_nothing_to_its_end_names_the_way_on_once(
    scripted: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    original, broken = Tally.watch, []

    def full(self: Tally, index: int, stream: Stream) -> None:
        original(self, index, stream)
        if index == 0 and not broken:
            broken.append(Database.transaction)
            monkeypatch.setattr(Database, "transaction", refuses)

    def refuses(self: Database) -> Any:
        raise StoreError("The disk is full.", remedy="Free some space.")

    monkeypatch.setattr(Tally, "watch", full)
    assert run(["sweep", "arithmetic", "--count", "6"]) == 2
    early, why = capsys.readouterr().err.splitlines()
    monkeypatch.setattr(Database, "transaction", broken[0])
    (row,) = Store(read_only=True).runs()
    assert early.endswith(f"kept as run {row.id}; go on with `workbench sweep --resume {row.id}`.")
    (unsaved,) = tmp_path.glob("workbench-unsaved-*.jsonl")
    assert why == (
        f"The disk is full. What it did not take, 6 generations, is in {unsaved}. Free some space."
    )
    assert run(["sweep", "--resume", row.id, "--json"]) == 0
    assert document(capsys.readouterr().out)["cells"][0]["generations"] == 6


def test_a_finished_run_is_shown_again(
    scripted: Any, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sweep", suite, "--json"]) == 0
    told = document(capsys.readouterr().out)
    scripted(lambda r: pytest.fail("nothing is asked"))
    assert run(["sweep", suite, "--resume", told["run"], "--json"]) == 0
    assert document(capsys.readouterr().out) == told
    assert run(["sweep", "--resume", told["run"]]) == 0
    assert "nothing is left to ask" in capsys.readouterr().out


def test_a_resumed_run_keeps_its_plan(
    scripted: Any, suite: str, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sweep", suite, "--json"]) == 0
    known = document(capsys.readouterr().out)["run"]
    remedy = f"Write only `workbench sweep --resume {known}`."
    said = refused("--resume", known, "--temperature", "0.3")
    assert said == f"A resumed run keeps its plan; --temperature changes it. {remedy}"
    said = refused(suite, "--resume", known, "--seed", "5")
    assert said == f"Run {known} was begun with another plan. {remedy}"


def test_an_engine_that_does_not_open_leaves_no_run(
    suite: str, monkeypatch: pytest.MonkeyPatch, refused: Refused, home: Path
) -> None:
    def refuse(spec: EngineSpec) -> None:
        raise EngineError("There is no GPU here.", remedy="Choose cpu.")

    monkeypatch.setattr("workbench.session.open_engine", refuse)
    assert run(["sweep", suite]) == 2
    assert not home.exists()


# --- as it is seen on a terminal -----------------------------------------------------------------


def test_a_terminal_shows_a_bar_and_what_is_right_so_far(scripted: Any) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, height=12)
    plan = experiments.sweep(
        ["1+1?", "2+3?"], temperature=[0, 0.5, 1], top_p=[0.5, 0.6, 0.7, 0.8, 0.9]
    )
    with Tally(screen, plan) as tally:
        experiments.execute(plan, watch=tally.watch, progress=tally.progress)
        screen.print(tally.picture())
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "22/22" in shown
    assert "2 of 2" in shown
    assert "grid cells that are not shown" in shown


def test_what_had_ended_before_is_counted() -> None:
    screen = Console(file=io.StringIO(), width=100)
    plan = experiments.sweep(["1+1?", "2+3?"], temperature=[0, 0.5])
    rows = [
        {"index": 0, "finish_reason": "stop", "score": 1.0},
        {"index": 1, "finish_reason": "cancelled", "score": 0.0},
        {"index": 2, "finish_reason": "failed", "score": 0.0},
    ]
    screen.print(Tally(screen, plan, rows).picture())
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "2/4" in shown
    assert "1 of 1 right (100%)" in shown
    assert "1 failed" in shown


# --- numbers as options write them ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.5", [0.5]),
        ("0:1.5:0.25", [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5]),
        ("0.1:0.7:0.1", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        ("0:1:0.3", [0, 0.3, 0.6, 0.9]),
        (" 0 , 0.5 : 1 : 0.25 ,2,", [0, 0.5, 0.75, 1, 2]),
        ("1:1:5", [1]),
        ("-1", [-1]),
    ],
)
def test_ranges_are_exact_and_hold_their_ends(text: str, values: list[float]) -> None:
    assert numbers(text, "--x") == values


def test_whole_numbers_and_no_limit() -> None:
    assert numbers("16,32:64:16,None", "--x", whole=True, none=True) == [16, 32, 48, 64, None]
    assert all(isinstance(value, int) for value in numbers("1:3:1", "--x", whole=True))
    assert names(["on, off", "off_prefilled", ","]) == ["on", "off", "off_prefilled"]


@given(st.integers(0, 400), st.integers(1, 60), st.integers(0, 40))
def test_a_range_counts_as_its_cents_do(start: int, step: int, count: int) -> None:
    text = f"{start / 100}:{(start + step * count) / 100}:{step / 100}"
    assert numbers(text, "--x") == [(start + step * n) / 100 for n in range(count + 1)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no value"),
        (" , ", "has no value"),
        ("warm", "'warm', which is neither a number nor a range"),
        ("nan", "neither a number"),
        ("0.5,inf", "'inf', which is neither"),
        ("0:nan:1", "neither a number"),
        ("0:1", "a range is start:stop:step"),
        ("0:1:2:3", "a range is start:stop:step"),
        ("::", "neither a number"),
        ("none", "neither a number"),
        ("1:0:0.5", "the range 1:0:0.5 is reversed. Write 0:1:0.5."),
        ("0:1:0", "has a step of 0"),
        ("1:0:-0.5", "has a step of -0.5"),
        ("0:1e9:0.5", "has 2,000,000,001 values; at most 1,000,000"),
        ("0:9e5:1,0:9e5:1", "has 1,800,002 values"),
        ("0:1e999999:1e-999999", "has endlessly many values"),
    ],
)
def test_numbers_that_cannot_be(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        numbers(text, "--x")
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["1.5", "1:2:0.5", "1e99999999", "1e-99999999"])
def test_no_whole_number(text: str) -> None:
    with pytest.raises(InvalidInput, match="no whole number"):
        numbers(text, "--x", whole=True)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--temperature", "1:0:0.1"], "--temperature: the range 1:0:0.1 is reversed."),
        (["--temperature", "nan"], "--temperature has the value 'nan'"),
        (["--temperature", "-0.5"], "temperature is -0.5; it must be at least 0."),
        (["--temperature", "0.5,0.5"], "temperature has 0.5 twice."),
        (["--temperature", "0:1:0.5,1"], "temperature has 1.0 twice."),
        (["--temperature", "1e999"], "temperature is inf; it must be a finite number, at least 0."),
        (["--temperature", "none"], "neither a number nor a range"),
        (["--top-p", "0:1:0.5"], "top-p is 0.0; it must be above 0"),
        (["--top-k", "1.5"], "--top-k has the value 1.5, which is no whole number."),
        (["--max-tokens", "0"], "max-tokens is 0; it must be at least 1."),
        (["--thinking-tokens", "16,some"], "neither a number nor a range, nor none"),
        (["--mode", "maybe"], "There is no mode 'maybe'."),
        (["--mode", "on,on"], "mode has on twice."),
        (["--mode", ","], "mode has no values."),
        (["--samples", "0"], "'--samples'"),
        (["--count", "0"], "'--count'"),
        (["--count", "3"], "has 2 of the 3 problems"),
        (["--concurrency", "0"], "'--concurrency'"),
        (["--context", "0"], "--context"),
        (["--model", "demo,demo"], "twice"),
        (
            ["--temperature", "0.001:1:0.001", "--top-p", "0.001:1:0.001", "--top-k", "1,2"],
            "The sweep has 4,000,000 requests; at most 1,000,000 are made.",
        ),
    ],
)
def test_options_that_cannot_be(
    refused: Refused, scripted: Any, suite: str, home: Path, options: list[str], says: str
) -> None:
    assert says in refused(suite, *options)
    assert not home.exists(), "nothing is begun"


def test_suites_that_cannot_be(refused: Refused, tmp_path: Path, home: Path) -> None:
    assert "There is no suite 'gsm9k'. Choose arithmetic" in refused("gsm9k")
    assert "There is no file 'missing.jsonl'" in refused("missing.jsonl")
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(SUITE.encode() + b"\xff\n")
    assert f"Line 3 of {bad} is no problem: it is not UTF-8 (byte 0xff)." in refused(str(bad))
    bad.write_text(SUITE + '{"prompt": "x", "answer": [1]}')
    assert "Line 3 of" in (said := refused(str(bad)))
    assert '"answer" is an array' in said
    assert "There is nothing to sweep. Name a suite" in refused()
    assert not home.exists()


def test_runs_that_are_not_there(refused: Refused) -> None:
    assert refused("--resume", "2026") == (
        "There is no run '2026'. `workbench runs list` names the runs there are."
    )


def test_what_a_file_holds_is_no_command_to_the_terminal(
    scripted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    acts = "\x1b[2J\u202e[red]"
    line = {"prompt": f"1+1? {acts}", "answer": acts, "id": acts, "group": acts}
    (tmp_path / "odd.jsonl").write_text(json.dumps(line))
    assert run(["sweep", str(tmp_path / "odd.jsonl"), "--temperature", "0,1"]) == 0
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "\u202e" not in captured.out + captured.err
    assert "[red]" in captured.out
