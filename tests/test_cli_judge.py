"""``workbench runs judge``: ratings asked for, read again, given by people, and shown."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from workbench.cli import app
from workbench.engines.scripted import ScriptedEngine
from workbench.experiments import compare, execute, load, sweep
from workbench.experiments.ratings import arm_ratings
from workbench.records import EngineSpec, Problem, Request
from workbench.session import Session
from workbench.store import Store

ROOT = Path(__file__).resolve().parents[1]
ASKED = EngineSpec(kind="scripted", model="asked", context=50_000)
ACTS = "\x1b[2J[[11]]\x1b]0;x\x07"


def question(number: int, group: str) -> tuple[Problem, Problem]:
    first, second = (f"mtbench-{number}/{turn}" for turn in (1, 2))
    return (
        Problem(first, f"What is {number}?", group=group, grader="judge"),
        Problem(second, f"Why {number}?", group=group, grader="judge", follows=first),
    )


PROBLEMS = (*question(81, "writing"), *question(111, "math"), *question(130, "coding"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path / "home"


def rates(request: Request) -> str:
    text = request.messages[0].text
    if "What is 130?" in text:
        return ACTS
    return "Fair. Rating: [[4]]" if "conversation of two turns" in text else "Rating: [[7]]"


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every engine that the command opens is a judge that follows a script."""
    monkeypatch.setattr(
        "workbench.session.open_engine",
        lambda spec: ScriptedEngine.answering(
            rates, spec=EngineSpec(kind="scripted", model="strict", context=50_000)
        ),
    )


@pytest.fixture
def run(home: Path) -> str:
    with Store() as store, Session(lambda: ScriptedEngine.answering("An answer.", spec=ASKED)) as s:
        return execute(sweep(PROBLEMS, mode=["on", "off"], engine=ASKED), session=s, store=store).id


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert app.run([*arguments, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    return json.loads(line, parse_constant=pytest.fail)


def judgment(home: Path) -> str:
    with Store(read_only=True) as store:
        return next(row.id for row in store.runs() if row.kind == "judgment")


@pytest.mark.usefixtures("judge")
def test_a_plan_first_then_the_ratings(
    run: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["runs", "judge", run, "--judge", "demo"]) == 0
    out = capsys.readouterr().out
    assert out.index("judgment: 12 requests to demo on exllama") < out.index("5.50")
    for told in ("turn 1", "turn 2", "7.00", "4.00", "4 of 6", "writing"):
        assert told in out
    assert "judge strict of unknown version on scripted; prompts 1" in out
    assert "4 judgments have no rating that counts and are left out" in out
    assert "not from 1 to 10" in out
    assert "References that are known to be wrong are kept" in out
    assert "self-judging" not in out
    assert "\x1b" not in out
    assert f"Kept as run {judgment(home)}" in out


@pytest.mark.usefixtures("judge")
def test_one_document(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    planned = document(capsys, "runs", "judge", run, "--judge", "demo", "--dry-run")
    assert (planned["plan"]["kind"], planned["plan"]["requests"]) == ("judgment", 12)
    before = document(capsys, "runs", "judge", run)
    assert [arm["rating"] for arm in before["arms"]] == [None, None]
    told = document(capsys, "runs", "judge", run, "--judge", "demo")
    on = told["arms"][0]
    assert (on["arm"], on["rating"], on["questions"], on["rated"]) == ("on", 5.5, 2, 4)
    assert on["turns"]["1"]["rating"] == 7.0
    assert on["categories"] == {
        "writing": {"rating": 5.5, "rating_low": None, "rating_high": None},
        "math": {"rating": 5.5, "rating_low": None, "rating_high": None},
    }
    assert on["rating_without_wrong_references"] == 5.5
    assert [one["problem"] for one in on["unrated"]] == ["mtbench-130/1", "mtbench-130/2"]
    assert {one["written"] for one in on["unrated"]} == {"[[11]]"}
    assert not on["self_judging"]
    assert told["judgment"] in {row["id"] for row in document(capsys, "runs")["runs"]}
    assert document(capsys, "runs", "judge", run)["arms"] == told["arms"]


@pytest.mark.usefixtures("judge")
def test_a_stored_judgment_is_read_again(
    run: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = document(capsys, "runs", "judge", run, "--judge", "demo")
    with Store() as store:
        known = load(run, store).scores
        store.add_scores(run, [])
    monkeypatch.setattr("workbench.session.open_engine", lambda spec: pytest.fail("asked a model"))
    again = document(capsys, "runs", "judge", run, "--replay", judgment(home))
    assert again["arms"] == first["arms"]
    finished = document(capsys, "runs", "judge", run, "--resume", judgment(home))
    assert finished["arms"] == first["arms"]
    with Store(read_only=True) as store:
        assert load(run, store).scores == known


@pytest.mark.usefixtures("judge")
def test_what_has_no_rating_is_asked_about_again(
    run: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document(capsys, "runs", "judge", run, "--judge", "demo")
    told = document(capsys, "runs", "judge", run, "--judge", "demo", "--unrated")
    with Store(read_only=True) as store:
        plan = store.run(told["judgment"]).plan
    assert len(plan) == 4
    assert {cell.request.sampling.temperature for cell in plan.cells} == {0.7}


@pytest.mark.usefixtures("judge")
def test_an_interrupted_judgment_says_how_to_go_on(
    run: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(self: object, done: int, planned: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("workbench.cli.tally.Tally.progress", stop)
        assert app.run(["runs", "judge", run, "--judge", "demo"]) == 130
    said = capsys.readouterr().err
    assert f"`workbench runs judge {run} --resume {judgment(home)}`" in said
    told = document(capsys, "runs", "judge", run, "--resume", judgment(home))
    assert [arm["rated"] for arm in told["arms"]] == [4, 4]


def test_a_sheet_and_its_ratings(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sheet.csv"
    assert app.run(["runs", "judge", run, "--sheet", str(path)]) == 0
    assert "fill in its column 'rating'" in capsys.readouterr().out
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(row | {"rating": "8"} for row in rows)
    told = document(capsys, "runs", "judge", run, "--ratings", str(path), "--rater", "Anna")
    assert [(arm["rating"], arm["judges"]) for arm in told["arms"]] == [(8.0, ["human Anna"])] * 2
    assert app.run(["runs", "show", run, "--no-text"]) == 0
    assert "human Anna" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--judge", "a", "--sheet", "b.csv"], "--judge and --sheet are two ways to judge"),
        (["--judge", "http://me:secret@host.example/v1"], "Leave it out, and put the key into"),
        (["--judge", "no-such-model"], "no-such-model"),
        (["--judge", "demo", "--mode", "loud"], "There is no mode 'loud'"),
        (["--replay", "RUN"], "A run of kind 'sweep' is no judgment"),
        (["--ratings", "nothing.csv"], "nothing.csv cannot be read as a sheet"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    run: str, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [run if one == "RUN" else one for one in options]
    assert app.run(["runs", "judge", run, *given]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told


def test_a_run_that_nobody_rates(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store() as store, Session(lambda: ScriptedEngine.answering("x", spec=ASKED)) as session:
        other = execute(compare("What is 1+1?", engine=ASKED), session=session, store=store).id
    assert app.run(["runs", "judge", other]) == 0
    assert "has no answers that a judge rates" in capsys.readouterr().out
    assert app.run(["runs", "judge", other, "--judge", "demo"]) == 2
    assert "has no answer that a judge is to rate" in capsys.readouterr().err


def test_the_embedded_model_asked_and_judged_by_itself(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = os.environ.get("WORKBENCH_BENCHMARK_DATA")
    near = [base / "shared" / "data" for base in (ROOT.parent, ROOT.parent.parent)]
    data = (Path(named) if named else near[0]) / "mt_bench_question.jsonl"
    if not data.is_file():
        pytest.skip("no benchmark data: name its folder in WORKBENCH_BENCHMARK_DATA")
    asked = ["eval", "mtbench", "--data", str(data), "--limit", "2", "--mode", "off"]
    run = document(capsys, *asked, "--max-tokens", "30")["run"]
    with Store(read_only=True) as store:
        prompts = [row.metrics["prompt_tokens"] or 0 for row in store.rows(run)]
        first, second = (store.generation(run, index) for index in (0, 1))
    assert len(prompts) == 4
    assert prompts[1] > prompts[0], "the second turn is asked with the first"
    assert [message.text for message in second.request.messages[:2]] == [
        first.request.messages[0].text,
        first.answer,
    ]
    assert app.run(["runs", "judge", run, "--judge", "demo", "--max-tokens", "60"]) == 0
    out = capsys.readouterr().out
    assert "The judge gave no rating that counts" in out
    with Store(read_only=True) as store:
        judged = load(run, store)
    assert {score.value for score in judged.scores} == {None}
    assert all("self-judging" in score.by for score in judged.scores)
    assert len(arm_ratings(judged)[0].unread) == 4
    assert arm_ratings(judged)[0].self_judged
