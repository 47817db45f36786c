"""Compare without a page: what it tells, what it refuses, and notebooks that nobody watches."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Any

import pytest
from workbench_widgets import Arm, Compare, Desk, Xray
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


def test_arms_differ_in_engine_model_and_sampling(model_folder: Path) -> None:
    """The same greedy text from two engines; another model beside them; each stored as asked."""
    arms = (
        Arm(wb.Mode.OFF, max_tokens=12),
        Arm(wb.Mode.OFF, max_tokens=12, kind="reference"),
        Arm(wb.Mode.OFF, temperature=1.5, top_k=5, max_tokens=12, model=str(model_folder)),
    )
    part = Compare("What is 1 + 2?", arms, expected="3").ask()
    part.wait()
    told = part.tell()
    first, second, third = told["arms"]
    assert [one["end"]["reason"] in ("stop", "length") for one in told["arms"]] == [True] * 3
    assert first["s"] == second["s"] != third["s"]
    assert [one["name"] for one in told["arms"]] == [
        "off · demo · exllama",
        "off · demo · reference",
        f"off · {model_folder} · exllama"[:80],
    ]
    assert third["asked"] == "temperature 1.5, top-k 5"
    stored = Compare.of(str(part.run_id)).tell()
    asked = [(arm["kind"], arm["model"], arm["top_k"]) for arm in stored["form"]["arms"]]
    assert asked == [
        ("exllama", "demo", 0),
        ("reference", "demo", 0),
        ("exllama", str(model_folder), 5),
    ]


def test_an_arm_keeps_to_its_thinking_budget() -> None:
    part = Compare("What is 47 + 38 - 12?", (Arm(thinking_tokens=16), Arm())).ask()
    part.wait()
    short, long = part.sides
    assert short.told()["asked"].endswith("thinking at most 16 tokens")
    assert short.snapshot().answer.strip(), "closed at its budget, it answers"
    assert short.figures["thinking_tokens"] < 24 < long.figures["thinking_tokens"]
    part.desk.close()


def test_an_arm_of_another_engine_leaves_the_first_one_s_settings() -> None:
    own = EngineSpec(model="/m", revision="r", cache="q8", context=512)
    assert Arm().spec(own) == own
    assert Arm(model="/n").spec(own) == EngineSpec(model="/n", cache="q8", context=512)
    assert Arm(kind="reference").spec(own) == EngineSpec("reference", "/m")
    remote = Arm(kind="remote", model="nim", endpoint="http://localhost:1/v1").spec(own)
    assert remote == EngineSpec("remote", "nim", endpoint="http://localhost:1/v1")
    assert Arm().spec(remote) == remote


def test_an_engine_that_cannot_be_asked_is_told_under_the_part() -> None:
    part = Compare("1+1?", (Arm(kind="remote", model="x"),)).ask()
    part.wait()
    assert "needs an endpoint" in str(part._problem)
    heard(part, do="run", form=part.tell()["form"] | {"arms": [{"mode": "on", "kind": "psychic"}]})
    assert "no engine called 'psychic'" in str(part._problem)


def test_every_sample_and_every_arm_of_a_stored_run_is_reached() -> None:
    problems = [wb.Problem(name, "2+2?", "2") for name in ("a", "b")]
    plan = wb.sweep(problems, temperature=[0, 0.5, 1, 2], replicates=2)
    with Scripted().session(EngineSpec()) as session:
        run = wb.execute(plan, session=session)
    part = Compare.of(run)
    at = part.tell()["opened"]
    assert (at["problems"], at["samples"], at["arms"]) == (["a", "b"], [0, 1], 4)
    assert len(part.sides) == 3
    heard(part, do="open", run=run.id, problem="b", sample=1, first=3)
    (last,) = part.sides
    assert (last.cell.problem.id, last.cell.sample) == ("b", 1)  # type: ignore[union-attr]
    assert last.cell.request.sampling.temperature == 2
    heard(part, do="open", run=run.id, problem="b", sample=1)
    assert [side.cell.sample for side in part.sides] == [0, 1, 1], "greedy was asked once"


def test_however_many_runs_there_are_all_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    part = asked()
    runs = [str(part.run_id)]
    for _ in range(4):
        part.ask().wait()
        runs.insert(0, str(part.run_id))
    monkeypatch.setattr("workbench_widgets.history._PAGE", 2)
    skip: int | None = 0
    found: list[str] = []
    while skip is not None:
        page = heard(part, do="history", skip=skip)[-1]
        assert len(page["runs"]) <= 2
        found += [run["id"] for run in page["runs"]]
        skip = page["older"]
    assert found == runs


def test_a_session_that_is_closed_under_a_part_ends_its_answers() -> None:
    """As by the model card's Unload, or a cell that closes it: what came is kept, nothing spins."""
    desk = Desk()
    part = Compare("What is 47 + 38 - 12?", ("on",), desk=desk).ask()
    until = time.monotonic() + 60
    while not part.sides[0].delta() and time.monotonic() < until:
        time.sleep(0.005)
    desk.close()
    part.wait()
    told = part.tell()
    assert told["status"] == "done"
    assert told["arms"][0]["end"]["reason"] in ("cancelled", "stop")
    assert wb.load(str(part.run_id)).generations[0].end is not None
    part.ask().wait()
    assert part.tell()["arms"][0]["end"] == {"reason": "stop"}, "the next wish opens it again"


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
