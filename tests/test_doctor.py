from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from workbench.doctor import Check, Machine, checks, gpus, probe
from workbench.doctor.gpu_rules import runs_on
from workbench.extension import Headers, place_here
from workbench.extension.headers import NEEDED
from workbench.telemetry import Gpu

from .boards import H200, MIB, T4, Board, NVMLError, Pynvml

REQUIREMENTS = {
    "torch": "<2.14,>=2.6",
    "exllamav2": "==0.3.2",
    "transformers": "<6,>=5.0",
    "jupyterlab": "<5,>=4.4",
    "ipykernel": "<8,>=7.4",
    "ipywidgets": "<9,>=8.1",
}
VERSIONS = {
    "torch": "2.11.0+cu130",
    "exllamav2": "0.3.2",
    "transformers": "5.2.0",
    "jupyterlab": "4.5.0",
    "ipykernel": "7.4.1",
    "ipywidgets": "8.1.9",
    "nvidia-ml-py": "13.580.65",
}
CU130 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
GIB = 2**30
LAPTOP = Machine(
    python=(3, 12, 1),
    platform="Linux 6.1, x86_64",
    versions=VERSIONS,
    requirements=REQUIREMENTS,
    headers=Headers(missing=NEEDED),
    sqlite=(3, 45, 1),
    free_disk=100 * GIB,
)
WORKSTATION = replace(
    LAPTOP,
    versions={**VERSIONS, "flash-attn": "2.7.4"},
    torch_cuda="13.0",
    torch_archs=CU130,
    torch_sees_gpu=True,
    torch_gpu="NVIDIA H100",
    torch_capability=(9, 0),
    driver="580.65",
    gpus=(Gpu("NVIDIA H100", (9, 0), 80 * GIB, 79 * GIB),),
    cuda_home=Path("/usr/local/cuda"),
    nvcc="13.0",
    headers=Headers(),
    compiler="/usr/bin/g++",
    compiler_version=(13, 3, 0),
    compiler_bound=(16, 0),
    ninja="/usr/bin/ninja",
    cores=16,
    memory=64 * GIB,
    nvml=True,
)


def find(name: str, facts: Machine) -> Check:
    (check,) = [check for check in checks(facts) if check.name == name]
    return check


def without(package: str, facts: Machine = LAPTOP) -> Machine:
    return replace(facts, versions={k: v for k, v in facts.versions.items() if k != package})


def with_version(package: str, version: str, facts: Machine = LAPTOP) -> Machine:
    return replace(facts, versions={**facts.versions, package: version})


@pytest.mark.parametrize("facts", [LAPTOP, WORKSTATION])
def test_a_machine_that_has_everything_it_needs_is_well(facts: Machine) -> None:
    assert [check for check in checks(facts) if check.status != "ok"] == []


def test_every_check_has_its_own_name_and_something_found() -> None:
    names = [check.name for check in checks(LAPTOP)]
    assert len(set(names)) == len(names) == 18
    assert all(check.found for check in checks(LAPTOP))


# --- machines that people have --------------------------------------------------------------------


def card(name: str, capability: tuple[int, int], gib: int, **facts: object) -> Machine:
    """The workstation with another card in it, 1 GiB of it taken."""
    gpu = Gpu(name, capability, gib * GIB, (gib - 1) * GIB)
    seen = {"torch_gpu": name, "torch_capability": capability, "gpus": (gpu,)}
    return replace(WORKSTATION, **seen | facts)


RTX_3060 = card("NVIDIA GeForce RTX 3060", (8, 6), 12)
RTX_4090 = card("NVIDIA GeForce RTX 4090", (8, 9), 24)
RTX_5090 = card("NVIDIA GeForce RTX 5090", (12, 0), 32)
A100 = card("NVIDIA A100-SXM4-80GB", (8, 0), 80)
H200_ = card("NVIDIA H200", (9, 0), 141)
V100 = card("Tesla V100", (7, 0), 32, torch_archs=("sm_70", "sm_75", "sm_80"), torch_cuda="12.6")
GTX_1080 = card(
    "NVIDIA GeForce GTX 1080",
    (6, 1),
    8,
    versions={**VERSIONS, "torch": "2.7.1"},
    torch_cuda="12.6",
    nvcc="12.6",
    torch_archs=("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"),
)
GTX_980 = replace(GTX_1080, torch_gpu="GTX 980", torch_capability=(5, 2))
WSL = replace(RTX_4090, platform="Linux 5.15.153.1-microsoft-standard-WSL2, x86_64")
TWO = replace(
    H200_,
    gpus=(Gpu("Tesla T4", (7, 5), 15 * GIB, 15 * GIB), *H200_.gpus),
)
CONDA_TOOLKIT = replace(
    RTX_4090,
    cuda_home=Path("/opt/conda"),
    headers=Headers(folders=(Path("/opt/conda/targets/x86_64-linux/include"),)),
)


@pytest.mark.parametrize("facts", [RTX_4090, RTX_5090, A100, H200_, WSL, TWO, CONDA_TOOLKIT])
def test_these_are_well(facts: Machine) -> None:
    assert [check for check in checks(facts) if check.status != "ok"] == []


@pytest.mark.parametrize("facts", [LAPTOP, replace(LAPTOP, torch_cuda="13.0", torch_archs=CU130)])
def test_nothing_fails_for_want_of_a_gpu(facts: Machine) -> None:
    assert {check.status for check in checks(facts)} == {"ok"}
    assert "GPU memory" not in [check.name for check in checks(facts)]


# What is wrong, the line that says so, how bad it is, a part of what it found, and its remedy.
TROUBLE: tuple[tuple[Machine, str, str, str, str], ...] = (
    (RTX_3060, "GPU memory", "warn", "11.0 of 12.0 GiB free", "workbench models fit"),
    (
        replace(RTX_4090, gpus=(Gpu("NVIDIA GeForce RTX 4090", (8, 9), 24 * GIB, 6 * GIB, 2),)),
        "GPU memory",
        "warn",
        "6.0 of 24.0 GiB free; processes that hold some: 2",
        "nvidia-smi shows who holds it",
    ),
    (GTX_1080, "GPU", "warn", "half precision at a 64th of its speed", "7.0 or newer"),
    (GTX_980, "GPU", "fail", "cannot compute in half precision", "--device cpu"),
    (
        replace(GTX_1080, torch_cuda="13.0", torch_archs=CU130),
        "GPU kernels",
        "fail",
        "torch has none for compute capability 6.1, only sm_75",
        'pip install "torch>=2.6,<2.8"',
    ),
    (
        replace(V100, torch_archs=CU130),
        "GPU kernels",
        "fail",
        "none for compute capability 7.0",
        'pip install "torch>=2.6,<2.8"',
    ),
    (
        replace(RTX_5090, torch_archs=("sm_80", "sm_86", "sm_90")),
        "GPU kernels",
        "fail",
        "none for compute capability 12.0, only sm_80, sm_86, sm_90",
        'pip install --upgrade "torch>=2.8,<2.14"',
    ),
    (
        replace(RTX_5090, nvcc="12.4", torch_cuda="12.8"),
        "CUDA toolkit",
        "fail",
        "nvcc 12.4 in /usr/local/cuda, which does not know this GPU",
        "Install CUDA 12.8",
    ),
    (
        replace(A100, driver="535.104.05", torch_sees_gpu=False),
        "GPU driver",
        "fail",
        "535.104.05: too old for torch's CUDA 13.0, which wants 580 or newer",
        'pip install "torch>=2.6,<2.11"',
    ),
    (
        replace(WSL, driver="535.104.05", torch_sees_gpu=False),
        "GPU driver",
        "fail",
        "too old",
        "Update the NVIDIA driver in Windows",
    ),
    (
        replace(A100, driver="470.82", torch_cuda="12.6", torch_sees_gpu=False),
        "GPU driver",
        "fail",
        "wants 525 or newer",
        "sudo apt-get install nvidia-driver-580",
    ),
    (
        replace(RTX_4090, torch_cuda=None, torch_archs=(), torch_sees_gpu=False),
        "GPU",
        "fail",
        "this torch was built without CUDA",
        'pip install --upgrade --force-reinstall "torch',
    ),
    (
        replace(RTX_4090, torch_sees_gpu=False),
        "GPU",
        "fail",
        "torch cannot use it",
        "nvidia-smi",
    ),
    (
        replace(RTX_4090, flash_error="ImportError: undefined symbol: _ZN3c104cuda9SetDeviceEi"),
        "flash-attn",
        "warn",
        "undefined symbol: _ZN3c104cuda9SetDeviceEi): torch's attention runs",
        "pip install --force-reinstall --no-deps --no-build-isolation",
    ),
    (
        replace(
            RTX_4090,
            extension=Path("site-packages/exllamav2_ext.so"),
            extension_from="installed",
            extension_error="ImportError: undefined symbol: _ZNK3c106SymInt",
        ),
        "ExLlamaV2 extension",
        "fail",
        "is broken: ImportError: undefined symbol: _ZNK3c106SymInt",
        'pip install --force-reinstall --no-deps "exllamav2==0.3.2" && workbench doctor --build',
    ),
    (
        replace(
            RTX_4090, extension=Path("cache/exllamav2_ext.so"), extension_error="file too short"
        ),
        "ExLlamaV2 extension",
        "fail",
        "built before: cache/exllamav2_ext.so, is broken: file too short",
        "workbench doctor --build",
    ),
    (
        replace(RTX_4090, compiler=None, compiler_version=()),
        "C++ compiler",
        "fail",
        "none, and ExLlamaV2's extension has to be built",
        "sudo apt-get install g++",
    ),
    (
        replace(
            RTX_4090,
            nvcc="12.4",
            torch_cuda="12.4",
            compiler_bound=(14, 0),
            compiler_version=(14, 2, 0),
        ),
        "C++ compiler",
        "fail",
        "GCC 14.2.0, and nvcc 12.4 takes none from 14.0 on",
        "sudo apt-get install g++-13 && export CC=gcc-13 CXX=g++-13",
    ),
    (
        replace(RTX_4090, headers=Headers(missing=("cusparse.h",))),
        "CUDA headers",
        "fail",
        "cusparse.h missing, and ExLlamaV2's extension has to be built",
        "pip install nvidia-cusparse nvidia-cublas",
    ),
    (
        replace(RTX_4090, headers=Headers(missing=("cusparse.h",)), torch_cuda="12.8", nvcc="12.8"),
        "CUDA headers",
        "fail",
        "cusparse.h missing",
        "pip install nvidia-cusparse-cu12 nvidia-cublas-cu12",
    ),
    (
        replace(RTX_4090, nvcc="12.8"),
        "CUDA toolkit",
        "fail",
        "nvcc 12.8 in /usr/local/cuda, but torch is for CUDA 13.0",
        "export CUDA_HOME=/usr/local/cuda-13.0",
    ),
    (replace(RTX_4090, nvcc=None), "CUDA toolkit", "fail", "none", "conda env create"),
    (replace(RTX_4090, ninja=None), "ninja", "fail", "none", "pip install ninja"),
    (
        replace(RTX_4090, nvml=False),
        "GPU telemetry",
        "warn",
        "power and energy are not measured",
        'pip install "nvidia-ml-py',
    ),
)


@pytest.mark.parametrize(
    ("facts", "name", "status", "found", "remedy"),
    TROUBLE,
    ids=[f"{number}-{one[1]}" for number, one in enumerate(TROUBLE)],
)
def test_trouble_is_told_with_the_command_that_mends_it(
    facts: Machine, name: str, status: str, found: str, remedy: str
) -> None:
    check = find(name, facts)
    assert check.status == status
    assert found in check.found
    assert remedy in check.remedy


@pytest.mark.parametrize(("facts", "name"), [(one[0], one[1]) for one in TROUBLE])
def test_whatever_is_wrong_has_a_remedy(facts: Machine, name: str) -> None:
    wrong = [check for check in checks(facts) if check.status != "ok"]
    assert name in [check.name for check in wrong]
    assert all(check.remedy for check in wrong)


def test_a_driver_that_works_is_not_called_too_old() -> None:
    # NVIDIA's forward compatibility lets data-centre cards run a newer CUDA on an older driver.
    assert find("GPU driver", replace(H200_, driver="535.104.05")).status == "ok"


def test_of_two_gpus_the_one_that_computes_is_judged() -> None:
    assert "computes on NVIDIA H200" in find("GPU", TWO).found
    assert find("GPU memory", TWO).found == "140.0 of 141.0 GiB free"


@pytest.mark.parametrize(
    ("archs", "capability", "runs"),
    [
        (("sm_80",), (8, 9), True),  # machine code within a major version
        (("sm_89",), (8, 6), False),
        (("sm_90",), (12, 0), False),
        (("sm_90", "compute_90"), (12, 0), True),  # compiled by the driver
        (("compute_120",), (9, 0), False),
        (("sm_90a",), (9, 0), True),
        (("sm_60",), (6, 1), True),
        (("gfx90a",), (9, 0), False),
    ],
)
def test_kernels_for_an_architecture(
    archs: tuple[str, ...], capability: tuple[int, int], runs: bool
) -> None:
    assert runs_on(archs, capability) is runs


BROKEN = Machine(
    python=(3, 10, 0),
    platform="Linux",
    sqlite=(3, 22, 0),
    home_error="Read-only file system",
    torch_sees_gpu=True,
    extension_error=None,
)


def test_what_is_wrong_always_has_a_remedy() -> None:
    wrong = [check for check in checks(BROKEN) if check.status != "ok"]
    assert {check.name for check in wrong} >= {"Python", "torch", "ninja", "SQLite", "run store"}
    assert all(check.remedy for check in wrong)


@pytest.mark.parametrize(
    ("version", "status"),
    [((3, 10, 9), "fail"), ((3, 11, 0), "ok"), ((3, 13, 9), "ok"), ((3, 14, 0), "fail")],
)
def test_python(version: tuple[int, int, int], status: str) -> None:
    assert find("Python", replace(LAPTOP, python=version)).status == status


def test_a_package_that_is_missing_is_installed_in_the_projects_range() -> None:
    check = find("jupyterlab", without("jupyterlab"))
    assert (check.status, check.found) == ("fail", "not installed")
    assert check.remedy == 'pip install "jupyterlab<5,>=4.4"'


def test_a_package_outside_the_range_is_a_warning_and_a_pinned_one_a_failure() -> None:
    check = find("torch", with_version("torch", "2.5.1"))
    assert (check.status, check.found) == ("warn", "2.5.1; tested with <2.14,>=2.6")
    check = find("exllamav2", with_version("exllamav2", "0.3.1"))
    assert (check.status, check.remedy) == ("fail", 'pip install "exllamav2==0.3.2"')


def test_ranges_are_not_judged_when_the_project_is_not_installed() -> None:
    facts = replace(with_version("torch", "1.0"), requirements={})
    assert find("torch", facts).status == "ok"


def test_transformers_is_optional() -> None:
    check = find("transformers", without("transformers"))
    assert (check.status, check.remedy) == ("warn", 'pip install "transformers<6,>=5.0"')
    assert "reference engine" in check.found


def test_a_torch_that_cannot_be_imported() -> None:
    check = find("torch", replace(LAPTOP, torch_error="libcudart.so.13: not found"))
    assert check.status == "fail"
    assert "libcudart.so.13" in check.found
    assert check.remedy == 'pip install --force-reinstall "torch<2.14,>=2.6"'


def test_torch_says_what_it_was_built_for() -> None:
    assert find("torch", LAPTOP).found == "2.11.0+cu130, without CUDA"
    assert find("torch", WORKSTATION).found == "2.11.0+cu130, for CUDA 13.0"


def test_the_gpu_is_described() -> None:
    assert find("GPU", WORKSTATION).found == "NVIDIA H100, compute capability 9.0"
    assert find("GPU driver", WORKSTATION).found == "580.65"
    assert find("GPU memory", WORKSTATION).found == "79.0 of 80.0 GiB free"


BUILD = ("CUDA toolkit", "CUDA headers", "C++ compiler", "ninja")
BARE = replace(
    WORKSTATION,
    cuda_home=None,
    nvcc=None,
    headers=Headers(missing=NEEDED),
    compiler=None,
    ninja=None,
)


@pytest.mark.parametrize("name", BUILD)
def test_the_build_tools_are_needed_only_to_build(name: str) -> None:
    check = find(name, BARE)
    assert (check.status, bool(check.remedy)) == ("fail", True)
    assert find(name, replace(BARE, extension=Path("exllamav2_ext.so"))).status == "ok"
    assert find(name, replace(BARE, torch_sees_gpu=False)).status == "ok"


def test_the_extension() -> None:
    name = "ExLlamaV2 extension"
    assert "portable natives" in find(name, LAPTOP).found
    assert find(name, WORKSTATION).found == (
        "not built yet: the first start does it, about 3 to 6 minutes, 16 compilers at once; "
        "workbench doctor --build does it now"
    )
    slow = replace(WORKSTATION, cores=2, max_jobs="1")
    assert "about 26 to 104 minutes, one compiler at a time" in find(name, slow).found
    built = replace(WORKSTATION, extension=Path("cache/exllamav2_ext.so"))
    assert find(name, built).found == "built before: cache/exllamav2_ext.so"
    installed = replace(built, extension_from="installed")
    assert find(name, installed).found == "installed: cache/exllamav2_ext.so"


@pytest.mark.parametrize("facts", [without("flash-attn", WORKSTATION), WORKSTATION])
def test_flash_attn_makes_a_gpu_faster(facts: Machine) -> None:
    assert find("flash-attn", with_version("flash-attn", "2.5.7", facts)).status == "ok"
    for slower in (with_version("flash-attn", "2.5.6", facts), without("flash-attn", facts)):
        check = find("flash-attn", slower)
        assert (check.status, "conda-forge" in check.remedy) == ("warn", True)


def test_flash_attn_is_not_asked_of_old_gpus_or_of_none() -> None:
    old = replace(without("flash-attn", WORKSTATION), torch_capability=(7, 5))
    assert find("flash-attn", old).status == "ok"
    assert "too old for it" in find("flash-attn", old).found
    assert find("flash-attn", LAPTOP).status == "ok"


def test_the_store() -> None:
    full = find("run store", replace(LAPTOP, free_disk=GIB // 2))
    assert (full.status, "0.5 GiB free" in full.found) == ("warn", True)
    locked = find("run store", replace(LAPTOP, home_error="Permission denied"))
    assert (locked.status, "WORKBENCH_HOME" in locked.remedy) == ("fail", True)


def test_sqlite() -> None:
    assert find("SQLite", replace(LAPTOP, sqlite=(3, 34, 1))).status == "fail"
    assert find("SQLite", replace(LAPTOP, sqlite=(3, 35, 0))).status == "ok"


# --- looking at a machine -----------------------------------------------------------------------

SMI = "580.65.06, NVIDIA H200, 9.0, 143771, 143000\n580.65.06, NVIDIA T4, 7.5, 15360, 15000\n"
NVCC = "Cuda compilation tools, release 12.8, V12.8.93\n"


def program(folder: Path, name: str, prints: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / name
    made.write_text(f"#!/bin/sh\nprintf '%s' '{prints}'\n")
    made.chmod(0o755)
    return made


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine with a GPU's tools, a home, and nothing else on its path."""
    tools = tmp_path / "cuda" / "bin"
    program(tools, "nvidia-smi", SMI)
    program(tools, "nvcc", NVCC)
    program(tools, "g++", "")
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as where nvidia-ml-py is not installed
    return {
        "PATH": str(tools),
        "WORKBENCH_HOME": str(tmp_path / "home" / "runs"),
        "TORCH_EXTENSIONS_DIR": str(tmp_path / "extensions"),
    }


def test_the_driver_and_the_toolkit_are_asked(environ: dict[str, str], tmp_path: Path) -> None:
    facts = probe(environ)
    assert facts.nvml is False
    assert facts.driver == "580.65.06"
    assert facts.gpus == (
        Gpu("NVIDIA H200", (9, 0), 143771 * 2**20, 143000 * 2**20),
        Gpu("NVIDIA T4", (7, 5), 15360 * 2**20, 15000 * 2**20),
    )
    assert (facts.cuda_home, facts.nvcc) == (tmp_path / "cuda", "12.8")
    assert facts.compiler == str(tmp_path / "cuda" / "bin" / "g++")


def test_nvml_is_asked_rather_than_nvidia_smi(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = (Board(H200, used=[24 * MIB], processes=2), Board(T4, name="Tesla T4"))
    monkeypatch.setitem(sys.modules, "pynvml", Pynvml(*boards, driver="595.10"))
    facts = probe(environ)
    assert (facts.driver, facts.nvml) == ("595.10", True)
    assert facts.gpus[0] == Gpu("NVIDIA H200", (9, 0), 1024 * MIB, 1000 * MIB, 2)
    assert facts.gpus == gpus()
    silent = Pynvml(*boards)
    monkeypatch.setattr(silent, "nvmlInit", refusing)
    monkeypatch.setitem(sys.modules, "pynvml", silent)
    assert probe(environ).driver == "580.65.06"  # nvidia-smi's


def refusing() -> None:
    raise NVMLError(9)


def test_the_headers_lie_in_the_toolkit_or_on_cpath(
    environ: dict[str, str], tmp_path: Path
) -> None:
    assert "cusparse.h" in probe(environ).headers.missing
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "cusparse.h").touch()
    found = probe({**environ, "CPATH": f"/nowhere:{tmp_path / 'wheels'}"}).headers
    assert "cusparse.h" not in found.missing
    include = tmp_path / "cuda" / "targets" / "x86_64-linux" / "include"
    include.mkdir(parents=True)
    (include / "cusparse.h").touch()
    assert probe(environ).headers.folders == (include,)


def test_an_extension_that_was_built_before_is_found_and_tried(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "exllamav2_ext", ModuleType("exllamav2_ext"))
    assert probe(environ).extension is None  # what stands in for it is not it
    place = place_here(torch, environ)
    place.library.parent.mkdir(parents=True)
    place.library.write_bytes(b"half of a library")
    assert probe(environ).extension is None  # nobody said that it is whole
    (place.folder / "built").touch()
    facts = probe(environ)
    assert (facts.extension, facts.extension_from) == (place.library, "built")
    assert "file too short" in (facts.extension_error or "")


def test_looking_writes_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    facts = probe(environ)
    assert sorted(tmp_path.rglob("*")) == before
    assert (facts.home, facts.home_error) == (tmp_path / "home" / "runs", None)
    assert facts.free_disk > 0


def test_a_home_that_cannot_be_written(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    facts = probe({**environ, "WORKBENCH_HOME": str(tmp_path / "taken")})
    assert facts.home_error == "it is a file"
    facts = probe({**environ, "WORKBENCH_HOME": "/proc/1/nothing"})
    assert facts.home_error is not None


def test_programs_that_fail_or_print_nonsense_are_as_good_as_none(
    environ: dict[str, str], tmp_path: Path
) -> None:
    program(tmp_path / "cuda" / "bin", "nvidia-smi", "NVIDIA-SMI has failed, because, of, a\n")
    program(tmp_path / "cuda" / "bin", "nvcc", "release\n")
    facts = probe(environ)
    assert (facts.driver, facts.gpus, facts.nvcc) == (None, (), None)


def test_the_requirements_are_those_of_the_installed_project(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["torch<2.14,>=2.6", 'transformers<6,>=5.0; extra == "reference"', "typer"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: lines)
    assert probe(environ).requirements == {"torch": "<2.14,>=2.6", "transformers": "<6,>=5.0"}


def test_this_machine_can_be_looked_at() -> None:
    facts = probe()
    assert facts.python == sys.version_info[:3]
    assert facts.torch_error is None
    assert find("Python", facts).status == "ok"
    assert find("exllamav2", facts).found == facts.versions["exllamav2"]
