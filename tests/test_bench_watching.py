"""What watching costs is measured on equal work, and a reader is a reader."""

from __future__ import annotations

import pytest

from workbench.bench import suite
from workbench.bench.generation import Options
from workbench.bench.sides import SessionLoop
from workbench.bench.watching import ReaderLoop, cost_of_watching, measure
from workbench.bench.workload import Prompts, endless
from workbench.records import EngineSpec
from workbench.session import Session


def test_every_way_of_watching_is_compared_with_the_same_unwatched() -> None:
    found = list(measure(Options(EngineSpec(), rounds=1, tokens=6), 2))
    assert [one.name for one in found] == [
        f"watching_{way}_2" for way in ("recording", "logprobs", "alternatives", "reader", "all")
    ]
    for one in found:
        assert (one.unit, one.rounds) == ("ms/token", 1)
        assert one.ratio == pytest.approx(one.first / one.second)
        assert one.what.endswith(", by unwatched; 2 at once")
    assert "watching" in suite.BENCHES


def test_watching_changes_no_token_and_the_reader_reads_to_the_end() -> None:
    with endless("demo") as folder, Session(EngineSpec(model=str(folder))) as session:
        prompts = Prompts(8).take(2)
        plain = SessionLoop(session).answer(prompts)
        assert ReaderLoop(session).answer(prompts) == plain
        assert [len(ids) for ids in plain] == [8, 8]


def test_the_table_for_a_notebook() -> None:
    rows = cost_of_watching(requests=1, rounds=1, tokens=4)
    assert [row["watching"] for row in rows][:2] == [
        "a store that keeps every event",
        "log-probabilities",
    ]
    assert all(row["low"] <= row["ratio"] <= row["high"] for row in rows)
