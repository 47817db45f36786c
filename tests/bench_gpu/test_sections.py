"""What sections compute with: divergence, decode steps, the GPU's facts, a report of tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.bench.gpu import converted, machine, tests, work
from workbench.bench.gpu.bed import Bed, Job, OutOfTime
from workbench.bench.gpu.decoding import requests, steps
from workbench.bench.gpu.divergence import divergent, ids_apart, logits_apart
from workbench.bench.gpu.footprint import footprint
from workbench.bench.gpu.models import provide
from workbench.bench.gpu.sections import Section
from workbench.bench.gpu.sizes import FULL, REHEARSAL, Sizes
from workbench.errors import EngineError, ModelError
from workbench.experiments.latency_prompts import PromptWriter
from workbench.models.catalogue import CATALOGUE
from workbench.records import EngineSpec, Mode

ROOT = Path(__file__).resolve().parents[2]

# --- divergence ----------------------------------------------------------------------------------


def test_logits_apart_by_hand() -> None:
    theirs = [torch.tensor([[0.0, log(3.0)], [1.0, 0.0]])]
    ours = [torch.tensor([[log(3.0), 0.0], [1.0, 0.0]])]
    told = logits_apart(ours, theirs)
    assert (told["positions"], told["equal_argmax"]) == (2, 0.5)
    assert told["logit_difference_most"] == pytest.approx(log(3))
    assert told["logit_difference_mean"] == pytest.approx(log(3) / 2)
    kl = 0.75 * log(3) - 0.25 * log(3)  # p = (1/4, 3/4), q = (3/4, 1/4)
    assert told["kl_most"] == pytest.approx(kl)
    assert told["kl_mean"] == pytest.approx(kl / 2)


@pytest.mark.parametrize(
    ("one", "other", "place"),
    [([1, 2], [1, 2], None), ([1, 2], [1, 3], 1), ([1, 2], [1, 2, 3], 2), ([], [], None)],
)
def test_the_first_divergent_token(one: list[int], other: list[int], place: int | None) -> None:
    assert divergent(one, other) == place


def test_ids_apart_tell_the_earliest_place() -> None:
    told = ids_apart([[1, 2, 3], [1, 2, 4], [9]], [[1, 2, 3]] * 3)
    assert told == {"answers": 3, "equal": 1 / 3, "first_divergent": 0}


# --- decode steps --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    job = Job("cpu", REHEARSAL, tmp_path_factory.mktemp("models"))
    with closing(Bed(job, lambda *asked: None)) as made:
        yield made


def engine_and_writer(bed: Bed, **settings: Any) -> tuple[Any, PromptWriter]:
    spec = EngineSpec(
        model=str(bed.endless("demo")), device="cpu", cache_tokens=1024, max_batch=4, **settings
    )
    return bed.engine(spec), PromptWriter(spec, Mode.ON, 0)


def test_decode_steps_count_every_request_once_a_step(bed: Bed) -> None:
    engine, writer = engine_and_writer(bed)
    found = steps(engine, requests(writer, 60, 3, 100), prompt=60, count=5, seconds=60.0)
    assert (found.requests, len(found.seconds), found.tokens) == (3, 5, 15)
    assert 60 < found.context < 80
    assert engine.step() == [], "nothing is left under way"


def test_a_batch_that_does_not_fit_is_refused_before_it_starts(bed: Bed) -> None:
    engine, writer = engine_and_writer(bed)
    asked = requests(writer, 60, 4, 400)
    with pytest.raises(EngineError, match="2,048 tokens of cache, and 1,024 fit"):
        steps(engine, asked, prompt=60, count=5, seconds=60.0)
    assert engine.step() == []


def test_a_request_that_ends_early_spoils_no_figure(bed: Bed) -> None:
    engine, writer = engine_and_writer(bed)
    with pytest.raises(EngineError, match="ended before"):
        steps(engine, requests(writer, 60, 1, 6), prompt=60, count=50, seconds=60.0)
    assert engine.step() == []


def test_the_open_engine_is_shared_by_equal_specifications(bed: Bed) -> None:
    one, _ = engine_and_writer(bed)
    assert engine_and_writer(bed)[0] is one
    assert engine_and_writer(bed, context=512)[0] is not one


def test_a_section_stops_when_its_time_is_over(bed: Bed) -> None:
    bed.allow(60)
    bed.check_time()
    bed.allow(0)
    with pytest.raises(OutOfTime):
        bed.check_time()


def test_a_model_is_written_once(tmp_path: Path) -> None:
    made: list[str] = []

    def counted(sizes: Sizes, form: str, folder: Path) -> bool:
        made.append(form)
        return provide(sizes, form, folder)

    with closing(Bed(Job("cpu", REHEARSAL, tmp_path), counted)) as bed:
        first = bed.model("exl2"), bed.made_in.pop("exl2")
        assert bed.model("exl2") == first[0] == str(tmp_path / "exl2")
    assert made == ["exl2", "exl2"]
    assert bed.made_in == {}
    with pytest.raises(ModelError, match="of another shape or format"):
        provide(REHEARSAL, "gptq4", tmp_path / "exl2")
    with pytest.raises(ModelError, match="another shape"):
        provide(FULL, "exl2", tmp_path / "exl2")


# --- facts ---------------------------------------------------------------------------------------


def test_what_the_driver_says_is_read() -> None:
    line = "NVIDIA H200, 580.95.05, 9.0, 143771, 700.00, 1980, 3201, [N/A], Enabled, Enabled, 31"
    assert machine.parsed(tuple(machine._ASKED), line) == {
        "gpu": "NVIDIA H200",
        "driver": "580.95.05",
        "capability": "9.0",
        "memory_mib": 143771.0,
        "power_limit_watt": 700.0,
        "clock_sm_most_mhz": 1980.0,
        "clock_memory_most_mhz": 3201.0,
        "clock_sm_mhz_before": None,
        "ecc": "Enabled",
        "persistence": "Enabled",
        "temperature_c_before": 31.0,
    }
    assert machine.parsed(("name",), "") == {}


def test_a_field_that_the_driver_does_not_know_takes_no_others_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def output(*words: str) -> str:
        fields = words[1].removeprefix("--query-gpu=").split(",")
        known = {"name": "NVIDIA L4", "power.limit": "72.00"}
        return known.get(fields[0], "") if len(fields) == 1 else ""

    monkeypatch.setattr(machine, "_output", output)
    assert machine.gpu() == {"gpu": "NVIDIA L4", "power_limit_watt": 72.0}


def test_without_its_tool_a_gpu_is_named_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_output", lambda *words: "")
    told = {"name": "NVIDIA L4", "compute_capability": "8.9"}
    monkeypatch.setattr(machine.environment, "gpu", lambda: told)
    assert machine.gpu() == {"gpu": "NVIDIA L4", "capability": "8.9"}


# --- a GPU's memory, pretended -------------------------------------------------------------------


class Card:
    """What torch tells of the memory of a GPU that is not there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
        self.allocated = self.peak = 0
        told = {
            "memory_allocated": lambda device: self.allocated,
            "memory_reserved": lambda device: self.allocated,
            "max_memory_allocated": lambda device: self.peak,
            "mem_get_info": lambda device: (free - self.allocated, 2 * free),
            "reset_peak_memory_stats": lambda device: None,
            "empty_cache": lambda: None,
            "synchronize": lambda *device: None,
        }
        for name, answer in told.items():
            monkeypatch.setattr(torch.cuda, name, answer)


@pytest.fixture
def gpu_bed(tmp_path: Path) -> Bed:
    return Bed(Job("cuda:0", REHEARSAL, tmp_path), provide)


def test_a_cache_is_no_larger_than_the_card_takes(
    monkeypatch: pytest.MonkeyPatch, gpu_bed: Bed
) -> None:
    Card(monkeypatch, 2**33)
    large = gpu_bed.spec("demo", requests=200, tokens=512)
    assert large.cache_tokens == 401 * 256
    Card(monkeypatch, 2**29)
    assert gpu_bed.spec("demo", requests=200, tokens=512) is large, "asked once"
    small = gpu_bed.spec("demo", requests=100, tokens=2048)
    assert 256 < (small.cache_tokens or 0) < 100 * 2048
    assert (small.cache_tokens or 0) % 256 == 0


def test_memory_is_measured_from_where_it_began(
    monkeypatch: pytest.MonkeyPatch, gpu_bed: Bed
) -> None:
    card = Card(monkeypatch, 2**33)
    card.allocated = 1000

    class Engine:
        def close(self) -> None:
            card.allocated = 1000

    def opened(spec: EngineSpec) -> Engine:
        card.allocated = 1000 + 11_000_000
        return Engine()

    def at_the_end(engine: Engine, tokens: int) -> None:
        card.peak = 1000 + 26_000_000

    monkeypatch.setattr("workbench.bench.gpu.bed.ExllamaEngine", opened)
    monkeypatch.setattr("workbench.bench.gpu.footprint.at_the_end", at_the_end)
    found = dict(footprint(gpu_bed))
    assert set(found) == {"cache_fp16", "cache_q4"}
    one = found["cache_fp16"]
    assert (one["loaded_bytes"], one["peak_bytes"]) == (11_000_000, 26_000_000)
    assert one["loaded_error"] == one["predicted_loaded_bytes"] / 11_000_000 - 1
    assert one["left_after_closing_bytes"] == 0
    assert one["cuda_context_bytes"] == 2**33


def test_an_error_of_the_device_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, gpu_bed: Bed
) -> None:
    Card(monkeypatch, 2**33)

    def broken(bed: Bed) -> Iterator[tuple[str, Any]]:
        monkeypatch.setattr(torch.cuda, "synchronize", _raise)
        yield "one", 1
        _raise()

    names = ["first", "second"]
    monkeypatch.setattr(work, "SECTIONS", dict.fromkeys(names, Section("", 9, broken)))
    told = list(work.work(names, gpu_bed, 60.0))
    assert [one.dead for one in told if isinstance(one, work.Ended)] == [True]
    assert {one.section for one in told} == {"first"}, "the next process does the rest"


def _raise(*arguments: object) -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_the_command_has_no_folders_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["/home/me/bin/workbench", "bench", "gpu", "--models", "/data/me/kept", "a.json"]
    monkeypatch.setattr("sys.argv", given)
    assert machine.command() == "workbench bench gpu --models kept a.json"


# --- the tests that need a GPU -------------------------------------------------------------------

REPORT = """<testsuites><testsuite>
<testcase classname="tests.a" name="good"/>
<testcase classname="tests.a" name="bad"><failure message="1 == 2&#10;more"/></testcase>
<testcase classname="tests.b" name="broken"><error message="no kernel">x</error></testcase>
<testcase classname="tests.b" name="left"><skipped message="needs flash-attn">x</skipped></testcase>
</testsuite></testsuites>"""


def test_a_report_of_tests_is_read() -> None:
    assert tests.read(REPORT) == {
        "passed": 1,
        "cut_off": False,
        "failed": 2,
        "skipped": 1,
        "failures": {"tests.a::bad": "1 == 2", "tests.b::broken": "no kernel"},
        "skips": {"needs flash-attn": 1},
    }


def test_without_the_tests_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="not beside the package"):
        tests.ran(tmp_path, "tests", 60.0)


def test_only_files_with_tests_for_a_gpu_are_run() -> None:
    files = tests.marked(ROOT, "tests")
    assert "tests/engines/test_cuda.py" in files
    assert "tests/test_sampling.py" in files
    assert "tests/test_notebooks.py" not in files


def test_tests_that_take_too_long_still_report_what_they_did(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tests, "_PATIENCE", 10.0)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # what is installed takes seconds
    (tmp_path / "test_x.py").write_text(
        "import time, pytest\npytestmark = pytest.mark.gpu\n"
        "def test_quick(): pass\ndef test_slow(): time.sleep(600)\n"
    )
    told = tests.ran(tmp_path, "test_x.py", 15.0)
    assert (told["passed"], told["cut_off"]) == (1, True)


# --- the embedded model as EXL2 ------------------------------------------------------------------


def test_a_model_beside_itself_lies_nowhere_apart(bed: Bed) -> None:
    folder = CATALOGUE["demo"].folder
    assert folder is not None
    told = dict(converted.compared(bed, folder))
    assert told["quantization"] == "fp16"
    assert told["greedy"]["equal"] == 1.0
    assert told["teacher_forced"]["kl_most"] < 1e-6
    assert told["teacher_forced"]["equal_argmax"] == 1.0
