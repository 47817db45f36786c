"""Reports verified: what they carry, who can read it, and how a difference is told."""

from __future__ import annotations

import base64
import hashlib
import html as html_module
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import workbench as wb
from workbench import pages
from workbench.cli import app
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import InvalidInput, ModelError
from workbench.experiments import evidence as evidences
from workbench.experiments.evidence import Evidence, digest, evidence, pack, unpack
from workbench.pages.manifest import RUN_TYPE
from workbench.records import Problem
from workbench.report import page
from workbench.report.changes import changes
from workbench.report.reading import runs_of
from workbench.report.verify import at_hand, verify

PROBLEMS = (Problem("one", "What is 3 + 4?", "7"), Problem("two", "What is 5 + 6?", "11"))
MODES = (wb.Mode.ON, wb.Mode.OFF)
SCRIPT = {
    (PROBLEMS[0].prompt, wb.Mode.ON): "<think>\n3 and 4\n</think>\n\n\\boxed{7}",
    (PROBLEMS[0].prompt, wb.Mode.OFF): "\\boxed{8}",
    (PROBLEMS[1].prompt, wb.Mode.ON): "<think>\n5 and 6\n</think>\n\n\\boxed{11}",
}  # two, off: fails


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "140")


def answered(plan: wb.Plan, path: Path, script: Any = SCRIPT) -> wb.Run:
    with (
        wb.Session(lambda: ScriptedEngine.answering(script)) as session,
        wb.Store(path) as store,
    ):
        return wb.execute(plan, session=session, store=store)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Of a scripted run with a request that failed."""
    path = tmp_path_factory.mktemp("told") / "runs.sqlite"
    return evidence(answered(wb.compare(PROBLEMS, modes=MODES), path))


def again(told: Evidence, script: Any = SCRIPT, **options: Any) -> Any:
    """Verify with a scripted engine."""
    with wb.Session(lambda: ScriptedEngine.answering(script)) as session:
        return verify(told, told.plan, session=session, **options)


def written(folder: Path, packed: Any) -> tuple[Path, Path]:
    """A report as its notebook and its page, with what it says of its run."""
    shown = new_code_cell("pages.manifest(run)")
    shown.outputs = [new_output("execute_result", data={RUN_TYPE: packed, "text/plain": "run"})]
    made = new_notebook(cells=[new_markdown_cell("# A report"), shown])
    notebook, html = folder / "r.ipynb", folder / "r.html"
    nbformat.write(made, notebook)
    html.write_text(page.html(made, "r.ipynb"), encoding="utf-8")
    return notebook, html


def changed(packed: dict[str, Any], change: Any) -> dict[str, Any]:
    """The same with something inside changed, and a checksum that fits again."""
    document = json.loads(zlib.decompress(base64.b64decode(packed["data"])))
    change(document)
    data = base64.b64encode(zlib.compress(json.dumps(document).encode()))
    sha256 = hashlib.sha256(data).hexdigest()
    return packed | {"data": data.decode(), "sha256": sha256}


# --- what a report carries ------------------------------------------------------------------------


def test_a_report_carries_the_run_in_both_files(told: Evidence, tmp_path: Path) -> None:
    for path in written(tmp_path, pack(told)):
        (read,) = runs_of(str(path))
        assert read.plan == told.plan
        assert read == told


def test_what_it_carries_is_what_the_run_was(tmp_path: Path) -> None:
    run = answered(wb.compare(PROBLEMS, modes=MODES), tmp_path / "runs.sqlite")
    told = unpack(pages.manifest(run).data[RUN_TYPE])
    for index, generation in run.generations.items():
        one = told.generations[index]
        assert one.ids == generation.ids
        assert one.finish_reason == generation.finish_reason
    frame, own = told.frame(), run.frame()
    assert set(frame.columns) <= set(own.columns)
    assert frame["score"].fillna(-1).tolist() == own["score"].fillna(-1).tolist()
    latencies = own["request_latency"].tolist()
    assert frame["request_latency"].tolist() == pytest.approx(latencies, rel=1e-5)  # six digits


def test_the_page_holds_it_as_inert_text(told: Evidence, tmp_path: Path) -> None:
    _, html = written(tmp_path, pack(told) | {"id": "</script><script>alert(1)"})
    text = html.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "script-src 'none'" in html_module.unescape(text)
    assert '<script type="application/json" id="run-0">' in text


def test_a_large_run_keeps_the_first_ids_and_a_digest_of_all(
    told: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidences, "_MOST", 3000)
    monkeypatch.setattr(evidences, "_KEPT", (None, 16))
    many = tuple((number * 7919) % 128_000 for number in range(3000))
    long = replace(told.generations[0], ids=many, count=3000, digest=digest(many))
    packed = pack(replace(told, generations={0: long}))
    read = unpack(packed).generations[0]
    assert (read.ids, read.count, read.digest) == (many[:16], 3000, digest(many))


# --- the same, and not the same -------------------------------------------------------------------


def test_the_same_engine_gives_the_same(told: Evidence) -> None:
    checked = again(told)
    assert checked.same
    assert (checked.compared, checked.left_out, checked.same_ids) == (3, 1, 3)
    assert (checked.same_answers, checked.graded, checked.same_scores) == (3, 3, 3)
    assert checked.latency_ratio == pytest.approx(1.0)
    assert checked.changes == ()
    assert wb.Store(read_only=True).run(checked.run).kind == "verify"


def test_the_first_token_that_differs_is_named(told: Evidence) -> None:
    other = SCRIPT | {(PROBLEMS[0].prompt, wb.Mode.OFF): "\\boxed{7}"}
    checked = again(told, other)
    (found,) = checked.divergences
    assert not checked.same
    assert (found.problem, found.arm, found.position) == ("one", "off", len("\\boxed{"))
    new = wb.load(checked.run).generations[1].ids
    assert (found.then, found.now) == (told.generations[1].ids[7], new[7])
    assert str(found) == f"one · off: token 8 was id {found.then}, now id {found.now}"
    assert (checked.same_ids, checked.same_answers, checked.same_scores) == (2, 2, 2)


def test_an_answer_that_ends_elsewhere_differs_at_its_end(told: Evidence) -> None:
    longer = SCRIPT | {(PROBLEMS[0].prompt, wb.Mode.OFF): "\\boxed{8}."}
    checked = again(told, longer)
    (found,) = checked.divergences
    end = wb.load(checked.run).generations[1].ids[-1]
    assert (found.position, found.then, found.now) == (len("\\boxed{8}"), None, end)
    shorter = SCRIPT | {(PROBLEMS[0].prompt, wb.Mode.OFF): "\\boxed{8"}
    (found,) = again(told, shorter).divergences
    end = told.generations[1].ids[-1]
    assert (found.position, found.then, found.now) == (len("\\boxed{8"), end, None)


def test_behind_the_ids_that_are_kept_only_the_digest_tells(told: Evidence) -> None:
    first = told.generations[0]
    short = replace(told, generations={0: replace(first, ids=first.ids[:4])})
    assert again(short).same
    other = SCRIPT | {(PROBLEMS[0].prompt, wb.Mode.ON): "<think>\n3 plus 4\n</think>7"}
    (found,) = again(short, other).divergences
    assert found.position is None
    assert "behind those that the report keeps" in str(found)


def test_a_request_that_fails_now_is_a_difference(told: Evidence) -> None:
    less = {key: text for key, text in SCRIPT.items() if key[1] is wb.Mode.ON}
    (found,) = again(told, less).divergences
    assert found.failed
    assert str(found) == "one · off: it failed this time"


def test_a_sample_is_spread_over_the_plan(told: Evidence) -> None:
    checked = again(told, limit=2)
    assert (checked.compared, checked.same_ids) == (2, 2)
    asked = wb.load(checked.run).plan.cells
    assert [cell.problem.id for cell in asked if cell.problem] == ["one", "one"]
    with pytest.raises(InvalidInput, match="limit is 0"):
        again(told, limit=0)


def test_as_many_requests_at_once_as_then(told: Evidence) -> None:
    at_once = replace(told, environment=dict(told.environment) | {"concurrency": 2})
    assert wb.load(again(at_once).run).environment["concurrency"] == 2


def test_nothing_to_compare_is_said(told: Evidence) -> None:
    failed = {index: one for index, one in told.generations.items() if not one.ok}
    with pytest.raises(InvalidInput, match="nothing to compare"):
        again(replace(told, generations=failed))


def test_what_is_not_as_it_was_is_named() -> None:
    engine = {"device": "cuda:0", "attention": "flash-attn", "max_batch": 64}
    then = {"python": "3.11", "packages": {"torch": "2.6", "gone": "1"}, "engines": [engine]}
    now = {
        "python": "3.12",
        "packages": {"torch": "2.7"},
        "engines": [engine | {"device": "cpu"}],
        "gpu": None,
    }
    assert [(one.what, one.then, one.now) for one in changes(then, now)] == [
        ("device", "cuda:0", "cpu"),
        ("python", "3.11", "3.12"),
        ("torch", "2.6", "2.7"),
        ("gone", "1", None),
    ]


# --- the embedded model ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small report of the embedded model, its page, whose store is gone."""
    folder = tmp_path_factory.mktemp("demo")
    plan = wb.compare(PROBLEMS, modes=MODES, max_tokens=40, logprobs=False)
    with wb.Store(folder / "gone.sqlite") as store:
        run = wb.execute(plan, store=store, concurrency=2)
        _, html = written(folder, pages.manifest(run).data[RUN_TYPE])
    (folder / "gone.sqlite").unlink()
    return html


def test_on_the_embedded_model_it_is_exact(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["report", "verify", str(demo), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    (checked,) = shown["runs"]
    assert shown["same"] is True
    assert (checked["compared"], checked["same_ids"], checked["same_answers"]) == (4, 4, 4)
    assert checked["changes"] == []


def test_a_report_whose_ids_were_changed_does_not_come_out_the_same(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (read,) = runs_of(str(demo))
    forged = read.generations[0]
    ids = (*forged.ids[:3], forged.ids[3] + 1, *forged.ids[4:])
    one = replace(forged, ids=ids, digest=digest(ids))
    _, html = written(tmp_path, pack(replace(read, generations={**read.generations, 0: one})))
    assert app.run(["report", "verify", str(html), "--limit", "1"]) == 1
    out = capsys.readouterr().out
    assert f"token 4 was id {ids[3]}, now id {forged.ids[3]}" in out
    assert "0 of 1 generations" in out


def test_other_weights_are_said_and_not_refused(demo: Path) -> None:
    (read,) = runs_of(str(demo))
    engine = dict(read.environment["engines"][0]) | {"weights_sha256": "other"}
    other = replace(read, environment=dict(read.environment) | {"engines": [engine]})
    _, weights = at_hand(other)
    assert [(one.what, one.then) for one in weights] == [("weights of demo", "other")]
    assert at_hand(read)[1] == ()


# --- what is no report ----------------------------------------------------------------------------


def test_a_changed_report_is_refused(told: Evidence, tmp_path: Path) -> None:
    packed = pack(told)

    def another_id(document: dict[str, Any]) -> None:
        document["ids"][0][2] += 1

    def beyond(document: dict[str, Any]) -> None:
        document["index"][0] = 99

    for wrong, why in (
        (packed | {"data": packed["data"][:-4] + "AAAA"}, "its checksum does not fit"),
        (packed | {"sha256": "0"}, "its checksum does not fit"),
        (changed(packed, another_id), "ids of generation 0 are not those it was made with"),
        (changed(packed, beyond), "no generation 99 like it"),
        (changed(packed, lambda document: document.pop("plan")), "KeyError"),
        (changed(packed, lambda document: document["ids"].pop()), "damaged"),
        ({"id": "x", "format": 1}, "not complete"),
    ):
        for path in written(tmp_path, wrong):
            with pytest.raises(InvalidInput, match="changed or damaged") as caught:
                runs_of(str(path))
            assert why in caught.value.message


def test_a_bomb_is_not_inflated(told: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidences, "_LARGEST", 1000)
    with pytest.raises(InvalidInput, match="too large"):
        unpack(pack(told))


def test_a_newer_format_is_refused(told: Evidence, tmp_path: Path) -> None:
    for path in written(tmp_path, pack(told) | {"format": 2}):
        with pytest.raises(InvalidInput, match="newer version: its format is 2") as caught:
            runs_of(str(path))
        assert "Update" in caught.value.remedy


def test_a_report_that_only_names_its_run_needs_the_store(tmp_path: Path) -> None:
    notebook, _ = written(tmp_path, {"id": "20260101-000000-000-abcd"})
    with pytest.raises(InvalidInput, match="only names its run, and There is no run"):
        runs_of(str(notebook))
    run = answered(wb.compare("?", modes=["off"]), tmp_path / "home" / "runs.sqlite", {})
    notebook, html = written(tmp_path, {"id": run.id})
    assert runs_of(str(notebook)) == runs_of(str(html)) == runs_of(run.id)


@pytest.mark.parametrize("content", ["", "no JSON", "[]", "{}", '{"cells": 1}', "\ud800"])
def test_a_file_that_is_no_report_is_refused(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in (".ipynb", ".html", ".txt"):
        path = tmp_path / f"odd{suffix}"
        path.write_bytes(content.encode("utf-8", "surrogatepass"))
        assert app.run(["report", "verify", str(path)]) == 2
        err = capsys.readouterr().err
        assert "no report of the workbench" in err or "cannot be read" in err
        assert err.count("\n") == 1


def test_a_file_that_is_not_there_and_a_run_that_is_not_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no file"):
        runs_of(str(tmp_path / "x.html"))
    with pytest.raises(InvalidInput, match="no run 'x'"):
        runs_of("x")


def test_a_model_that_is_not_here_is_told(told: Evidence) -> None:
    cells = tuple(
        replace(cell, spec=replace(cell.spec, model="/their/model")) for cell in told.plan.cells
    )
    theirs = replace(told, plan=replace(told.plan, cells=cells))
    with pytest.raises(ModelError, match="'/their/model' is not on this machine") as caught:
        at_hand(theirs)
    assert "--model" in caught.value.remedy
    plan, _ = at_hand(theirs, model="demo", device="cpu")
    assert {(cell.spec.model, cell.spec.device) for cell in plan.cells} == {("demo", "cpu")}
    two = replace(told.plan, cells=(told.plan.cells[0], *cells[1:]))
    with pytest.raises(InvalidInput, match="2 models"):
        at_hand(replace(told, plan=two), model="demo")
