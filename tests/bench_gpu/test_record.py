"""The record's file: whole at every moment, gone on with only where it was made."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from workbench.bench.gpu import record
from workbench.errors import InvalidInput

FACTS = {"rehearsal": False, "gpu": "NVIDIA H200", "driver": "580.1", "torch": "2.11.0"}
SIZES = {"batches": (1, 4), "models": {}}
CALL = {"command": "workbench bench gpu", "date": "2026-11-26T20:00:00+00:00"}


def begun(path: Path, facts: dict[str, Any] | None = None) -> record.Record:
    return record.begun(path, facts or FACTS, SIZES, CALL)


def test_every_value_is_on_the_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "gpu.json"
    writing = begun(path)
    writing.begin("ceiling")
    writing.put("ceiling", "bytes", 2)
    kept = record.read(path)["sections"]["ceiling"]
    assert (kept["values"], kept["status"]) == ({"bytes": 2}, "not run")
    writing.end("ceiling", "failed", "it broke", 1.234)
    kept = record.read(path)["sections"]["ceiling"]
    assert kept == {
        "status": "failed",
        "reason": "it broke",
        "seconds": 1.23,
        "values": {"bytes": 2},
    }
    assert [one.name for one in path.parent.iterdir()] == ["gpu.json"]


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    writing = begun(tmp_path / "gpu.json")
    writing.begin("parity")
    writing.put("parity", "kl", {"most": math.inf, "all": [math.nan, 1.5]})
    text = (tmp_path / "gpu.json").read_text()
    assert json.loads(text)["sections"]["parity"]["values"]["kl"] == {
        "most": None,
        "all": [None, 1.5],
    }


def test_a_record_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    first = begun(path)
    first.begin("ceiling")
    first.end("ceiling", "done", None, 1.0)
    first.begin("parity")
    again = begun(path)
    assert again.done() == ("ceiling",)
    assert again.document["calls"] == [CALL, CALL]


@pytest.mark.parametrize("other", [{"gpu": "NVIDIA L4"}, {"torch": "2.12.0"}, {"rehearsal": True}])
def test_figures_of_two_machines_never_stand_in_one_record(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    begun(tmp_path / "gpu.json").save()
    with pytest.raises(InvalidInput, match=f"another {next(iter(other))}"):
        begun(tmp_path / "gpu.json", FACTS | other)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"record": "workbench bench gpu"}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "gpu.json").write_text(text)
    with pytest.raises(InvalidInput):
        record.read(tmp_path / "gpu.json")
