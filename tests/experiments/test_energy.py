"""What a run takes of the GPU: every generation's share, the whole, and where it is shown."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from workbench.cli import summary
from workbench.cli.documents import run_document
from workbench.cli.latency import document, show
from workbench.engines.base import Engine
from workbench.engines.scripted import ScriptedEngine
from workbench.experiments import Brake, Run, compare, execute, load, resume
from workbench.experiments.energy import _joined, energies, energy_per_token, in_words
from workbench.experiments.latency import latency
from workbench.experiments.latency_figures import figures
from workbench.experiments.latency_stages import read
from workbench.experiments.summary import summarise
from workbench.pages.manifest import manifest
from workbench.pages.tables import arms_table
from workbench.session import Session
from workbench.store import Store

from ..boards import H200, Board, Pynvml

ANSWERS = {f"What is {n}+{n}?": f"<think>\nhm\n</think>\n\n\\boxed{{{2 * n}}}" for n in range(4)}


class Counting(Board):
    """Spends 2 J between any two readings, at 100 W."""

    def __init__(self) -> None:
        super().__init__(H200, power=[100_000], busy=[80], used=[3 * 2**30])
        self._spent = itertools.count(5_000, 2_000)

    @property
    def energy(self) -> list[int]:
        return [next(self._spent)]

    @energy.setter
    def energy(self, _: object) -> None: ...


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that can be read, and that torch would compute on."""
    monkeypatch.setitem(sys.modules, "pynvml", Pynvml(Counting()))
    monkeypatch.setattr(
        "workbench.telemetry.nvml._torch_properties", lambda device: SimpleNamespace(uuid=H200)
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "runs.sqlite") as opened:
        yield opened


def scripted(device: str | None) -> Engine:
    engine = ScriptedEngine.answering(ANSWERS)
    engine.spec = replace(engine.spec, device=device)
    return engine


def ran(store: Store, device: str | None = "cuda:0", concurrency: int | None = None) -> Run:
    plan = compare(list(ANSWERS), modes=["on", "off"])
    with Session(lambda: scripted(device)) as session:
        return execute(plan, session=session, store=store, concurrency=concurrency)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("concurrency", [1, None])
def test_shares_add_up_to_what_the_run_took(store: Store, concurrency: int | None) -> None:
    run = ran(store, concurrency=concurrency)
    taken, shares = run.environment["telemetry"], energies(run.generations)
    assert set(shares) == set(run.generations)
    assert all(joules > 0 for joules in shares.values())
    assert sum(shares.values()) <= taken["energy_joules"] + 1e-9
    assert sum(shares.values()) > taken["energy_joules"] / 4
    assert (taken["source"], taken["peak_watts"]) == ("counter", 100.0)
    assert taken["peak_memory_bytes"] == 3 * 2**30
    assert taken["mean_utilisation"] == pytest.approx(0.8)
    assert load(run.id, store).environment["telemetry"] == taken


@pytest.mark.usefixtures("gpu")
def test_rows_documents_tables_and_reports_tell_it(store: Store) -> None:
    run = ran(store)
    shares = energies(run.generations)
    assert {row["index"]: row["gpu_energy"] for row in run.rows()} == shares
    told = run_document(run)["generations"]
    assert {one["index"]: one["gpu_energy"] for one in told} == shares
    on, off = summarise(run)
    rows = [row for row in run.rows() if row["mode"] == "on"]
    assert on.energy == pytest.approx(sum(row["gpu_energy"] for row in rows) / len(rows))
    tokens = sum(row["output_tokens"] for row in rows)
    assert on.energy_per_token == pytest.approx(sum(row["gpu_energy"] for row in rows) / tokens)
    assert off.energy is not None
    console = Console(width=200, record=True)
    console.print(summary.arms(run))
    assert "GPU energy a token" in console.export_text()
    assert "taken on the GPU" in str(manifest(run))
    assert "GPU energy" in arms_table(run).html


@pytest.mark.parametrize("device", [None, "cpu", "cuda:0"])
def test_where_nothing_is_measured_nothing_is_told(
    store: Store, device: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    run = ran(store, device)
    assert "telemetry" not in run.environment
    assert {row["gpu_energy"] for row in run.rows()} == {None}
    assert {one["gpu_energy"] for one in run_document(run)["generations"]} == {None}
    assert summarise(run)[0].energy is None
    console = Console(width=200, record=True)
    console.print(summary.arms(run))
    assert "energy" not in console.export_text()
    assert "GPU" not in str(manifest(run))
    assert "GPU energy" not in arms_table(run).html


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("device", [None, "cpu"])
def test_an_endpoint_or_a_cpu_is_not_charged_with_the_card(
    store: Store, device: str | None
) -> None:
    assert energies(ran(store, device).generations) == {}


@pytest.mark.usefixtures("gpu")
def test_a_resumed_run_tells_all_its_parts(store: Store) -> None:
    plan, brake = compare(list(ANSWERS), modes=["on"]), Brake()
    with Session(lambda: scripted("cuda:0")) as session:
        run = execute(
            plan,
            session=session,
            store=store,
            concurrency=1,
            brake=brake,
            progress=lambda done, _: brake.stop() if done == 2 else None,
        )
        first = run.environment["telemetry"]["energy_joules"]
        whole = resume(run.id, session=session, store=store)
    assert whole.status == "finished"
    assert whole.environment["telemetry"]["energy_joules"] > first > 0
    assert len(energies(whole.generations)) == 4


@pytest.mark.usefixtures("gpu")
def test_the_latency_lab_tells_joules_a_token(store: Store) -> None:
    plan = latency(prompt_tokens=[64], output_tokens=[4], concurrency=[1, 2], requests=2)
    told = "abcd"

    def engine() -> Engine:
        opened = ScriptedEngine(lambda request: told)
        opened.spec = replace(opened.spec, device="cuda:0")
        return opened

    with Session(engine) as session:
        run = execute(plan, session=session, store=store)
    lab, joules = read(run), energies(run.generations)
    for stage, one in zip(lab, figures(lab), strict=True):
        spent = sum(joules[reading.index] for reading in stage.good)
        tokens = sum(reading.metrics["output_tokens"] or 0 for reading in stage.good)
        assert one.energy_per_token == pytest.approx(spent / tokens)
    assert all(stage["energy_per_token"] > 0 for stage in document(lab, {})["stages"])
    console = Console(width=200, record=True)
    show(lab, {}, console)
    assert "J/tok" in console.export_text()


def test_energy_a_token_rests_on_what_was_measured() -> None:
    assert energy_per_token([(10.0, 20), (None, 5), (5.0, 10), (3.0, None)]) == 0.5
    assert energy_per_token([(None, 5)]) is None
    assert energy_per_token([(1.0, 0)]) is None


def test_a_line_in_words() -> None:
    taken = {
        "seconds": 10.0,
        "energy_joules": 2345.6,
        "source": "integrated power",
        "mean_watts": 234.56,
        "peak_watts": 301.0,
        "peak_memory_bytes": 5 * 2**30,
        "mean_utilisation": 0.934,
    }
    assert in_words({"telemetry": taken}) == (
        "2,346 J (power integrated), 235 W on average, 301 W at most, 5.0 GiB of memory at most, "
        "busy 93 % of the time"
    )
    assert in_words({}) is None
    assert in_words({"telemetry": dict.fromkeys(taken)}) is None


def test_parts_are_joined_by_their_time_and_a_gap_is_no_sum() -> None:
    one = {"seconds": 1.0, "energy_joules": 100.0, "mean_utilisation": 1.0, "source": "counter"}
    two = {"seconds": 3.0, "energy_joules": 60.0, "mean_utilisation": 0.0, "source": "counter"}
    joined = _joined(one, two)
    assert (joined["energy_joules"], joined["mean_watts"]) == (160.0, 40.0)
    assert (joined["mean_utilisation"], joined["peak_watts"]) == (0.25, None)
    assert _joined(one, two | {"energy_joules": None})["energy_joules"] is None
