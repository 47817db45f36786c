"""What must not be published stands in the store and nowhere else, whatever is made of a run."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench import experiments, pages, plots, private
from workbench.cli.app import run as command
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import InvalidInput
from workbench.evaluation.benchmarks import gpqa_synthetic
from workbench.experiments import Run, evaluate
from workbench.experiments.evidence import evidence
from workbench.experiments.exporting import save
from workbench.records import Request
from workbench.report.reading import runs_of
from workbench.report.verify import at_hand, verify
from workbench.session import Session
from workbench.store import Store

CANARY = "Xylographic quokkas"  # stands in every question, every option, and every answer
_PACKED = re.compile(r"[A-Za-z0-9+/]{80,}={0,2}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the questions, and a store that holds one evaluation of them."""
    folder = tmp_path_factory.mktemp("private")
    data = gpqa_synthetic.write(folder / "gpqa_diamond.csv")
    text = data.read_text(encoding="utf-8")
    text = text.replace("Made-up question", CANARY).replace("exactly", CANARY)
    data.write_text(text.replace("T_1-T_2", CANARY).replace("on two lines", CANARY), "utf-8")
    return folder


@pytest.fixture(autouse=True)
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(folder / "home"))
    monkeypatch.setenv("COLUMNS", "300")
    return folder / "home"


def echo(request: Request) -> str:
    """It says the question again, and boxes an option's whole text, or a letter."""
    asked = request.messages[-1].text
    options = re.findall(r"(?s)\n[A-D]\. (.*?)(?=\n[B-D]\. |\nLet's)", asked)
    boxed = options[0] if request.sampling.seed % 2 else "A"
    return f"<think>\n{asked}\n</think>\n\n{CANARY}: \\boxed{{{boxed}}}"


@pytest.fixture(scope="module")
def asked(folder: Path) -> Run:
    plan = evaluate("gpqa", data=folder / "gpqa_diamond.csv", limit=6, samples=2, model="demo")
    with Session(lambda: ScriptedEngine(echo)) as session, Store(folder / "home/runs.sqlite") as to:
        return experiments.execute(plan, session=session, store=to)


def once_more(run: Run) -> str:
    with Session(lambda: ScriptedEngine(echo)) as session:
        return experiments.execute(run.unveiled().plan, session=session).id


def layers(text: str) -> Iterator[str]:
    """A text, and whatever is packed inside it."""
    yield text
    for packed in _PACKED.findall(text):
        try:
            data = base64.b64decode(packed + "=" * (-len(packed) % 4))
            yield zlib.decompress(data).decode("utf-8", errors="replace")
        except (ValueError, zlib.error):
            continue


def hidden(*texts: str) -> bool:
    words = (CANARY, json.dumps(CANARY), base64.b64encode(CANARY.encode()).decode()[:20])
    return not any(word in layer for text in texts for layer in layers(text) for word in words)


# --- the run itself ------------------------------------------------------------------------------


def test_the_store_has_everything_and_the_run_shows_nothing_of_it(asked: Run, home: Path) -> None:
    whole = asked.unveiled()
    assert CANARY in whole.plan.cells[0].request.messages[-1].text
    assert CANARY in whole.generations[0].thinking
    assert CANARY in whole.generations[0].answer
    for run in (asked, experiments.load(asked.id)):
        assert hidden(repr(run.plan.cells), repr(dict(run.generations)), repr(run.scores))
        assert {set(one.ids).pop() for one in run.generations.values()} == {-1}
    assert asked.unveiled().unveiled() == whole


def test_what_may_be_told_is_told(asked: Run) -> None:
    whole = asked.unveiled()
    for index, generation in whole.generations.items():
        shown = asked.generations[index]
        assert len(shown.ids) == len(generation.ids)
        assert shown.finish_reason == generation.finish_reason
        problem = whole.plan.cells[index].problem
        assert problem is not None
        assert private.sha256(problem.prompt) in asked.plan.cells[index].problem.prompt  # type: ignore[union-attr]
        assert asked.plan.cells[index].problem.answer in "ABCD"  # type: ignore[union-attr,operator]
    frame, own = asked.frame(), whole.frame()
    for column in ("problem", "score", "output_tokens", "thinking_tokens", "request_latency"):
        assert frame[column].tolist() == own[column].tolist()
    letters = {score.extracted for score in asked.scores}
    assert letters <= set("ABCD") or any("withheld" in str(one) for one in letters)


# --- everything that is made of it ----------------------------------------------------------------


def test_tables_pages_and_figures(asked: Run, tmp_path: Path) -> None:
    made: list[Any] = [
        pages.manifest(asked),
        pages.side_by_side(asked),
        pages.asked(asked.plan),
        pages.cells_table(asked),
        pages.arms_table(asked),
    ]
    arms = {"on": list(asked.generations.values())}
    drawn = [plots.timeline(arms), plots.inter_token_latency(arms), plots.log_probability(arms)]
    tables = [asked.frame().to_string(), asked.cells().to_string(), repr(asked.plan), str(asked)]
    assert hidden(
        *(page._repr_html_() for page in made), *(one.to_json() for one in drawn), *tables
    )
    assert not hidden(pages.side_by_side(asked.unveiled())._repr_html_()), "which would show it"
    for suffix in ("csv", "jsonl", "parquet"):
        path = save(asked.frame(), tmp_path / f"run.{suffix}")
        assert hidden(path.read_bytes().decode("latin-1"))


@pytest.mark.parametrize("form", ["jsonl", "parquet", "inspect", "lm-eval"])
def test_exports(asked: Run, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / ("out.parquet" if form == "parquet" else "out")
    assert command(["runs", "export", asked.id, "--format", form, "--out", str(out)]) == 0
    files = [path for path in (out, *out.rglob("*")) if path.is_file()]
    assert files
    assert hidden(*(path.read_bytes().decode("latin-1") for path in files))


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "show"],
        ["runs", "show", "--text"],
        ["runs", "show", "--wrong"],
        ["runs", "show", "--json"],
        ["runs", "regrade", "--json"],
        ["eval", "--dry-run", "--resume"],
        ["runs", "compare"],
    ],
    ids=" ".join,
)
def test_commands(asked: Run, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    again = [once_more(asked)] if words[-1] == "compare" else []
    command([*words, asked.id, *again])
    told = capsys.readouterr()
    assert told.out
    assert hidden(told.out, told.err)


def test_a_report(asked: Run, tmp_path: Path) -> None:
    assert command(["report", "evaluation", "-p", f"run={asked.id}", "--out", str(tmp_path)]) == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".html", ".ipynb", ".csv"}
    for path in files:
        assert hidden(path.read_bytes().decode("latin-1")), path.name
    (report,) = tmp_path.glob("*.html")
    (told,) = runs_of(str(report))
    assert CANARY in told.plan.cells[0].request.messages[-1].text, "from the store here"


# --- run again ------------------------------------------------------------------------------------


def test_it_is_verified_where_the_store_has_the_questions(asked: Run, home: Path) -> None:
    (told,) = runs_of(asked.id)
    assert CANARY in told.plan.cells[0].request.messages[-1].text
    assert not any(one.ids for one in told.generations.values())
    with Session(lambda: ScriptedEngine(echo)) as session:
        found = verify(told, told.plan, session=session)
    assert found.same
    assert found.same_answers == found.compared == len(asked.plan)


def test_elsewhere_it_cannot_be(asked: Run) -> None:
    told = evidence(asked)
    with pytest.raises(InvalidInput, match="leaves out its questions"):
        at_hand(told)
