"""Benchmarks: the card's prompts and figures, all rows read, every mistake told with its row."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from workbench import codec
from workbench.errors import InvalidInput
from workbench.evaluation import benchmarks
from workbench.evaluation.benchmarks import gpqa, gpqa_synthetic, gsm8k, mtbench
from workbench.evaluation.benchmarks.files import Row, read_rows
from workbench.evaluation.problems import arithmetic_suite
from workbench.evaluation.suites import SUITES, suite
from workbench.records import Cell, EngineSpec, Message, Mode, Request

Real = Callable[[str], Path]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture
def synthetic(tmp_path: Path) -> Path:
    return gpqa_synthetic.write(tmp_path / "gpqa_diamond.csv")


# --- what the card says ---------------------------------------------------------------------------


def test_the_templates_are_the_cards() -> None:
    mathematics = (
        "Below is a math question. I want you to reason through the steps and then give a final "
        "answer. Your final answer should be in \\boxed{}.\nQuestion: {question}"
    )
    for name in ("math500", "aime25", "gsm8k"):
        assert benchmarks.benchmark(name).template == mathematics
    assert benchmarks.benchmark("gpqa").template == (
        "What is the correct answer to this question: {question}\nChoices:\nA. {option_A}\n"
        "B. {option_B}\nC. {option_C}\nD. {option_D}\nLet's think step by step, and put the final "
        "answer (should be a single letter A, B, C, or D) into a \\boxed{}"
    )


def test_the_figures_are_the_cards() -> None:
    published = {name: one.published for name, one in benchmarks.BENCHMARKS.items()}
    assert published == {
        "math500": {Mode.OFF: 0.366, Mode.ON: 0.954},
        "aime25": {Mode.OFF: 0.0, Mode.ON: 0.471},
        "gpqa": {Mode.OFF: 0.394, Mode.ON: 0.541},
        "mtbench": {Mode.OFF: 7.9, Mode.ON: 8.1},
        "gsm8k": None,
        "arithmetic": None,
    }
    assert "36.6 %" in benchmarks.benchmark("aime25").note
    graders = {name: one.grader for name, one in benchmarks.BENCHMARKS.items()}
    assert list(graders.values()) == ["math", "aime", "letter", "judge", "math", "boxed"]


def test_pins_are_commits_and_checksums() -> None:
    for one in benchmarks.BENCHMARKS.values():
        for source in one.sources:
            assert len(source.sha256) == 64
            assert source.revision is None or len(source.revision) == 40
    assert benchmarks.benchmark("gpqa").sources == ()


def test_arithmetic_is_the_embedded_suite() -> None:
    assert benchmarks.load("arithmetic") == arithmetic_suite(30)
    assert benchmarks.load("arithmetic", limit=500, seed=3) == arithmetic_suite(500, seed=3)
    assert len({p.id for p in benchmarks.load("arithmetic", limit=500)}) == 500
    with pytest.raises(InvalidInput, match="takes no file"):
        benchmarks.load("arithmetic", "x.jsonl")


def test_an_unknown_name() -> None:
    with pytest.raises(InvalidInput, match=r"no benchmark 'x'. Choose from math500, aime25, gpqa"):
        benchmarks.load("x")
    assert set(SUITES) == set(benchmarks.BENCHMARKS)
    with pytest.raises(InvalidInput, match="no benchmark 'mine'"):
        suite("mine", data="x.jsonl")


# --- the real files -------------------------------------------------------------------------------


def test_math500_all_rows(real: Real) -> None:
    problems = benchmarks.load("math500", real("math500"))
    assert len({problem.id for problem in problems}) == 500
    levels = Counter(problem.group for problem in problems)
    assert [levels[f"level {level}"] for level in range(1, 6)] == [43, 90, 105, 128, 134]
    assert Counter(problem.subject for problem in problems) == {
        "Algebra": 124,
        "Intermediate Algebra": 97,
        "Prealgebra": 82,
        "Number Theory": 62,
        "Precalculus": 56,
        "Geometry": 41,
        "Counting & Probability": 38,
    }
    for problem, row in zip(problems, rows_of(real("math500")), strict=True):
        template = benchmarks.benchmark("math500").template
        assert problem.prompt == template.replace("{question}", row["problem"])
        assert problem.answer == row["answer"]
        assert problem.grader == "math"
        assert not problem.private


def test_the_pinned_checksum_is_the_real_files(real: Real) -> None:
    found = hashlib.sha256(real("math500").read_bytes()).hexdigest()
    assert found == benchmarks.benchmark("math500").sources[0].sha256


def test_aime25_all_rows(real: Real) -> None:
    problems = benchmarks.load("aime25", real("aime25"))
    assert [problem.id for problem in problems] == [f"aime25-{n}" for n in range(30)]
    assert Counter(problem.group for problem in problems) == {"AIME I": 15, "AIME II": 15}
    assert all(str(int(problem.answer or "")) == problem.answer for problem in problems)


def test_gsm8k_all_rows(real: Real) -> None:
    problems = benchmarks.load("gsm8k", real("gsm8k"))
    assert len({problem.id for problem in problems}) == 1319
    assert all(str(int(problem.answer or "")) == problem.answer for problem in problems)


def test_mtbench_all_rows(real: Real) -> None:
    problems = benchmarks.load("mtbench", real("mtbench"))
    assert set(Counter(problem.group for problem in problems).values()) == {20}
    assert len(problems) == 160
    questions = mtbench.questions(real("mtbench"))
    assert [f"{q.id}/{turn}" for q in questions for turn in (1, 2)] == [p.id for p in problems]
    assert [p.follows for p in problems[1::2]] == [p.id for p in problems[::2]]
    assert {p.follows for p in problems[::2]} == {None}
    assert [text for q in questions for text in q.turns] == [p.prompt for p in problems]
    assert sum(p.answer is not None for p in problems) == 60
    assert {p.group for p in problems if p.answer} == set(mtbench.WITH_REFERENCES)
    assert set(mtbench.MTBENCH.temperatures or ()) == {p.group for p in problems}
    assert all(len(question.turns) == 2 for question in questions)
    judged = {q.category for q in questions if len(q.references) == 2}
    assert judged == set(mtbench.WITH_REFERENCES)
    assert sum(bool(question.references) for question in questions) == 30
    wrong = [problem.id for problem in problems if mtbench.wrong_reference(problem.id)]
    assert wrong == ["mtbench-104/1", "mtbench-104/2", "mtbench-111/1", "mtbench-111/2"]
    triangle = next(question for question in questions if question.id == "mtbench-111")
    assert "The area of the triangle is 0" in triangle.references[0]  # kept as it is


def test_the_same_rows_as_csv_in_any_order(tmp_path: Path, real: Real) -> None:
    rows = rows_of(real("math500"))
    path = tmp_path / "mine.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(reversed(rows))
    assert benchmarks.load("math500", path) == benchmarks.load("math500", real("math500"))[::-1]


def test_the_hubs_parquet(tmp_path: Path, real: Real) -> None:
    path = tmp_path / "test.parquet"
    parquet.write_table(pa.Table.from_pylist(rows_of(real("gsm8k"))), path)
    assert benchmarks.load("gsm8k", path) == benchmarks.load("gsm8k", real("gsm8k"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InvalidInput, match="is not Parquet"):
        benchmarks.load("gsm8k", path)


def test_some_are_spread_over_all(real: Real) -> None:
    some = benchmarks.load("mtbench", real("mtbench"), limit=8)
    assert len({problem.group for problem in some}) == 8
    assert len(some) == 16, "both turns of every question"
    assert suite("mtbench", 8, data=real("mtbench")) == some
    level = suite("math500", 10, difficulties=("level 5",), data=real("math500"))
    assert [problem.group for problem in level] == ["level 5"] * 10
    for limit in (0, 81):
        with pytest.raises(InvalidInput, match=r"has 80 problems, and \d+ were asked for"):
            benchmarks.load("mtbench", real("mtbench"), limit=limit)


# --- wrong and truncated files --------------------------------------------------------------------


def changed(field: str, value: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """The rows with one field of the fourth row changed; ``None`` takes it away."""

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        row = {name: old for name, old in rows[3].items() if name != field}
        rows[3] = row if value is None else row | {field: value}
        return rows

    return change


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("math500", lambda rows: rows[:499], "has 499 rows of 500; it ends after row 499"),
        ("math500", lambda rows: [*rows, rows[0]], "has 501 rows of 500; it is another file"),
        ("math500", lambda rows: [*rows[:499], rows[7]], "Row 500 .* it is row 8 again"),
        ("math500", changed("level", 6), "Row 4 .*'level' is 6, not a whole number from 1 to 5"),
        ("math500", changed("level", True), "Row 4 .*'level' is True"),
        ("math500", changed("answer", None), "Row 4 .*it has no 'answer'; it has 'problem'"),
        ("math500", changed("answer", " "), "Row 4 .*'answer' is empty"),
        ("math500", changed("problem", 5), "Row 4 .*'problem' is no text"),
        ("math500", changed("answer", "10"), "not MATH500: the SHA-256 of its questions and"),
        ("aime25", changed("expected_answer", "1000"), "Row 4 .* from 0 to 999"),
        ("aime25", changed("expected_answer", "x"), "Row 4 .*'x', not a whole number"),
        ("aime25", changed("expected_answer", "118"), "not AIME25: .* answers in their order"),
        ("aime25", lambda rows: rows[::-1], "not AIME25: .* answers in their order"),
        ("aime25", lambda rows: rows[:15], "has 15 rows of 30"),
        ("gsm8k", changed("answer", "so it is 12"), "Row 4 .*does not end with #### and a whole"),
        ("gsm8k", changed("answer", "#### 1.5"), "Row 4 .*does not end with #### and a whole"),
        ("gsm8k", changed("question", "Why?"), "not GSM8K"),
        ("mtbench", changed("turns", ["only one"]), "Row 4 .*'turns' is no list of 2 texts"),
        ("mtbench", changed("turns", ["a", ""]), "Row 4 .*a turn of its 'turns' is empty"),
        ("mtbench", changed("question_id", 200), "Row 4 .* from 81 to 160"),
        ("mtbench", changed("category", "poetry"), "not MT-Bench"),
    ],
)
def test_a_file_that_is_not_the_benchmarks(
    tmp_path: Path,
    name: str,
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    says: str,
    real: Real,
) -> None:
    path = write(tmp_path / "mine.jsonl", change(rows_of(real(name))))
    with pytest.raises(InvalidInput, match=says) as caught:
        benchmarks.load(name, path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\n\n{", r"Row 1 of .* it is not JSON \(Expecting property name"),
        (b'{"problem": "x"}\n[1]', "Row 2 of .* it is no JSON object"),
        (b'{"problem": "x"}', "Row 1 of .* has no 'unique_id'"),
        (b"[1]", "Row 1 of .* it is no JSON object"),
        (b'{"problem": "\xff"}', r"Row 1 of .* it is not UTF-8 \(byte 0xff\)"),
        (b"", "has 0 rows of 500"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=says):
        benchmarks.load("math500", path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        benchmarks.load("math500", tmp_path / "no.jsonl")
    with pytest.raises(InvalidInput, match="Is a directory"):
        benchmarks.load("math500", tmp_path)


def test_questions_without_their_references(tmp_path: Path, real: Real) -> None:
    path = write(tmp_path / "question.jsonl", rows_of(real("mtbench")))
    with pytest.raises(InvalidInput, match=r"reference answers of .* are not beside it"):
        benchmarks.load("mtbench", path)
    rows = rows_of(real("mtbench").with_name("mt_bench_reference_gpt4.jsonl"))
    place = tmp_path / "reference_answer" / "gpt-4.jsonl"
    place.parent.mkdir()
    write(place, rows[:29])
    with pytest.raises(InvalidInput, match="not MT-Bench's references: it has 29 rows of 30"):
        benchmarks.load("mtbench", path)
    write(place, [rows[0] | {"choices": []}, *rows[1:]])
    with pytest.raises(InvalidInput, match=r"Row 1 of .*'choices\[0\].turns' is no list"):
        benchmarks.load("mtbench", path)


# --- GPQA -----------------------------------------------------------------------------------------


def test_gpqa_comes_from_the_user() -> None:
    with pytest.raises(InvalidInput, match=r"is not downloaded.*--data FILE"):
        benchmarks.load("gpqa")


def test_gpqa_all_rows(synthetic: Path) -> None:
    problems = benchmarks.load("gpqa", synthetic)
    assert len({problem.id for problem in problems}) == 198
    assert all(problem.private and problem.grader == "letter" for problem in problems)
    assert Counter(problem.group for problem in problems) == dict.fromkeys(
        ("Physics", "Chemistry", "Biology"), 66
    )


def test_options_are_permuted_and_never_altered(synthetic: Path) -> None:
    """Every option stands whole behind the letter that its place in the order says."""
    with synthetic.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    heads = ("Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3)))
    for sample in range(4):
        problems = benchmarks.load("gpqa", synthetic, sample=sample)
        for problem, record in zip(problems, records, strict=True):
            shown = "\n".join(
                f"{letter}. {record[heads[place]]}"
                for letter, place in zip("ABCD", problem.order, strict=True)
            )
            assert problem.prompt == (
                f"What is the correct answer to this question: {record['Question']}\nChoices:\n"
                f"{shown}\nLet's think step by step, and put the final answer (should be a single "
                "letter A, B, C, or D) into a \\boxed{}"
            )
            assert problem.answer == "ABCD"[problem.order.index(0)]


def test_orders_are_known_for_ever() -> None:
    """Stored scores depend on them: they may never change."""
    assert gpqa.permutation("rec1", 0, 0) == (0, 1, 3, 2)
    assert gpqa.permutation("rec1", 1, 0) == (0, 3, 2, 1)
    assert gpqa.permutation("rec1", 0, 1) == (1, 2, 0, 3)


@given(st.text(), st.integers(0, 100), st.integers(0, 2**64))
def test_an_order_is_one_of_the_four_places(record: str, sample: int, seed: int) -> None:
    assert sorted(gpqa.permutation(record, sample, seed)) == [0, 1, 2, 3]


def test_no_letter_is_favoured(synthetic: Path) -> None:
    letters = Counter(
        problem.answer
        for sample in range(16)
        for problem in benchmarks.load("gpqa", synthetic, sample=sample)
    )
    assert all(abs(letters[letter] - 792) < 100 for letter in "ABCD")  # 4 standard deviations
    samples = [benchmarks.load("gpqa", synthetic, sample=sample) for sample in (0, 1)]
    assert sum(one.order != other.order for one, other in zip(*samples, strict=True)) > 150


def test_the_order_is_kept_with_each_sample(synthetic: Path) -> None:
    problem = benchmarks.load("gpqa", synthetic, sample=5)[7]
    cell = Cell(EngineSpec(), Request((Message("user", problem.prompt),)), problem, 5)
    kept = codec.from_json(Cell, codec.loads(codec.dumps(codec.to_json(cell))))
    assert kept == cell
    assert kept.problem is not None
    assert kept.problem.order == gpqa.permutation(problem.id, 5, 0)


def zipped(path: Path, member: str, content: bytes, *, locked: bool = False) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    if locked:  # both headers say that the member is encrypted
        raw = bytearray(path.read_bytes())
        for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            raw[raw.index(mark) + place] |= 1
        path.write_bytes(raw)
    return path


def test_the_archive(tmp_path: Path, synthetic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = synthetic.read_bytes()
    path = zipped(tmp_path / "dataset.zip", "dataset/gpqa_diamond.csv", content)
    assert benchmarks.load("gpqa", path) == benchmarks.load("gpqa", synthetic)
    zipped(path, "dataset/gpqa_main.csv", content)
    with pytest.raises(InvalidInput, match=r"holds no gpqa_diamond\.csv"):
        benchmarks.load("gpqa", path)
    zipped(path, "dataset/gpqa_diamond.csv", content, locked=True)
    with pytest.raises(InvalidInput, match=r"password is missing.*WORKBENCH_GPQA_PASSWORD"):
        benchmarks.load("gpqa", path)
    monkeypatch.setenv("WORKBENCH_GPQA_PASSWORD", "not it")
    with pytest.raises(InvalidInput, match="password is wrong"):
        benchmarks.load("gpqa", path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InvalidInput, match="no archive that can be opened"):
        benchmarks.load("gpqa", path)


@pytest.mark.parametrize(
    ("cut", "says"),
    [
        (lambda text: text[: text.index("synthetic-9,") + 20], "Row 9 of .* (not CSV|cells)"),
        (lambda text: text.replace("synthetic-12,", "synthetic-7,"), "Row 12 of .* is row 7 again"),
        (lambda text: text.replace("Correct Answer", "Right", 1), "Row 1 of .*no 'Correct Answer'"),
        (lambda text: text[: text.index("synthetic-100,")], "has 99 rows of 198"),
        (
            lambda text: text.replace(",Physics,", ",,", 1),
            "Row 1 of .*'High-level domain' is empty",
        ),
    ],
)
def test_a_wrong_csv(synthetic: Path, cut: Callable[[str], str], says: str) -> None:
    text = synthetic.read_bytes().decode()
    synthetic.write_bytes(cut(text).encode())
    with pytest.raises(InvalidInput, match=says) as caught:
        benchmarks.load("gpqa", synthetic)
    assert "Made-up" not in str(caught.value)


def test_rows_are_numbered_and_whole(synthetic: Path) -> None:
    rows = read_rows(synthetic)
    assert [row.number for row in rows] == list(range(1, 199))
    assert rows[2].fields["Correct Answer"].endswith("\n  (on two lines)")


def test_gsm8k_answers_lose_their_commas() -> None:
    row = Row(1, {"question": "How much?", "answer": "12 * 5\n#### 1,234"})
    assert gsm8k._bare(row).answer == "1234"
