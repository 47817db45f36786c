"""A profiler's trace as figures: events whose answer is known, and a real trace of a CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from workbench.bench.gpu.profile import split
from workbench.bench.gpu.trace import SAMPLING, kind_of, own_times, summary, works

Event = dict[str, Any]


def kernel(name: str, ts: float, dur: float, correlation: int, cat: str = "kernel") -> Event:
    args = {"correlation": correlation}
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "args": args}


def launch(ts: float, correlation: int) -> Event:
    return kernel("cudaLaunchKernel", ts, 2, correlation, cat="cuda_runtime")


def host(name: str, ts: float, dur: float, cat: str = "cpu_op") -> Event:
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "pid": 1, "tid": 1}


# Two steps: on the device 0–40 matrices, 30–50 attention beside it, a gap, 60–70 a copy to the
# host, 100–110 an elementwise kernel that sampling launched.
TRACE = [
    {"ph": "M", "name": "process_name", "args": {"name": "python"}},
    host("aten::matmul", 0, 8),
    host(SAMPLING, 50, 20, cat="user_annotation"),
    launch(1, 1),
    launch(5, 2),
    launch(40, 3),
    launch(55, 4),
    kernel("void gemm_half_q_half_kernel<true>(half const*)", 0, 40, 1),
    kernel("pytorch_flash::flash_fwd_splitkv_kernel<Flash>", 30, 20, 2),
    kernel("Memcpy DtoH (Device -> Pinned)", 60, 10, 3, cat="gpu_memcpy"),
    kernel("void at::native::vectorized_elementwise_kernel<4>", 100, 10, 4),
]


def test_the_device_is_told_by_kind_and_by_gap() -> None:
    told = summary(works(TRACE), 2)
    assert told["kinds"] == pytest.approx(
        {"sampling": 0.005, "attention": 0.010, "matrices": 0.020, "copies": 0.005}
    )
    assert told["busy_ms"] == pytest.approx(0.035), "what runs side by side counts once"
    assert told["gap_ms"] == pytest.approx(0.020)
    assert told["works"] == 2
    first = told["longest"][0]
    assert first == {
        "name": "gemm_half_q_half_kernel<true>(half const*)",
        "ms": pytest.approx(0.02),
        "count": 0.5,
    }


def test_an_empty_trace_has_figures_of_nothing() -> None:
    told = summary(works([]), 1)
    assert (told["busy_ms"], told["gap_ms"], told["kinds"], told["longest"]) == (0, 0, {}, [])


def test_what_an_operator_calls_is_not_its_own() -> None:
    events = [
        host("outer", 0, 100),
        host("inner", 10, 30),
        host("leaf", 12, 5),
        host("next", 50, 9),
    ]
    own = {event["name"]: time for event, time in own_times(reversed(events))}
    assert own == {"outer": 61, "inner": 25, "leaf": 5, "next": 9}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("void gemm_half_q_half_gptq_kernel<1, true, 4>", "matrices"),
        ("void reconstruct_kernel<half>", "matrices"),
        ("nvjet_hsh_64x8_64x16_4x1_v_bz_TNT", "matrices"),
        ("fmha_cutlassF_f16_aligned_64x128_rf_sm80", "attention"),
        ("void fp16_to_q_kv_paged_kernel<4, 4>", "cache and indexing"),
        ("void at::native::index_elementwise_kernel<128, 4>", "cache and indexing"),
        ("void at::native::elementwise_kernel<direct_copy_kernel_cuda>", "copies"),
        ("void rms_norm_kernel<true, true, 4>", "norm, rope, elementwise"),
        ("void rope_cuda_qk_kernel", "norm, rope, elementwise"),
        ("void act_mul_kernel<true>", "norm, rope, elementwise"),
        ("void cub::DeviceRadixSortOnesweepKernel", "other"),
    ],
)
def test_kinds_of_kernels(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_a_real_trace_of_a_cpu(tmp_path: Path) -> None:
    square = torch.ones(300, 300)
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        square @ square
        with record_function(SAMPLING):
            square.sort()
    path = tmp_path / "trace.json"
    recorded.export_chrome_trace(str(path))
    told = summary(works(json.loads(path.read_text())["traceEvents"]), 1)
    assert told["kinds"]["matrices"] > 0
    assert told["kinds"]["sampling"] > 0
    assert {"aten::mm", "aten::sort"} <= {row["name"] for row in told["longest"]}


def test_the_hosts_time_is_split_without_a_rest() -> None:
    seconds = {"step": 10.0, "generator": 9.0, "forward": 5.0, "waiting": 2.0, "sampling": 1.5}
    told = split(seconds, 1000)
    assert told == pytest.approx(
        {
            "step_ms": 10,
            "forward_ms": 5,
            "waiting_ms": 2,
            "sampling_ms": 1.5,
            "generator_ms": 0.5,
            "workbench_ms": 1,
        }
    )
    assert sum(told.values()) == pytest.approx(2 * told["step_ms"])
