"""Tables leave and come back the same, and no spreadsheet calculates what a model wrote."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import InvalidInput, StoreError
from workbench.experiments.exporting import read, save

SUFFIXES = (".csv", ".parquet", ".jsonl")


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "problem": ["p0", "p1", "p2"],
            "seed": np.array([0, 2**63 + 5, 2**64 - 1], np.uint64),
            "seconds": [0.1 + 0.2, None, 1e-17],
            "ok": [True, False, True],
            "answer": ["=HYPERLINK(1)", 'two\r\nlines, "quoted"', None],
        }
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_comes_back_equal(tmp_path: Path, suffix: str) -> None:
    path = save(table(), tmp_path / "deeper" / f"table{suffix}")
    back = read(path)
    pd.testing.assert_frame_equal(back, table(), check_dtype=suffix == ".parquet")
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # nothing half-written


@given(st.lists(st.text(st.characters(exclude_characters="\x00")), min_size=1, max_size=5))
@settings(max_examples=40)
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("texts")
    frame = pd.DataFrame({"text": texts}, dtype=object)
    wanted = [text.encode("utf-8", "replace").decode() for text in texts]
    for suffix in (".parquet", ".jsonl"):
        assert list(read(save(frame, folder / f"t{suffix}"))["text"]) == wanted
    with save(frame, folder / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    cells = [row[0] if row else "" for row in rows]
    assert [cell[1:] if cell.startswith("'") else cell for cell in cells] == wanted


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@SUM(A1)", "\t=1", " =1", "\r=1", "＝1", "'=1", "-"],
)
def test_a_text_like_a_formula_is_marked_as_text(tmp_path: Path, text: str) -> None:
    path = save(pd.DataFrame({"answer": [text]}), tmp_path / "table.csv")
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1] == [f"'{text}"]
    assert read(path)["answer"][0] == text


@pytest.mark.parametrize("text", ["-5", "+3.25", "-1e-9", "5", "a=b", "x - y", "\\boxed{-5}"])
def test_numbers_and_plain_text_are_left_alone(tmp_path: Path, text: str) -> None:
    path = save(pd.DataFrame({"answer": [text]}), tmp_path / "table.csv")
    assert path.read_text().splitlines()[1] == text


def test_what_has_no_value_is_null_and_what_is_no_number_is_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, float("nan")], "b": [float("inf"), 0.1]})
    lines = save(frame, tmp_path / "t.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"a": 1.5, "b": "inf"}, {"a": None, "b": 0.1}]


def test_texts_and_numbers_in_one_column_become_texts_in_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"axis": [1, "two", None]}, dtype=object)
    assert list(read(save(frame, tmp_path / "t.parquet"))["axis"][:2]) == ["1", "two"]


def test_a_table_without_rows_is_a_table(tmp_path: Path) -> None:
    for suffix in (".csv", ".parquet"):
        assert list(read(save(table()[:0], tmp_path / f"t{suffix}")).columns) == list(table())


def test_other_names_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"\.csv, \.parquet, \.jsonl"):
        save(table(), tmp_path / "table.xlsx")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"t\.csv cannot be written"):
        save(table(), tmp_path / "file" / "t.csv")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read(tmp_path / "nowhere.csv")
    (tmp_path / "broken.parquet").write_text("no table")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read(tmp_path / "broken.parquet")
    (tmp_path / "broken.jsonl").write_text("{")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read(tmp_path / "broken.jsonl")


def test_an_older_file_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(table(), tmp_path / "t.csv")
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(StoreError, match="No space left"):
        save(table(), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]
