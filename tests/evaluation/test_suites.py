"""Suites by name, and files of problems whose every mistake is told with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InvalidInput
from workbench.evaluation import suites
from workbench.evaluation.problems import arithmetic_suite
from workbench.evaluation.suites import suite
from workbench.records import Problem


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.jsonl"


def test_the_embedded_suite() -> None:
    assert suite("arithmetic") == arithmetic_suite(30)
    assert suite("arithmetic", 5, 3, ("hard",)) == arithmetic_suite(
        5, seed=3, difficulties=("hard",)
    )


def test_a_file_is_its_lines(file: Path) -> None:
    file.write_bytes(
        b'\xef\xbb\xbf{"prompt": "What is 1+1?", "answer": 2, "group": "sums", "more": [1]}\r\n'
        b"\n  \t\n"
        b'{"prompt": "Why?", "id": "why", "answer": null}\n'
        b'{"prompt": "Half?", "answer": 0.5, "id": 12}\n'
        b'{"prompt": "a\xe2\x80\xa8b", "answer": "x y"}'
    )
    assert suite(file) == suite(str(file))
    assert suite(file) == (
        Problem("line-1", "What is 1+1?", "2", "sums"),
        Problem("why", "Why?"),
        Problem("12", "Half?", "0.5"),
        Problem("line-6", "a\u2028b", "x y"),
    )
    assert suite(file, 2) == suite(file)[:2]
    assert suite(file, difficulties=("sums",)) == suite(file)[:1]


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1).filter(str.strip),
            st.one_of(st.none(), st.text(min_size=1).filter(str.strip), st.integers()),
        ),
        min_size=1,
    )
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str | int | None]]
) -> None:
    file = tmp_path_factory.mktemp("suite") / "x.jsonl"
    texts = [json.dumps({"prompt": prompt, "answer": answer}) for prompt, answer in lines]
    file.write_text("\n".join(texts), encoding="utf-8")
    told = [(p.prompt, p.answer) for p in suite(file)]
    assert told == [(p, None if a is None else str(a)) for p, a in lines]


GOOD = b'{"prompt": "What?"}\n'


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (GOOD + b'\n{"prompt": "gr\xfc\xdfe"}', 3, r"not UTF-8 \(byte 0xfc\)"),
        ('{"prompt": "x"}'.encode("utf-16"), 1, "not UTF-8"),
        (GOOD + b"prompt: x", 2, r"not JSON \(Expecting value"),
        (b'{"prompt": "x"', 1, "not JSON"),
        (b"{\n", 1, "not JSON"),
        (b"[" * 100_000, 1, "not JSON"),
        (b'[{"prompt": "x"}]', 1, "an array, not an object"),
        (b'"x"', 1, "a text, not an object"),
        (b"7", 1, "the number 7, not an object"),
        (b"null", 1, "null, not an object"),
        (b'{"question": "x", "answer": "y"}', 1, "no \"prompt\"; it has 'question', 'answer'"),
        (b"{}", 1, 'no "prompt"; it has nothing'),
        (GOOD + b'{"prompt": ""}', 2, '"prompt" is empty'),
        (b'{"prompt": " \\n"}', 1, '"prompt" is empty'),
        (b'{"prompt": null}', 1, '"prompt" is null, not a text'),
        (b'{"prompt": 5}', 1, '"prompt" is the number 5'),
        (b'{"prompt": ["x"]}', 1, '"prompt" is an array'),
        (b'{"prompt": "x", "answer": true}', 1, '"answer" is true, not a text or a number'),
        (b'{"prompt": "x", "answer": [1]}', 1, '"answer" is an array'),
        (b'{"prompt": "x", "answer": {"a": 1}}', 1, '"answer" is an object'),
        (b'{"prompt": "x", "answer": NaN}', 1, '"answer" is nan, not a finite'),
        (b'{"prompt": "x", "answer": 1e999}', 1, '"answer" is inf'),
        (b'{"prompt": "x", "answer": " "}', 1, '"answer" is empty; leave it out'),
        (b'{"prompt": "x", "id": 1.5}', 1, '"id" is the number 1.5'),
        (b'{"prompt": "x", "id": ""}', 1, '"id" is empty'),
        (b'{"prompt": "x", "group": 3}', 1, '"group" is the number 3, not a text'),
        (GOOD + GOOD.replace(b"}", b',"id":"line-1"}'), 2, "id 'line-1' is that of line 1 too"),
        (b'{"prompt": "x", "id": 1}\n{"prompt": "y", "id": "1"}', 2, "id '1' is that of line 1"),
    ],
)
def test_a_line_that_is_no_problem(file: Path, content: bytes, line: int, says: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        suite(file)
    assert caught.match(f"^Line {line} of .*mine.jsonl is no problem: ")
    assert caught.match(says)
    assert "one object a line" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n"])
def test_a_file_without_problems(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match="holds no problem"):
        suite(file)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "gsm9k",
            "There is no suite 'gsm9k'. Choose arithmetic, math500, aime25, gpqa, mtbench, gsm",
        ),
        ("missing.jsonl", "There is no file 'missing.jsonl'"),
        ("/nowhere/at/all", "There is no file '/nowhere/at/all'"),
        ("a\0b", "There is no suite"),
        ("~/no such file", "There is no file"),
    ],
)
def test_a_suite_that_is_not_there(name: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        suite(name)
    assert says in str(caught.value)


def test_a_folder_is_no_suite(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: Is a directory"):
        suite(tmp_path)


def test_a_file_beyond_all_measure(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_bytes(GOOD)
    monkeypatch.setattr(suites, "_LARGEST", 10)
    with pytest.raises(InvalidInput, match="has 20 bytes; at most 10 are read"):
        suite(file)


def test_more_than_there_is(file: Path) -> None:
    file.write_bytes(GOOD)
    with pytest.raises(InvalidInput, match="has 1 of the 2 problems"):
        suite(file, 2)
    with pytest.raises(InvalidInput, match="0 problems"):
        suite(file, 0)
    with pytest.raises(InvalidInput, match="no group 'hard'"):
        suite(file, difficulties=("hard",))
    with pytest.raises(InvalidInput, match="no group given"):
        suite(file, difficulties=())
