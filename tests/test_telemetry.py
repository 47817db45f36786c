from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from workbench import telemetry
from workbench.telemetry import Reading, Readings, Shares
from workbench.telemetry.nvml import sensor

from .boards import H200, MIB, NO_PERMISSION, NOT_SUPPORTED, T4, Board, NVMLError, Pynvml

Install = Callable[..., Pynvml]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs boards; torch computes on the first UUID. All is given back in the end."""
    made: list[Pynvml] = []

    def install(*boards: Board, torch: dict[str, Any] | None = None, **told: Any) -> Pynvml:
        made.append(Pynvml(*boards, **told))
        monkeypatch.setitem(sys.modules, "pynvml", made[-1])
        properties = torch if torch is not None else {"uuid": boards[0].uuid}
        monkeypatch.setattr(
            sys.modules["torch"],
            "cuda",
            SimpleNamespace(
                is_available=lambda: True,
                is_initialized=lambda: True,
                current_device=lambda: 0,
                get_device_properties=lambda index: SimpleNamespace(**properties),
            ),
        )
        return made[-1]

    __import__("torch")
    yield install
    assert [module.open for module in made] == [0] * len(made)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "workbench-gpu"]


# --- watching -------------------------------------------------------------------------------------


def test_the_energy_is_the_difference_of_the_cards_own_counter(nvml: Install) -> None:
    nvml(Board(H200, energy=[5_000, 12_500]))
    with telemetry.watch("cuda:0", interval=60) as readings:
        assert threads() == ["workbench-gpu"]
    assert threads() == []
    assert readings.energy_joules == 7.5
    assert readings.source == "counter"
    assert readings.energy_per_token(30) == 0.25
    assert readings.energy_per_token(0) is None
    assert readings.mean_watts == pytest.approx(7.5 / (readings.seconds or 0))


def test_without_a_counter_the_power_is_integrated(nvml: Install) -> None:
    nvml(Board(H200, energy=NOT_SUPPORTED, power=[100_000, 300_000]))
    with telemetry.watch(interval=60) as readings:
        pass
    assert readings.source == "integrated power"
    assert readings.mean_watts == pytest.approx(200.0)
    assert readings.energy_joules == pytest.approx(200.0 * (readings.seconds or 0))
    assert readings.peak_watts == 300.0


def test_a_thread_reads_meanwhile(nvml: Install) -> None:
    board = Board(H200, used=[100, 900, 100], energy=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9_000])
    nvml(board)
    with telemetry.watch(interval=0.001) as readings:
        while isinstance(board.energy, list) and len(board.energy) > 1:
            pass
    assert readings.peak_memory_bytes == 900
    assert readings.energy_joules == 9.0


def test_who_may_not_read_gets_none_and_never_zero(nvml: Install) -> None:
    nvml(
        Board(
            H200, energy=NO_PERMISSION, power=NO_PERMISSION, used=NO_PERMISSION, busy=NO_PERMISSION
        )
    )
    with telemetry.watch(interval=60) as readings:
        pass
    facts = readings.facts()
    assert facts.pop("seconds") > 0
    assert facts
    assert set(facts.values()) == {None}
    assert readings.energy_per_token(5) is None


def test_a_partition_tells_its_memory_and_not_the_whole_cards_power(nvml: Install) -> None:
    nvml(Board(H200), Board(T4, mig=True, used=[7 * MIB]), torch={"uuid": T4})
    with telemetry.watch(interval=60) as readings:
        pass
    assert readings.peak_memory_bytes == 7 * MIB
    told = (readings.energy_joules, readings.peak_watts, readings.mean_utilisation)
    assert told == (None, None, None)


@pytest.mark.parametrize(
    "torch",
    [
        {"uuid": T4},
        {"uuid": f"GPU-{T4}"},
        {"pci_domain_id": 0, "pci_bus_id": 0x4B, "pci_device_id": 0},  # an older torch
    ],
)
def test_of_several_cards_the_one_that_torch_uses_is_read(
    nvml: Install, torch: dict[str, Any]
) -> None:
    nvml(Board(H200, used=[1]), Board(T4, used=[2], bus="00000000:4b:00.0"), torch=torch)
    with sensor("cuda") as found:
        assert found is not None
        assert found.read().memory == 2


def test_a_card_that_nvml_does_not_know_is_not_mistaken_for_another(nvml: Install) -> None:
    nvml(Board(H200), torch={"uuid": T4, "pci_bus_id": 1})
    with sensor("cuda") as found:
        assert found is None


@pytest.mark.parametrize("device", [None, "cpu", "cuda:0"])
def test_without_nvml_nothing_is_started_and_nothing_known(
    device: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # importing it fails
    with telemetry.watch(device) as readings:
        assert threads() == []
        assert readings.sample() is None
    assert set(readings.facts().values()) == {None}
    assert (telemetry.cards(), telemetry.driver_version()) == (None, None)


def test_a_machine_without_the_driver_has_no_nvml(
    nvml: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = nvml(Board(H200))

    def missing() -> None:
        raise NVMLError(12)

    monkeypatch.setattr(module, "nvmlInit", missing)
    assert telemetry.cards() is None
    with telemetry.watch("cuda:0") as readings:
        assert threads() == []
    assert readings.energy_joules is None


def test_a_cpu_is_not_a_gpu(nvml: Install) -> None:
    nvml(Board(H200))
    with telemetry.watch("cpu") as readings:
        pass
    assert readings.seconds is None


def test_watching_ends_with_an_error(nvml: Install) -> None:
    nvml(Board(H200, energy=[0, 2_000]))
    with pytest.raises(ValueError, match="work"), telemetry.watch(interval=60) as readings:
        raise ValueError("work")
    assert threads() == []
    assert readings.energy_joules == 2.0


# --- the cards of a machine -----------------------------------------------------------------------


def test_cards_are_described(nvml: Install) -> None:
    nvml(
        Board(H200, used=[24 * MIB], processes=3),
        Board(T4, name=b"Tesla T4", used=[0], processes=NO_PERMISSION),
        driver=b"535.104.05",
    )
    first, second = telemetry.cards() or ()
    assert (first.name, first.capability, first.total) == ("NVIDIA H200", (9, 0), 1024 * MIB)
    assert (first.free, first.processes) == (1000 * MIB, 3)
    assert (second.name, second.capability, second.processes) == ("Tesla T4", (7, 5), None)
    assert telemetry.driver_version() == "535.104.05"


def test_a_card_that_cannot_be_read_is_left_out(nvml: Install) -> None:
    nvml(Board(H200, used=NVMLError(15)), Board(T4, name="Tesla T4"))
    assert [card.name for card in telemetry.cards() or ()] == ["Tesla T4"]


# --- arithmetic -----------------------------------------------------------------------------------


def test_one_reading_says_nothing_of_a_time() -> None:
    readings = Readings()
    readings.add(Reading(1.0, energy=5.0, power=2.0, memory=3))
    assert (readings.seconds, readings.energy_joules, readings.mean_watts) == (None, None, None)
    assert (readings.peak_watts, readings.peak_memory_bytes) == (2.0, 3)


def test_utilisation_is_weighted_by_time() -> None:
    readings = Readings()
    for t, share in ((0.0, None), (1.0, 1.0), (4.0, 0.0), (5.0, None)):
        readings.add(Reading(t, utilisation=share))
    assert readings.mean_utilisation == 0.25


def test_power_that_was_once_not_told_is_no_integral() -> None:
    readings = Readings()
    for t, watts in ((0.0, 100.0), (1.0, None), (2.0, 100.0)):
        readings.add(Reading(t, power=watts))
    assert (readings.energy_joules, readings.source) == (None, None)


def test_a_counter_that_falls_silent_counts_to_its_last_word() -> None:
    readings = Readings()
    for t, joules in ((0.0, 10.0), (1.0, 15.0), (2.0, None)):
        readings.add(Reading(t, energy=joules, power=100.0))
    assert (readings.energy_joules, readings.source) == (5.0, "counter")


# --- shares ---------------------------------------------------------------------------------------


def test_requests_that_run_together_share_the_energy_equally() -> None:
    spent = iter([0.0, 10.0, 30.0, 40.0, 50.0])
    shares = Shares(lambda: next(spent))
    shares.enter("a")
    shares.enter("b")  # a alone until 10
    shares.leave("a")  # both until 30
    shares.leave("b")  # b alone until 40
    shares.enter("c")
    assert (shares.take("a"), shares.take("b")) == (20.0, 20.0)
    assert shares.take("a") is None


def test_shares_add_up_to_what_was_spent() -> None:
    moments = [0.0, 3.0, 4.5, 9.0, 9.0, 12.0]
    spent = iter(moments)
    shares = Shares(lambda: next(spent))
    for name in "abc":
        shares.enter(name)
    for name in "bca":
        shares.leave(name)
    total = sum(shares.take(name) or 0.0 for name in "abc")
    assert total == pytest.approx(sum(b - a for a, b in pairwise(moments)))


def test_a_moment_that_was_not_measured_costs_only_those_under_way() -> None:
    spent = iter([0.0, None, 20.0, 30.0, 50.0])
    shares = Shares(lambda: next(spent))
    shares.enter("a")
    shares.enter("b")  # not measured
    shares.leave("a")
    shares.enter("c")
    shares.leave("c")
    assert (shares.take("a"), shares.take("c")) == (None, 10.0)


def test_without_measurement_there_are_no_shares() -> None:
    shares = Shares(lambda: None)
    shares.enter(1)
    shares.leave(1)
    assert shares.take(1) is None


# --- a real card ----------------------------------------------------------------------------------


@pytest.mark.gpu
def test_a_real_card_tells_what_work_took() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    if telemetry.driver_version() is None:
        pytest.skip("needs nvidia-ml-py, and a driver that answers it")
    assert torch.cuda.get_device_name(0) in [card.name for card in telemetry.cards() or ()]
    matrix = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
    with telemetry.watch("cuda:0") as readings:
        for _ in range(400):
            matrix = torch.nn.functional.normalize(matrix @ matrix)
        torch.cuda.synchronize()
    told = {name: value for name, value in readings.facts().items() if value is not None}
    assert told["seconds"] > 0
    assert told["peak_memory_bytes"] > matrix.nbytes
    if "energy_joules" in told:  # a partition tells its memory alone
        assert 0 < told["energy_joules"] < 2000 * told["seconds"] + 500
