"""Every section, done on the CPU with the embedded model, and what is made of the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.bench.gpu import readme
from workbench.bench.gpu.footprint import error
from workbench.bench.gpu.record import dumps
from workbench.bench.gpu.rows import share, values
from workbench.bench.gpu.sections import SECTIONS
from workbench.bench.gpu.tables import REHEARSED, SYNTHETIC, head, tables
from workbench.cli.app import run
from workbench.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[2]


def test_every_section_is_done(document: dict[str, Any]) -> None:
    kept = document["sections"]
    failed = {name: kept[name]["reason"] for name in SECTIONS if kept[name]["status"] != "done"}
    assert failed == {}
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


def test_a_record_of_a_gpu_names_it_with_its_versions(
    document: dict[str, Any], tmp_path: Path
) -> None:
    facts = {"gpu": "NVIDIA H200", "driver": "580.95.05", "cuda": "13.0", "power_limit_watt": 700.0}
    pretended = document | {"rehearsal": False, "facts": document["facts"] | facts}
    (tmp_path / "gpu.json").write_text(dumps(pretended), encoding="utf-8")
    block = readme.block(readme.accepted(tmp_path / "gpu.json"))
    assert REHEARSED not in block
    first = block.splitlines()[2]
    assert first.startswith("- NVIDIA H200 of 700 W; driver 580.95.05, CUDA 13.0, torch ")
    assert f"- {document['calls'][0]['date']}: workbench bench gpu --rehearse" in block
    assert f"- {SYNTHETIC}" in block
    rows = [line for line in block.splitlines() if line.startswith("| exl2-4.0bpw |")]
    assert rows, "a table of tokens a second"


def test_without_a_gpu_it_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run(["bench", "gpu"]) == 2
    assert "--rehearse" in capsys.readouterr().err


# --- each section --------------------------------------------------------------------------------


def test_the_device_is_profiled_by_kind(document: dict[str, Any]) -> None:
    for name in ("profile-exl2", "profile-fp16"):
        given = values(document, name)
        for batch in (1, 4):
            host, device = given[f"host_{batch}"], given[f"device_{batch}"]
            parts = [host[part] for part in host if part != "step_ms"]
            assert sum(parts) == pytest.approx(host["step_ms"])
            assert min(parts) >= 0
            assert device["kinds"]["matrices"] > 0
            assert device["kinds"]["attention"] > 0
            assert device["kinds"]["sampling"] > 0


def test_a_prompt_four_times_as_long_takes_longer(document: dict[str, Any]) -> None:
    given = values(document, "prompts")
    short, long = given["prompt_160"], given["prompt_640"]
    assert 0 < short["least"] <= short["first_token_seconds"] <= short["most"]
    assert (short["rounds"], long["rounds"]) == (2, 2)


def test_memory_is_planned_for_the_whole_context(document: dict[str, Any]) -> None:
    given = values(document, "memory")
    wide, narrow = given["cache_fp16"]["predicted"], given["cache_q4"]["predicted"]
    assert wide["cache"] > narrow["cache"] > 0
    assert {one["loaded_bytes"] for one in given.values()} == {None}, "only a GPU can tell"
    assert error(105, 100) == pytest.approx(0.05)
    assert error(105, None) is None


def test_greedy_ids_are_the_same_on_a_cpu(document: dict[str, Any]) -> None:
    for model in ("demo", "exl2"):
        given = values(document, "repeats")[model]
        assert given["alone"] == {"answers": 2, "equal": 1.0, "first_divergent": None}
        assert given["4_at_once"]["answers"] == 4
        assert given["4_at_once"]["equal"] == 1.0


def test_speculation_tells_what_was_accepted(document: dict[str, Any]) -> None:
    given = values(document, "speculation")
    assert given["demo_itself"]["draft_acceptance"] == 1.0
    assert given["demo_itself"]["tokens_per_step"] > 1
    assert all(one["equal_ids"] for one in given.values())


def test_tests_without_a_gpu_are_skipped_with_the_reason(document: dict[str, Any]) -> None:
    given = values(document, "tests")
    assert given["passed"] == given["failed"] == 0
    assert given["skips"] == {"needs a CUDA GPU": given["skipped"]}
    assert given["skipped"] > 0


def test_the_tables_show_all_of_it(document: dict[str, Any]) -> None:
    shown = {table.title: table for table in tables(document)}
    assert set(shown) >= {
        "Tokens a second",
        "Memory bandwidth",
        "Time to the first token",
        "Memory of one request of 2,048 tokens",
        "Ratios",
        "A decode step, ms",
        "Beside transformers, teacher-forced",
        "The same ids",
    }
    assert len(shown["A decode step, ms"].heads) == 5
    assert ("embedded model, beside transformers", "4", "100.0 %", "–") in shown[
        "The same ids"
    ].rows
