"""Compare without a page: what it tells, what it refuses, and notebooks that nobody watches."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from workbench_widgets import Compare, Desk, Xray
from workbench_widgets.xray import columns_of

import workbench as wb
from workbench.engines.scripted import ScriptedEngine
from workbench.metrics import token_times
from workbench.records import EngineSpec, Request
from workbench.session import Session


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def answer(request: Request) -> str:
    if request.mode is wb.Mode.ON:
        return "<think>\n1+1\n</think>\n\n\\boxed{2}"
    return "\\boxed{3}"


class Scripted(Desk):
    """Answers at once, always the same."""

    def session(self, spec: EngineSpec) -> Session:
        return Session(lambda: ScriptedEngine.answering(answer))


def asked(**given: Any) -> Compare:
    part = Compare("1+1?", expected="2", desk=Scripted(), **given).ask()
    part.wait()
    return part


def heard(part: Compare, **wish: Any) -> list[dict[str, Any]]:
    """What a page hears when it asks for something."""
    said: list[dict[str, Any]] = []
    part.send = lambda content, buffers=None: said.append(content)  # type: ignore[method-assign]
    part._heard(None, {"n": 1, **wish})
    part.wait()
    return said


def test_every_arm_is_told_graded_and_kept() -> None:
    told = asked().tell()
    on, off = told["arms"]
    assert (on["right"], off["right"]) == (True, False)
    assert on["s"][1] == ["t", "\n1+1\n"]
    assert on["end"] == {"reason": "stop"}
    assert told["marks"] == [[], ["faster", "shorter"]]
    stored = wb.load(told["run"])
    assert stored.status == "finished"
    assert stored.generations[0].thinking == "1+1"


def test_the_kept_state_is_what_is_told_at_the_end() -> None:
    part = asked()
    assert part.told["arms"] == part.tell()["arms"]
    assert part.get_state("told")["told"]["run"] == part.run_id


def test_a_stored_run_opens_in_the_same_view() -> None:
    part = asked()
    again = Compare.of(str(part.run_id))
    assert [arm["s"] for arm in again.tell()["arms"]] == [arm["s"] for arm in part.tell()["arms"]]
    assert again.tell()["opened"]["problems"] == ["asked"]
    assert again.tell()["form"]["prompt"] == "1+1?"


def test_one_arm_is_asked_again_and_the_other_stays() -> None:
    part = asked()
    before, run = part.tell()["arms"], part.run_id
    form = part.tell()["form"]
    form["arms"][0]["temperature"] = "1.5"
    heard(part, do="again", form=form, arm=0)
    after = part.tell()["arms"]
    assert after[1] == before[1]
    assert "temperature 1.5" in after[0]["asked"]
    assert part.run_id != run


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"prompt": " "}, "The prompt is empty."),
        ({"seed": "x"}, "seed is 'x', which is not a whole number."),
        ({"arms": []}, "There is no arm to ask."),
        ({"arms": [{"mode": "loud"}]}, "There is no mode 'loud'."),
        ({"arms": [{"mode": "on", "top_p": "2"}]}, "top-p is 2.0; it must be above 0"),
        ({"arms": [{"mode": "on", "temperature": "nan"}]}, "temperature is nan"),
    ],
)
def test_what_cannot_be_asked_is_told_with_its_remedy(
    change: dict[str, Any], sentence: str
) -> None:
    part = Compare("1+1?", desk=Scripted())
    said = heard(part, do="run", form=part.tell()["form"] | change)
    assert said[0] == {"k": "ack", "n": 1}
    problem = next(one["problem"] for one in said if one["k"] == "problem")
    assert problem["message"].startswith(sentence)
    assert problem["remedy"]
    assert said[-1]["told"]["status"] == "idle"


def test_wishes_that_are_none_and_errors_of_ours_end_nothing() -> None:
    part = asked()
    assert heard(part, do="no_such_thing") == [{"k": "ack", "n": 1}]
    assert heard(part, do="xray", arm=7)[1]["problem"]["message"] == "There is no such arm."
    broken = heard(part, do="xray", wrong=1)[1]["problem"]
    assert broken["message"].startswith("That did not work: TypeError")
    heard(part, do="dismiss")
    assert part.get_state("told")["told"]["problem"] is None


def test_a_model_that_is_not_here_is_told() -> None:
    part = Compare("1+1?", spec=EngineSpec(model="/no/such/folder")).ask()
    part.wait()
    assert part._problem is not None
    assert "/no/such/folder" in part._problem["message"]
    assert part.tell()["status"] == "done"


def test_awaiting_gives_the_run() -> None:
    async def ask() -> wb.Run | None:
        return await Compare("1+1?", desk=Scripted()).ask()

    run = asyncio.run(ask())
    assert run is not None
    assert len(run.generations) == 2


def test_the_x_ray_has_a_row_a_token_and_the_whole_text() -> None:
    part = Compare("What is 47 + 38 - 12?").ask()
    part.wait()
    run = wb.load(str(part.run_id))
    generation = run.generations[0]
    xray = Xray(generation)
    columns = columns_of(generation)
    times = token_times(generation)
    told = xray.tell()
    assert told["tokens"] == len(columns["end"]) == len(generation.ids)
    assert list(columns["id"]) == list(generation.ids)
    assert columns["end"][-1] == len(told["text"])
    told_by_metrics = [
        (one.t, one.gap, one.logprob, "tam".index(str(one.channel)[0])) for one in times
    ]
    for row, one in enumerate(told_by_metrics):
        own = [float(columns[name][row]) for name in ("t", "gap", "logprob", "channel")]
        assert own == pytest.approx([math.nan if v is None else v for v in one], nan_ok=True)
    assert (columns["entropy"] >= 0).all()
    said: list[Any] = []
    xray.send = lambda content, buffers=None: said.append(content)  # type: ignore[method-assign]
    xray.do_token(5)
    alternatives = said[0]["alternatives"]
    assert len(alternatives) == 10
    assert alternatives[0]["id"] == generation.ids[5]
    part.desk.close()


CELLS = """
import workbench as wb
from workbench.metrics import token_times
from workbench.engines.scripted import ScriptedEngine
from workbench.session import Session
from workbench_widgets import Compare, Desk
class Slow(Desk):
    def session(self, spec):
        text = lambda _: "word " * 12 + "the last of it <b>"
        return Session(lambda: ScriptedEngine.answering(text, pace=1))
"""


def test_where_nobody_watches_the_saved_notebook_has_the_final_text(tmp_path: Path) -> None:
    """As nbclient, papermill and nbval run notebooks: shown before, while and after it runs."""
    sources = [CELLS, "c = Compare('Go on.', desk=Slow())\nc", "c.ask()", "c"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in sources])
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell in book.cells[1:]:
        (output,) = cell.outputs
        assert "the last of it &lt;b&gt;" in output.data["text/html"]
        assert "application/vnd.jupyter.widget-view+json" not in output.data
