"""Exports: readable by the programs they are for, equal to what the run says, silent on secrets."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.cli import app
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import InvalidInput
from workbench.experiments import Run, execute
from workbench.experiments.sweeps import sweep
from workbench.interchange import FORMATS, export
from workbench.records import Cell, Message, Mode, Plan, Problem, Request, Sampling
from workbench.session import Session
from workbench.store import Store

SECRET = "Which isotope glows \ud800 in Hilbert's cellar?"
QUOTED = "cellar"
PUBLIC = (
    Problem("sum", "What is 1+1? 🙂", "2", "easy", "sums"),
    Problem("product", "What is 3*4?", "12", "hard"),
    Problem("open", "Say something."),
)
PRIVATE = Problem(
    "rec-1", SECRET, "B", "physics", grader="letter", private=True, order=(1, 0, 2, 3)
)
ANSWERS: dict[Any, str] = {
    (PUBLIC[0].prompt, Mode.ON): "<think>\n1 and 1 are 2.\n</think>\n\n\\boxed{2}",
    (PUBLIC[0].prompt, Mode.OFF): "\\boxed{3}",
    PUBLIC[1].prompt: "<think>\nit never ends",
    PUBLIC[2].prompt: "Something.",
    SECRET: "<think>\nThe cellar glows.\n</think>\n\nThe cellar: \\boxed{B}",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("store") / "runs.sqlite") as opened:
        yield opened


def run_of(plan: Plan, store: Store) -> Run:
    with Session(lambda: ScriptedEngine.answering(ANSWERS)) as session:
        return execute(plan, session=session, store=store)


@pytest.fixture(scope="module")
def run(store: Store) -> Run:
    """Two modes, two temperatures, two samples where there is a draw; one cell cannot be asked."""
    plan = sweep(
        PUBLIC, mode=["on", "off"], temperature=[0, 0.8], replicates=2, engine="scripted", top_p=0.9
    )
    refused = Cell(
        plan.cells[0].spec, Request((Message("user", "unknown"),)), Problem("gone", "unknown", "1")
    )
    return run_of(Plan("evaluation", (*plan.cells, refused), {"benchmark": ("sums",)}), store)


@pytest.fixture(scope="module")
def private(store: Store) -> Run:
    """The same record in two orders of its options, beside a problem that anybody may see."""
    cells = [
        Cell(_spec(), Request((Message("user", problem.prompt),), Mode.ON, drawn), problem, sample)
        for sample, problem in enumerate((PRIVATE, PRIVATE))
        for drawn in (Sampling(temperature=0.6, seed=sample),)
    ]
    cells.append(Cell(_spec(), Request((Message("user", PUBLIC[1].prompt),)), PUBLIC[1]))
    return run_of(Plan("evaluation", tuple(cells)), store)


def _spec() -> Any:
    return ScriptedEngine.answering("").spec


def files(run: Run, form: str, store: Store, folder: Path) -> list[Path]:
    out = folder / f"{run.id}.{form}" if form in ("jsonl", "parquet") else folder / form
    made = export(run.id, form, out, store=store)
    assert isinstance(made, tuple)
    return list(made)


# --- what any format says ---------------------------------------------------------------------


def test_lm_eval_tells_the_means_over_problems(run: Run, store: Store, tmp_path: Path) -> None:
    made = files(run, "lm-eval", store, tmp_path)
    told = json.loads(next(file for file in made if file.name.startswith("results_")).read_text())
    frame = run.frame()
    assert set(told["results"]) == {
        "sums_on-temperature-0.0-top-p-0.9",
        "sums_on-temperature-0.8-top-p-0.9",
        "sums_on-temperature-0.0-top-p-1.0",
        "sums_off-temperature-0.0",
        "sums_off-temperature-0.8",
    }
    for name, mode, temperature in (("on", "on", 0.8), ("off", "off", 0.8)):
        own = frame[(frame["mode"] == mode) & (frame["temperature"] == temperature)]
        means = own.groupby("problem")["score"].mean().dropna()
        task = next(
            v for k, v in told["results"].items() if k.startswith(f"sums_{name}-") and "0.8" in k
        )
        assert task["exact_match,none"] == means.mean()
        assert task["exact_match_stderr,none"] == statistics.stdev(means) / len(means) ** 0.5
    counts = told["n-samples"]["sums_off-temperature-0.8"]
    assert counts == {"original": 3, "effective": 3}


def test_lm_eval_samples_have_the_prompt_the_repeats_and_what_was_read(
    run: Run, store: Store, tmp_path: Path
) -> None:
    made = files(run, "lm-eval", store, tmp_path)
    file = next(file for file in made if file.name.startswith("samples_sums_on-temperature-0.8"))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    first, second, third = rows
    assert first["resps"] == [["<think>\n1 and 1 are 2.\n</think>\n\n\\boxed{2}"] * 2]
    assert first["filtered_resps"] == [["2", "2"]]
    assert (first["exact_match"], first["target"], first["doc"]["subject"]) == (1.0, "2", "sums")
    prompt = first["arguments"]["gen_args_0"]["arg_0"]
    assert prompt.startswith("<|begin_of_text|>")
    assert "detailed thinking on" in prompt
    assert "What is 1+1? 🙂" in prompt
    assert first["prompt_hash"] == hashlib.sha256(prompt.encode()).hexdigest()
    assert (second["exact_match"], second["filtered_resps"]) == (0.0, [["", ""]])
    assert third["metrics"] == []  # nothing to grade against
    assert [row["doc_id"] for row in rows] == [0, 1, 2]


def test_a_failed_request_is_an_error_in_inspect(run: Run, store: Store, tmp_path: Path) -> None:
    logs = [json.loads(file.read_text()) for file in files(run, "inspect", store, tmp_path)]
    samples = [sample for log in logs for sample in log["samples"]]
    failed = [sample for sample in samples if "error" in sample]
    assert [sample["id"] for sample in failed] == ["gone"]
    assert failed[0]["error"]["message"]
    assert "scores" not in failed[0]
    assert len(samples) == len(run.generations)


def test_parquet_is_the_frame(run: Run, store: Store, tmp_path: Path) -> None:
    (file,) = files(run, "parquet", store, tmp_path)
    read = pd.read_parquet(file)
    frame = run.frame()
    assert list(read.columns) == list(frame.columns)
    assert read["answer"].tolist() == frame["answer"].tolist()
    assert read["score"].isna().sum() == frame["score"].isna().sum() > 0


def test_jsonl_is_every_event(run: Run, store: Store, tmp_path: Path) -> None:
    (file,) = files(run, "jsonl", store, tmp_path)
    assert file.read_text().splitlines() == list(store.export(run.id))
    lines = export(run.id, store=store)
    assert list(lines) == list(store.export(run.id))


# --- private problems ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_no_text_of_a_private_problem_is_in_any_file(
    private: Run, store: Store, tmp_path: Path, form: str
) -> None:
    made = files(private, form, store, tmp_path)
    told = "\n".join(_readable(file) for file in made)
    assert QUOTED not in told
    assert "isotope" not in told
    assert "glows" not in told
    assert "rec-1" in told
    assert "withheld" in told
    assert "12" in told  # what is public still is
    assert PUBLIC[1].prompt in told or form == "parquet"


def _readable(file: Path) -> str:
    if file.suffix == ".parquet":
        return str(pd.read_parquet(file).to_json(force_ascii=False))
    return (
        json.dumps([json.loads(line) for line in file.read_text().splitlines()][:99])
        if (file.suffix == ".jsonl")
        else file.read_text()
    )


def test_ids_of_private_tokens_are_counted_and_not_told(private: Run, store: Store) -> None:
    lines = [json.loads(line) for line in export(private.id, store=store)]
    told = [line for line in lines if line["type"] == "generation"]
    for line in told[:2]:
        chunks = [event for event in line["events"] if event["type"] == "chunk"]
        ids = [i for chunk in chunks for i in chunk["ids"]]
        assert set(ids) == {-1}
        assert len(ids) == line["metrics"]["output_tokens"]
        assert line["cell"]["problem"]["answer"] == "B"
        assert "sha256" in line["cell"]["problem"]["prompt"]
    assert [score["extracted"] for score in lines if score["type"] == "score"][:2] == ["B", "B"]


def test_the_sum_of_a_private_question_is_told(private: Run, store: Store, tmp_path: Path) -> None:
    logs = [json.loads(file.read_text()) for file in files(private, "inspect", store, tmp_path)]
    sample = next(s for log in logs for s in log["samples"] if s["id"] == "rec-1")
    expected = hashlib.sha256(SECRET.encode("utf-8", errors="replace")).hexdigest()
    assert sample["metadata"]["prompt_sha256"] == expected
    assert (sample["target"], sample["metadata"]["order"]) == ("B", [1, 0, 2, 3])
    assert sample["scores"]["exact_match"]["answer"] == "B"


# --- the command --------------------------------------------------------------------------------


def test_the_command_names_the_files(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(store.path.parent))
    code = app.run(["runs", "export", run.id, "--format", "inspect", "--out", str(tmp_path / "x")])
    named = capsys.readouterr().err.splitlines()
    assert code == 0
    assert sorted(map(Path, named)) == sorted((tmp_path / "x").iterdir())
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(("form", "task"), [("csv", None), ("inspect", "a/b"), ("lm-eval", "")])
def test_unknown_formats_and_unfit_names_are_refused(
    run: Run, store: Store, tmp_path: Path, form: str, task: str | None
) -> None:
    with pytest.raises(InvalidInput):
        export(run.id, form, tmp_path, task=task, store=store)


def test_a_place_that_cannot_be_written_to_is_told(run: Run, store: Store, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InvalidInput, match="cannot be written"):
        export(run.id, "lm-eval", tmp_path / "taken", store=store)


# --- by the programs they are for ---------------------------------------------------------------


def test_inspect_reads_every_log(run: Run, store: Store, tmp_path: Path) -> None:
    inspect = pytest.importorskip("inspect_ai.log")
    made = files(run, "inspect", store, tmp_path)
    assert len(inspect.list_eval_logs(str(tmp_path / "inspect"))) == len(made) == 5
    for file in made:
        log = inspect.read_eval_log(str(file))
        known = log.model_dump(mode="json")
        _all_known(json.loads(file.read_text()), known)
        assert (log.version, log.status, log.eval.task) == (2, "success", "sums")
        assert inspect.read_eval_log(str(file), header_only=True).results == log.results
        assert len(log.samples) == log.results.completed_samples
        assert len({(sample.id, sample.epoch) for sample in log.samples}) == len(log.samples)


def test_inspect_computes_the_same_scores(run: Run, store: Store, tmp_path: Path) -> None:
    inspect = pytest.importorskip("inspect_ai.log")
    scorer = pytest.importorskip("inspect_ai.scorer")
    for file in files(run, "inspect", store, tmp_path):
        log = inspect.read_eval_log(str(file))
        for told in log.results.scores:
            reduced = _reduced(log, scorer, told.name)
            assert told.metrics["accuracy"].value == pytest.approx(scorer.accuracy()(reduced))
            if "stderr" in told.metrics:
                assert told.metrics["stderr"].value == pytest.approx(scorer.stderr()(reduced))


def _reduced(log: Any, scorer: Any, name: str) -> list[Any]:
    by_id: dict[str, list[Any]] = {}
    for sample in log.samples:
        if sample.scores:
            by_id.setdefault(sample.id, []).append(sample.scores[name])
    mean = scorer.mean_score()
    return [scorer.SampleScore(score=mean(scores)) for scores in by_id.values()]


def test_inspect_sees_thinking_answer_and_why_it_ended(
    run: Run, store: Store, tmp_path: Path
) -> None:
    inspect = pytest.importorskip("inspect_ai.log")
    logs = [inspect.read_eval_log(str(file)) for file in files(run, "inspect", store, tmp_path)]
    greedy = next(log for log in logs if log.plan.config.temperature == 0)
    sample = next(sample for sample in greedy.samples if sample.id == "sum")
    thought, text = sample.messages[-1].content
    assert (thought.type, thought.reasoning) == ("reasoning", "1 and 1 are 2.")
    assert text.text == sample.output.completion == "\\boxed{2}"
    assert sample.output.stop_reason == "stop"
    assert sample.scores["exact_match"].value == "C"
    generation = next(one for one in run.generations.values() if one.answer == "\\boxed{2}")
    usage = sample.output.usage
    assert usage.output_tokens == len(generation.ids)
    assert 0 < usage.reasoning_tokens < usage.output_tokens
    unfinished = next(sample for sample in greedy.samples if sample.id == "product")
    assert unfinished.output.completion == ""
    assert unfinished.scores["exact_match"].value == "I"


def test_lm_eval_makes_its_table(run: Run, store: Store, tmp_path: Path) -> None:
    utils = pytest.importorskip("lm_eval.utils")
    made = files(run, "lm-eval", store, tmp_path)
    names = [str(file) for file in made]
    (results,) = utils.get_results_filenames(names)
    samples = utils.get_sample_results_filenames(names)
    told = json.loads(Path(results).read_text())
    table = utils.make_table(told)
    assert {utils.get_file_task_name(Path(name).name) for name in samples} == set(told["results"])
    for name, values in told["results"].items():
        measured = any(metric.endswith(",none") for metric in values)
        assert (f"|{name}" in table) is measured, "what nothing came of has no row"
        if "exact_match,none" in values:
            assert f"{values['exact_match,none']:.2f}" in table


def test_lm_eval_knows_every_field(run: Run, store: Store, tmp_path: Path) -> None:
    schema = pytest.importorskip("lm_eval.result_schema")
    pydantic = pytest.importorskip("pydantic")
    made = files(run, "lm-eval", store, tmp_path)
    results = next(file for file in made if file.name.startswith("results_"))
    told = json.loads(results.read_text())
    assert set(told) <= set(schema.EvalResults.__annotations__)
    line = pydantic.TypeAdapter(schema.SampleResult)
    for file in set(made) - {results}:
        for row in file.read_text().splitlines():
            line.validate_json(row, strict=True)


def _all_known(ours: Any, theirs: Any, place: str = "log") -> None:
    """Every name that we write is one that they read."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        assert ours.keys() <= theirs.keys(), f"{place}: {ours.keys() - theirs.keys()}"
        for name in ours:
            _all_known(ours[name], theirs[name], f"{place}.{name}")
    if isinstance(ours, list) and isinstance(theirs, list):
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            _all_known(mine, other, f"{place}[{number}]")
