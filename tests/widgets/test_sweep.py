"""The sweep grid, the model card and the tabs without a page."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from workbench_widgets import Desk, ModelCard, SweepGrid, Workbench, Xray
from workbench_widgets.bench import _judged

import workbench as wb
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import EngineError, InvalidInput
from workbench.evaluation.suites import suite
from workbench.experiments.grid import grid_cells
from workbench.records import EngineSpec, Plan, Request
from workbench.session import Session


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def answer(request: Request) -> str:
    return f"<think>\nso\n</think>\n\n\\boxed{{{'4' if request.sampling.temperature else '5'}}}"


class Scripted(Desk):
    def __init__(self, pace: float = 0.0) -> None:
        super().__init__()
        self.pace = pace

    def session(self, spec: EngineSpec) -> Session:
        return Session(lambda: ScriptedEngine.answering(answer, pace=self.pace))


def plan() -> Plan:
    asked = [wb.Problem(f"p{i}", "2+2?", "4") for i in range(3)]
    return wb.sweep(asked, temperature=[0, 0.5, 1], replicates=2)


def heard(part: Any, **wish: Any) -> list[dict[str, Any]]:
    """What a page hears when it asks for something."""
    said: list[dict[str, Any]] = []
    part.send = lambda content, buffers=None: said.append(content)
    part._heard(None, {"n": 1, **wish})
    return said


def test_the_grid_is_the_run_s() -> None:
    part = SweepGrid(plan(), desk=Scripted())
    before = part.tell()
    assert [cell["ended"] for cell in before["cells"]] == [0, 0, 0]
    assert [cell["planned"] for cell in before["cells"]] == [3, 6, 6]
    part.start()
    part.wait()
    told = part.tell()
    assert told["status"] == "done"
    cells = grid_cells(wb.load(str(part.run_id)))
    assert [cell["ended"] for cell in told["cells"]] == [len(one.members) for one in cells]
    assert [cell["accuracy"][0] for cell in told["cells"]] == [0.0, 1.0, 1.0]
    assert [cell["tokens"][0] for cell in told["cells"]] == [
        one.output_tokens.value for one in cells if one.output_tokens
    ]
    assert part.told["cells"] == told["cells"]
    again = SweepGrid.of(str(part.run_id)).tell()
    assert [one | {"running": 0} for one in told["cells"]] == again["cells"]


def test_a_cell_lists_its_generations_and_opens_one() -> None:
    part = SweepGrid(plan(), desk=Scripted()).start()
    part.wait()
    rows = heard(part, do="cell", cell=1)[-1]["rows"]
    assert [(row["problem"], row["sample"], row["score"]) for row in rows[:2]] == [
        ("p0", 0, 1.0),
        ("p0", 1, 1.0),
    ]
    assert {row["end"] for row in rows} == {"stop"}
    heard(part, do="open", index=rows[0]["index"])
    assert isinstance(part._below, Xray)
    assert part._below.tell()["tokens"] == rows[0]["tokens"]
    assert "no such cell" in heard(part, do="cell", cell=9)[1]["problem"]["message"]
    assert "not begun" in heard(part, do="open", index=999)[1]["problem"]["message"]


def test_stopped_it_goes_on_where_it_was() -> None:
    part = SweepGrid(plan(), desk=Scripted(pace=3.0)).start()
    until = time.monotonic() + 20
    while not part._live and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(EngineError, match="under way"):
        part.start()
    part.stop()
    part.wait()
    told = part.tell()
    assert told["status"] == "stopped"
    run, some = part.run_id, wb.load(str(part.run_id))
    assert some.status == "interrupted"
    part.desk = Scripted()
    part.start()
    part.wait()
    assert (part.run_id, part.tell()["status"]) == (run, "done")
    assert sum(cell["ended"] for cell in part.tell()["cells"]) == 15


def test_the_form_makes_the_plan() -> None:
    part = SweepGrid(desk=Scripted())
    fields = {"problems": "2", "temperature": "0, 1", "top_p": "", "thinking_tokens": "16, none"}
    heard(part, do="plan", form=part.tell()["form"] | fields | {"samples": "2", "modes": "on,off"})
    assert part._plan is not None
    expected = wb.sweep(
        suite("arithmetic", 2),
        mode=["on", "off"],
        temperature=[0.0, 1.0],
        thinking_tokens=[16, None],
        replicates=2,
        logprobs=True,
    )
    assert part._plan.cells == expected.cells
    assert "been measured" in part.tell()["cost"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"temperature": "0, warm"}, "temperature holds 'warm', which is not a number."),
        ({"problems": "2.5"}, "problems holds '2.5', which is not a whole number."),
        ({"suite": "/no/such.jsonl"}, "/no/such.jsonl"),
        ({"modes": "loud"}, "There is no mode"),
    ],
)
def test_fields_that_cannot_be_read_are_told(change: dict[str, str], sentence: str) -> None:
    part = SweepGrid(desk=Scripted())
    said = heard(part, do="plan", form=part.tell()["form"] | change)
    problem = next(one["problem"] for one in said if one["k"] == "problem")
    assert sentence in problem["message"]
    assert problem["remedy"]
    assert not part._cells


def test_without_a_plan_nothing_starts() -> None:
    with pytest.raises(InvalidInput, match="no plan"):
        SweepGrid(desk=Scripted()).start()


def test_the_model_card_loads_and_unloads() -> None:
    card = ModelCard()
    assert {one["name"] for one in card.tell()["models"]} >= {"demo", "nemotron-nano-8b"}
    said = heard(card, do="load")
    card.wait()
    progress = [one for one in said if one["k"] == "loading"]
    assert all(one["read"][0] <= one["read"][1] for one in progress)
    assert card.desk.read[0] == card.desk.read[1] > 0
    loaded = card.tell()["loaded"]
    assert (loaded["model"], loaded["kind"], loaded["context"]) == ("demo", "exllama", 2048)
    heard(card, do="unload")
    assert card.tell()["loaded"] is None
    assert card.desk.loaded is None


def test_the_model_card_tells_what_fits_and_what_cannot_be_loaded() -> None:
    card = ModelCard()
    heard(card, do="choose", model="nemotron-nano-8b", context="131072", cache="q8", batch="1")
    fit = card.tell()["fit"]
    assert fit["total"] > sum(size for _, size in fit["parts"]) * 0.99
    fits = {one["name"]: one["fits"] for one in fit["cards"]}
    assert (fits["RTX 3060 12 GB"], fits["H200"]) == (False, True)
    said = heard(card, do="load")
    card.wait()
    problem = next(one["problem"] for one in said if one["k"] == "problem" and one["problem"])
    assert "not on this machine" in problem["message"]
    heard(card, do="choose", model="demo", context="9000", cache="fp16", batch="1")
    assert "reads 2,048 tokens" in card.tell()["fit"]["problem"]
    heard(card, do="choose", model="no-such", context="", cache="fp16", batch="")
    assert "no model 'no-such'" in card.tell()["fit"]["problem"]


def test_all_parts_share_one_loaded_model() -> None:
    whole = Workbench("2+2?")
    assert whole.compare.desk is whole.sweep.desk is whole.card.desk
    assert [name for name, _ in whole.tell()["tabs"]] == ["Compare", "Sweep", "Model"]
    assert "Nothing was asked yet." in whole.still().text


def test_what_the_card_loads_answers_from_then_on(model_folder: Path) -> None:
    whole = Workbench("2+2?")
    said: list[dict[str, Any]] = []
    whole.compare.send = lambda content, buffers=None: said.append(content)
    heard(whole.card, do="choose", model=str(model_folder), context="512", cache="fp16", batch="1")
    assert whole.compare.tell()["model"] == "demo", "chosen is not loaded"
    whole.card.load()
    whole.card.wait()
    assert (
        whole.compare.spec == whole.sweep.spec == EngineSpec(model=str(model_folder), context=512)
    )
    assert said[-1]["told"]["model"] == str(model_folder)
    assert whole.compare._form.plan(whole.compare.spec).cells[0].spec == whole.desk.loaded
    whole.desk.close()


@pytest.mark.parametrize(
    ("figure", "value", "of", "met"),
    [
        ("published, MB", 1.9, "two panes", True),
        ("published, MB", 2.1, "two panes", False),
        ("x-ray frames/s while scrolling", 59.8, "x-ray", True),
        ("x-ray frames/s while scrolling", 48.0, "x-ray", False),
        ("bytes a token, ratio", 1.3, "long by short", False),
        ("published, MB", 99.0, "HTML.value +=", None),
        ("published, MB", 0.1, "short panes", None),
        ("longest task, ms", 9.0, "two panes", None),
    ],
)
def test_figures_are_held_against_their_goals(
    figure: str, value: float, of: str, met: bool | None
) -> None:
    assert _judged({"of": of, "figure": figure, "value": value}, "two panes")["met"] is met
