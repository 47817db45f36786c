"""Every section, done on the CPU with the embedded model, and what is made of the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.bench.gpu import readme
from workbench.bench.gpu.sections import SECTIONS
from workbench.bench.gpu.tables import REHEARSED, head, share, tables, values
from workbench.cli.app import run
from workbench.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[2]


def test_every_section_is_done(document: dict[str, Any]) -> None:
    kept = document["sections"]
    assert {name: kept[name]["reason"] for name in SECTIONS if kept[name]["status"] != "done"} == {}
    assert document["rehearsal"]


def test_parity_is_measured_on_equal_texts(document: dict[str, Any]) -> None:
    given = values(document, "parity")
    assert given["greedy"] == {"answers": 4, "equal": 1.0, "first_divergent": None}
    assert given["teacher_forced"]["equal_argmax"] == 1.0
    assert (
        given["cache_q4"]["logit_difference_mean"]
        > 100 * (given["cache_fp16"]["logit_difference_mean"])
    )
    assert given["attention"]["worst"] < 1e-3


def test_speeds_are_of_decode_steps(document: dict[str, Any]) -> None:
    given = values(document, "speed-fp16")
    one, four = given["batch_1"], given["batch_4"]
    assert (one["tokens"], four["tokens"]) == (one["steps"], 4 * four["steps"])
    assert one["bytes_read"] > given["model"]["weight_bytes"]
    assert share(document, one) == pytest.approx(
        one["bytes_read"] / one["step_seconds"] / values(document, "ceiling")["bytes_per_second"]
    )


# --- what is shown -------------------------------------------------------------------------------


def test_a_rehearsal_says_so_first_wherever_it_is_shown(
    document: dict[str, Any], rehearsal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert head(document)[0] == REHEARSED
    assert run(["bench", "gpu", str(rehearsal), "--show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == REHEARSED
    assert any("tokens/s at batch" in line for line in lines)
    assert run(["bench", "gpu", str(rehearsal), "--show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document


def test_a_rehearsal_is_never_the_projects_record(
    monkeypatch: pytest.MonkeyPatch, rehearsal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidInput, match="rehearsal on a CPU"):
        readme.accepted(rehearsal)
    monkeypatch.setattr(readme, "COMMITTED", rehearsal)
    assert run(["bench", "gpu", "--show"]) == 2
    assert "rehearsal on a CPU" in capsys.readouterr().err


def test_every_table_has_its_columns(document: dict[str, Any]) -> None:
    for table in tables(document):
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.heads)}, table.title
        assert all(isinstance(cell, str) for row in table.rows for cell in row)


def test_the_readme_has_the_tables_of_the_committed_record() -> None:
    """`python -m workbench.bench.gpu.readme README.md` writes them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.block(readme.committed()) in text


def test_the_readmes_block_is_made_anew(document: dict[str, Any]) -> None:
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter"
    made = readme.rewritten(text, document)
    assert made.startswith(f"before\n{readme.BEGIN}\n\n- {REHEARSED}")
    assert made.endswith(f"{readme.END}\nafter")
    assert "| tokens/s at batch | 1 | 4 |" in made
    assert readme.NOTHING in readme.rewritten(made, None)
    with pytest.raises(InvalidInput, match="no place"):
        readme.rewritten("nothing here", document)


def test_without_a_gpu_it_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run(["bench", "gpu"]) == 2
    assert "--rehearse" in capsys.readouterr().err
