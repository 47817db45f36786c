from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from workbench import __version__, experiments
from workbench.cli import app, live, report
from workbench.cli.app import run
from workbench.doctor import Check, Machine
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import EngineError
from workbench.experiments.execution import execute
from workbench.records import (
    Channel,
    Chunk,
    EngineSpec,
    Failed,
    Finished,
    Message,
    Mode,
    Problem,
    Progress,
    Request,
    Started,
)
from workbench.report import Report, Step
from workbench.session import Session
from workbench.store import Store
from workbench.stream import Stream

QUESTION = "What is 47 + 38 - 12?"
THOUGHT, BOXED = "47 + 38 is 85.", "The answer is \\boxed{73}."
ANSWERS = {
    (QUESTION, Mode.ON): f"<think>\n{THOUGHT}\n</think>\n\n{BOXED}",
    (QUESTION, Mode.OFF): "\\boxed{70}",
    (QUESTION, Mode.OFF_PREFILLED): "\\boxed{71}",
}
SPEC = EngineSpec(kind="scripted", model="scripted", device="cpu", context=4000)
ACTS = "\x1b]0;title\x07\x1b[2J\x9b31m\u202eevil\r\x08\ud800"

Use = Callable[..., None]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of its own, and pages of a known width."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.delenv("WORKBENCH_DEBUG", raising=False)
    return tmp_path / "home"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Every engine that is opened from now on follows a script."""

    def use(answers: Any = ANSWERS, **settings: Any) -> None:
        monkeypatch.setattr(
            "workbench.session.open_engine",
            lambda spec: ScriptedEngine.answering(answers, spec=SPEC, **settings),
        )

    use()
    return use


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal of 120 by 30 that ``compare`` prints on."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, height=30, highlight=False)
    monkeypatch.setattr("workbench.cli.compare.console", lambda as_json: console)
    return screen


def document(out: str) -> Any:
    """The one line on stdout, as JSON without NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    (line,) = out.splitlines()
    return json.loads(line, parse_constant=refuse)


# --- compare -------------------------------------------------------------------------------------


def test_json_is_one_document_with_every_generation(
    scripted: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", QUESTION, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    told = document(captured.out)
    assert set(told) == {"run", "generations"}
    assert [one["mode"] for one in told["generations"]] == ["on", "off", "off_prefilled"]
    on, off, _ = told["generations"]
    assert (on["thinking"], on["answer"], on["finish_reason"]) == (THOUGHT, BOXED, "stop")
    assert (off["thinking"], off["answer"]) == ("", "\\boxed{70}")
    assert on["thinking_tokens"] == len(f"\n{THOUGHT}\n")  # a byte a token
    assert off["thinking_tokens"] == 0
    assert (on["leaked"], on["incomplete"], on["error"]) == (False, False, None)
    assert (on["temperature"], on["top_p"], off["temperature"]) == (0.6, 0.95, 0.0)
    assert on["seed"] == off["seed"] == experiments.plans.seed_for(0, "prompt-1", 0)
    assert 0 < on["time_to_first_token"] < on["time_to_first_output_token"] < on["request_latency"]
    assert on["inter_token_latency"] == pytest.approx(0.01)
    assert on["score"] is None
    assert Store(read_only=True).run(told["run"]).status == "finished"


def test_text_comes_arm_after_arm_and_then_the_table(
    scripted: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", QUESTION]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    places = [out.index(text) for text in ("── on ──", THOUGHT, BOXED, "── off ──", "\\boxed{70}")]
    assert places == sorted(places)
    (times,) = [line for line in out.splitlines() if line.startswith("time to first token")]
    assert times.split()[4:] == ["60", "ms"] * 3
    assert "batch" not in out
    assert f"Kept as run {Store(read_only=True).runs()[0].id}" in out


def test_arms_under_way_together_are_said_to_be_a_batch(
    scripted: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", QUESTION, "--concurrency", "2"]) == 0
    out = capsys.readouterr().out
    assert "2 answers at a time shared the CPU as one batch" in out
    places = [out.index(f"── {mode} ──") for mode in Mode]
    assert places == sorted(places)


def test_nothing_a_model_writes_reaches_the_terminal_as_a_command(
    scripted: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted([[Started(0.0, 9), Chunk(0.1, (1,), ACTS), Finished(0.2, "stop")]])
    assert run(["compare", QUESTION, "--mode", "on"]) == 0
    out = capsys.readouterr().out
    assert not [c for c in out if c in ACTS and c not in "]0;title[2J31mevil"]
    assert "␛]0;title␇␛[2J<U+009B>31m<U+202E>evil␍␈\ufffd" in out


def test_what_a_model_writes_is_in_the_document_as_it_is(
    scripted: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted([[Started(0.0, 9), Chunk(0.1, (1,), ACTS), Finished(0.2, "stop")]])
    assert run(["compare", QUESTION, "--mode", "on", "--json"]) == 0
    assert document(capsys.readouterr().out)["generations"][0]["answer"] == ACTS


def test_a_terminal_shows_the_arms_side_by_side(scripted: Use, terminal: io.StringIO) -> None:
    said = Chunk(0.1, (1,), "<think>\nhidden\n</think>\n\nseen")
    scripted([[Started(0.0, 9), said, Finished(0.2, "stop")]] * 3)
    assert run(["compare", QUESTION]) == 0
    shown = terminal.getvalue()
    (heads,) = {line for line in shown.splitlines() if "── on ──" in line}
    assert heads.index("── on ──") < heads.index("── off ──") < heads.index("── off_prefilled ──")
    assert "3 answers at a time shared the CPU as one batch" in shown.replace("\n", " ")
    assert "\x1b[2mhidden\x1b[0m" in shown  # dimmed
    assert "\x1b[2mseen" not in shown


def test_modes_may_be_repeated_or_joined(scripted: Use, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", QUESTION, "--json", "--mode", "off, on", "--mode", "on"]) == 0
    modes = [one["mode"] for one in document(capsys.readouterr().out)["generations"]]
    assert modes == ["off", "on"]


def test_samples_repeat_the_arms_that_draw(
    scripted: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", QUESTION, "--json", "--samples", "3", "--mode", "on,off"]) == 0
    found = document(capsys.readouterr().out)["generations"]
    assert [(one["mode"], one["sample"]) for one in found] == [
        ("on", 0),
        ("off", 0),
        ("on", 1),
        ("on", 2),
    ]
    assert len({one["seed"] for one in found}) == 3


def test_sampling_settings_reach_every_arm(
    scripted: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--temperature", "1.5", "--top-p", "0.5", "--top-k", "7", "--min-p", "0.1"]
    assert run(["compare", QUESTION, "--json", *options, "--max-tokens", "5", "--seed", "3"]) == 0
    for one in document(capsys.readouterr().out)["generations"]:
        assert (one["temperature"], one["top_p"], one["top_k"], one["min_p"]) == (1.5, 0.5, 7, 0.1)
        assert (one["max_tokens"], one["finish_reason"], one["output_tokens"]) == (5, "length", 5)
        assert one["seed"] == experiments.plans.seed_for(3, "prompt-1", 0)


def test_a_thinking_budget_reaches_every_arm(
    scripted: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", QUESTION, "--json", "--thinking-tokens", "4", "--mode", "on,off"]) == 0
    found = document(capsys.readouterr().out)["generations"]
    assert [one["thinking_budget"] for one in found] == [4, 4]
    assert found[0]["thinking_tokens"] <= 6
    assert found[0]["answer_tokens"] > 0


def test_a_dash_reads_the_prompt_from_stdin(
    scripted: Use, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(QUESTION.encode())))
    assert run(["compare", "-", "--json", "--mode", "on"]) == 0
    assert document(capsys.readouterr().out)["generations"][0]["answer"] == BOXED


def test_one_failed_arm_is_told_and_the_others_count(
    scripted: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted({key: text for key, text in ANSWERS.items() if key[1] is not Mode.OFF})
    assert run(["compare", QUESTION, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("off: The script has no answer")
    reasons = [one["finish_reason"] for one in document(captured.out)["generations"]]
    assert reasons == ["stop", "failed", "stop"]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_when_every_arm_fails_it_says_why_once(
    scripted: Use, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    scripted(lambda _: [Failed(0.0, "The GPU ran out of memory.", "Ask for less.")])
    assert run(["compare", QUESTION, *options]) == 2
    captured = capsys.readouterr()
    assert captured.err == "The GPU ran out of memory. Ask for less.\n"
    if options:
        found = document(captured.out)["generations"]
        assert [one["error"] for one in found] == ["The GPU ran out of memory."] * 3
        assert [one["inter_token_latency"] for one in found] == [None] * 3


def test_an_engine_that_does_not_open_leaves_no_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    def refuse(spec: EngineSpec) -> None:
        raise EngineError("There is no GPU here.", remedy="Choose cpu.")

    monkeypatch.setattr("workbench.session.open_engine", refuse)
    assert run(["compare", QUESTION]) == 2
    assert capsys.readouterr().err == "There is no GPU here. Choose cpu.\n"
    assert not home.exists()


def test_an_interrupt_names_the_run_that_keeps_what_there_is(
    scripted: Use, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(plan: Any, **settings: Any) -> Any:
        def stop(done: int, planned: int) -> None:
            raise KeyboardInterrupt

        return execute(plan, **settings | {"progress": stop})

    monkeypatch.setattr("workbench.experiments.execute", interrupted)
    assert run(["compare", QUESTION]) == 130
    (row,) = Store(read_only=True).runs()
    assert capsys.readouterr().err == (
        f"Stopped. What was generated is kept as run {row.id} (`workbench runs show {row.id}`).\n"
    )
    assert row.status in ("cancelled", "interrupted")
    assert Store(read_only=True).generation(row.id, 0).answer == BOXED


# --- the picture while it runs --------------------------------------------------------------------


def streaming(*events: Any, mode: Mode = Mode.ON) -> Stream:
    stream = Stream(Request((Message("user", QUESTION),), mode), lambda: SPEC, lambda _: None)
    stream.extend(events)
    return stream


def test_a_column_says_how_far_its_stream_is() -> None:
    stream = streaming()
    column = live.Column(stream)
    assert column.state() == "waiting"
    stream.extend([Started(0.1, 500)])
    assert column.state() == "reading the prompt"
    stream.extend([Progress(0.2, 256, 500)])
    assert column.state() == "reading the prompt: 256 of 500"
    stream.extend([Chunk(1.0, (1,), "a", Channel.THINKING)])
    assert column.state() == "thinking · 1 tokens"
    stream.extend([Chunk(3.0, (1, 2), "b", Channel.ANSWER), Chunk(9.0, (), "c", Channel.ANSWER)])
    assert column.state() == "answering · 3 tokens, 1/s"
    stream.extend([Finished(9.0, "length")])
    assert column.state() == "length · 3 tokens, 1/s"


def test_a_column_shows_the_last_lines_that_fit() -> None:
    lines = [f"line {n}\n" for n in range(1000)]
    column = live.Column(streaming(*(Chunk(0.1, (1,), line, Channel.ANSWER) for line in lines)))
    column.state()
    console = Console(width=60, file=io.StringIO())
    assert column.tail(console, 20, 4).plain.split("\n") == ["line 997", "line 998", "line 999", ""]
    wide = live.Column(streaming(Chunk(0.1, (1,), "x" * 50 + "\x1b[2J", Channel.ANSWER)))
    wide.state()
    assert wide.tail(console, 20, 2).plain == "x" * 20 + "\n" + "x" * 10 + "␛[2J"


def test_only_a_wide_terminal_shows_columns() -> None:
    def console(width: int, terminal: bool = True) -> Console:
        return Console(width=width, force_terminal=terminal, file=io.StringIO())

    assert live.fits(console(80), 3)
    assert not live.fits(console(60), 3)
    assert live.fits(console(60), 2)
    assert not live.fits(console(200, terminal=False), 1)


# --- runs ----------------------------------------------------------------------------------------


@pytest.fixture
def graded(scripted: Use) -> str:
    """The id of a run of one problem with an answer, which only ``on`` gets right."""
    plan = experiments.compare(Problem("sum", QUESTION, "73"), engine=SPEC)
    session = Session(lambda: ScriptedEngine.answering(ANSWERS, spec=SPEC))
    with Store() as store, session:
        return experiments.execute(plan, session=session, store=store).id


def test_runs_are_listed_newest_first(scripted: Use, capsys: pytest.CaptureFixture[str]) -> None:
    made = []
    for _ in range(3):
        run(["compare", QUESTION, "--json", "--mode", "off"])
        made.append(document(capsys.readouterr().out)["run"])
    assert run(["runs", "list", "--json", "--limit", "2"]) == 0
    listed = document(capsys.readouterr().out)["runs"]
    assert [row["id"] for row in listed] == [made[2], made[1]]
    assert (listed[0]["status"], listed[0]["planned"], listed[0]["ended"]) == ("finished", 1, 1)
    assert run(["runs"]) == 0
    out = capsys.readouterr().out
    assert out.index(made[2]) < out.index(made[1]) < out.index(made[0])


def test_without_runs_the_list_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "list"]) == 0
    assert "workbench compare" in capsys.readouterr().out
    assert run(["runs", "--json"]) == 0
    assert document(capsys.readouterr().out) == {"runs": []}


def test_a_run_is_shown_by_the_beginning_of_its_id(
    graded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", "show", graded[:-2]]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"── run {graded}, finished ──")
    assert out.count(QUESTION) == 1
    for text in (THOUGHT, BOXED, "\\boxed{71}", "time to first token"):
        assert text in out
    assert run(["runs", "show", graded, "--no-text"]) == 0
    assert THOUGHT not in capsys.readouterr().out


def test_wrong_shows_only_what_was_graded_wrong(
    graded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", "show", graded, "--wrong"]) == 0
    out = capsys.readouterr().out
    assert BOXED not in out
    assert "\\boxed{70}" in out
    assert run(["runs", "show", graded, "--wrong", "--json"]) == 0
    told = document(capsys.readouterr().out)
    assert [(one["mode"], one["score"], one["extracted"]) for one in told["generations"]] == [
        ("off", 0.0, "70"),
        ("off_prefilled", 0.0, "71"),
    ]


def test_an_unknown_run_is_refused(graded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "show", "nothing"]) == 2
    assert "There is no run 'nothing'." in capsys.readouterr().err


def test_a_run_is_exported_line_by_line(
    graded: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["runs", "export", graded]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == ["run", *["generation"] * 3, *["score"] * 3]
    out = tmp_path / "run.jsonl"
    assert run(["runs", "export", graded, "--out", str(out)]) == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == lines
    assert [file.name for file in tmp_path.iterdir() if file.name != "home"] == ["run.jsonl"]


def test_an_export_that_cannot_be_written_is_refused(
    graded: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    assert run(["runs", "export", graded, "--out", str(tmp_path / "a file" / "x.jsonl")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error(graded: str, home: Path) -> None:
    code = [sys.executable, "-m", "workbench.cli", "runs", "export", graded]
    with subprocess.Popen(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, err = process.communicate()
    assert (process.returncode, err) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_an_output_that_takes_nothing_more_is_told(graded: str) -> None:
    code = [sys.executable, "-m", "workbench.cli", "runs", "export", graded]
    with open("/dev/full", "w") as full:
        done = subprocess.run(code, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "No space left on device. Check the path, the disk and its free space.\n"


# --- models, doctor, report, bench ---------------------------------------------------------------


def test_models_are_listed_with_their_place(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    (home / "models" / "mine").mkdir(parents=True)
    assert run(["models", "--json"]) == 0
    listed = {row["id"]: row for row in document(capsys.readouterr().out)["models"]}
    assert set(listed) >= {"demo", "nemotron-nano-8b", "mine"}
    assert listed["mine"]["folder"] == str(home / "models" / "mine")
    assert listed["nemotron-nano-8b"]["context"] == 131_072
    assert run(["models", "list"]) == 0
    assert "nemotron-nano-8b" in capsys.readouterr().out


def test_a_model_folder_is_described(
    model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "info", str(model_folder), "--json"]) == 0
    told = document(capsys.readouterr().out)
    assert (told["layers"], told["context"], told["synthetic"]) == (2, 8192, True)
    assert run(["models", "info", str(model_folder)]) == 0
    assert "8,192 tokens" in capsys.readouterr().out


def test_doctor_ends_badly_when_the_main_job_cannot_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Check("Python", "ok", "3.12"), Check("torch", "fail", "not there", "pip install it")]
    monkeypatch.setattr("workbench.cli.doctor.checks", lambda: found)
    assert run(["doctor"]) == 2
    assert "torch: pip install it" in capsys.readouterr().out
    assert run(["doctor", "--json"]) == 2
    assert document(capsys.readouterr().out)["checks"][1]["remedy"] == "pip install it"
    monkeypatch.setattr("workbench.cli.doctor.checks", lambda: found[:1])
    assert run(["doctor"]) == 0


def test_doctor_builds_the_extension_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["doctor", "--build"]) == 2
    assert "nothing to build for" in capsys.readouterr().err
    facts = Machine((3, 12, 0), "Linux", torch_sees_gpu=True)
    built: list[bool] = []
    monkeypatch.setattr("workbench.cli.doctor.checks", list)
    monkeypatch.setattr("workbench.cli.doctor.probe", lambda: facts)
    monkeypatch.setattr("workbench.cli.doctor.extension.build", lambda *_, anew: built.append(anew))
    assert run(["doctor", "--build"]) == 0
    facts = replace(facts, extension=tmp_path, extension_error="file too short")
    assert run(["doctor", "--build"]) == 0
    assert built == [False, True]  # what is broken is built anew
    facts = replace(facts, extension_from="installed")
    assert run(["doctor", "--build"]) == 2
    assert "--force-reinstall" in capsys.readouterr().err
    facts = replace(facts, extension_error=None)
    assert run(["doctor", "--build"]) == 0
    assert f"It is installed: {tmp_path}" in capsys.readouterr().out
    assert len(built) == 2


def test_report_passes_its_parameters_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def made(name: str, parameters: Any, out: Path, watch: Any) -> Report:
        asked.append((name, parameters, out))
        watch(Step(1, 2))
        return Report(out / "a.ipynb", out / "a.html", "run-1", out / "a.csv")

    monkeypatch.setattr("workbench.cli.report.attempt", made)
    options = ["-p", "problems=3", "-p", "prompt=a=b", "--out", str(tmp_path)]
    assert run(["report", "compare", *options, "--json"]) == 0
    assert asked == [("compare", {"problems": "3", "prompt": "a=b"}, tmp_path)]
    told = document(capsys.readouterr().out)
    assert (told["run"], told["error"], told["interrupted"]) == ("run-1", None, False)
    assert told["notebook"] == str(tmp_path / "a.ipynb")
    assert told["html"] == str(tmp_path / "a.html")
    assert (told["csv"], told["cells_csv"]) == (str(tmp_path / "a.csv"), None)
    assert run(["report", "compare", "-p", "problems"]) == 2
    assert "-p key=value" in capsys.readouterr().err


@pytest.mark.parametrize("begun", [None, "run-1"])
def test_an_interrupted_report_names_the_run_it_had_begun(
    begun: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = Report(Path("a.ipynb"), Path("a.html"), begun, interrupted=True)
    monkeypatch.setattr("workbench.cli.report.attempt", lambda *_: left)
    assert run(["report", "compare"]) == 130
    said = "kept as run run-1 (" if begun else "Stopped before anything was asked."
    err = capsys.readouterr().err
    assert said in err
    assert "a.html" in err


def test_a_failed_report_is_told_with_its_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = EngineError("A cell failed.", remedy="Mend it.")
    left = Report(Path("a.ipynb"), Path("a.html"), error=error)
    monkeypatch.setattr("workbench.cli.report.attempt", lambda *_: left)
    assert run(["report", "compare", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("A cell failed. Mend it. The report as far as it came is a.html")
    assert document(captured.out)["error"] == "A cell failed. Mend it."


def test_lines_of_progress_come_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 1.0, 5.0, 6.0])
    lines = report._Lines("sweep", lambda: next(now))
    for cell in (1, 2, 3):
        lines(Step(cell, 9))
    assert capsys.readouterr().err == "sweep: cell 2 of 9\n"


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "nothing"]) == 2
    assert "Choose from engine, transformers" in capsys.readouterr().err


# --- how verbs end -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compar"], "No such command 'compar'"),
        (["compare"], "Missing argument"),
        (["compare", "x", "--temperature", "warm"], "'--temperature'"),
        (["compare", "x", "--nothing"], "No such option"),
        (["runs", "list", "--limit", "0"], "'--limit'"),
    ],
)
def test_a_wrong_option_is_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_mistake_of_ours_is_told_without_a_traceback(
    scripted: Use, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("workbench.experiments.execute", broken)
    assert run(["compare", QUESTION]) == 1
    err = capsys.readouterr().err
    assert err.startswith("This is a mistake in the workbench: ZeroDivisionError: oh\n")
    assert "Traceback" not in err
    monkeypatch.setenv("WORKBENCH_DEBUG", "1")
    assert run(["compare", QUESTION]) == 1
    assert "Traceback" in capsys.readouterr().err


VERBS = (
    [],
    *([name] for name in ["compare", "sweep", "report", "runs", "models", "doctor", "bench"]),
)


def loaded(*arguments: str) -> Iterator[str]:
    """The modules that a command line loads."""
    code = (
        "import sys; from workbench.cli.app import run; "
        f"assert run({list(arguments)!r}) == 0; print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: workbench" in done.stdout
    return iter(done.stderr.split())


def test_help_loads_nothing_but_the_command_itself() -> None:
    ours = {name for name in loaded("compare", "--help") if name.startswith("workbench")}
    cli = (
        "",
        ".app",
        ".asking",
        ".benching",
        ".converting",
        ".dispatch",
        ".groups",
        ".guard",
        ".options",
        ".rating",
    )
    light = {"", ".errors", ".printable", *(f".cli{name}" for name in cli)}
    assert ours == {f"workbench{name}" for name in light}


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*verb, "--help"]) == 0
    assert "Usage: workbench" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"workbench {__version__}\n"


def test_the_entry_point_ends_with_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["workbench", "runs", "show", "nothing"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
