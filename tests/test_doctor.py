from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from workbench.doctor import Check, Machine, checks, probe
from workbench.doctor.machine import Gpu

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
}
GIB = 2**30
LAPTOP = Machine(
    python=(3, 12, 1),
    platform="Linux 6.1, x86_64",
    versions=VERSIONS,
    requirements=REQUIREMENTS,
    sqlite=(3, 45, 1),
    free_disk=100 * GIB,
)
WORKSTATION = replace(
    LAPTOP,
    versions={**VERSIONS, "flash-attn": "2.7.4"},
    torch_cuda="13.0",
    torch_sees_gpu=True,
    driver="580.65",
    gpus=(Gpu("NVIDIA H100", (9, 0), 80 * GIB, 79 * GIB),),
    cuda_home=Path("/usr/local/cuda"),
    nvcc="13.0",
    cuda_headers=True,
    compiler="/usr/bin/g++",
    ninja="/usr/bin/ninja",
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
    assert len(set(names)) == len(names) == 17
    assert all(check.found for check in checks(LAPTOP))


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
    assert find("GPU", WORKSTATION).found == (
        "NVIDIA H100, compute capability 9.0, 79.0 of 80.0 GiB free; driver 580.65"
    )


def test_a_gpu_that_torch_cannot_use() -> None:
    unseen = replace(WORKSTATION, torch_sees_gpu=False)
    assert find("GPU", unseen).status == "warn"
    assert "driver" in find("GPU", unseen).remedy
    assert "built for CUDA" in find("GPU", replace(unseen, torch_cuda=None)).remedy


def test_a_gpu_without_room_for_the_model() -> None:
    small = replace(WORKSTATION, gpus=(Gpu("RTX 3060", (8, 6), 12 * GIB, 11 * GIB),))
    assert (find("GPU", small).status, "EXL2" in find("GPU", small).remedy) == ("warn", True)


BUILD = ("CUDA toolkit", "CUDA headers", "C++ compiler", "ninja")
BARE = replace(
    WORKSTATION, cuda_home=None, nvcc=None, cuda_headers=False, compiler=None, ninja=None
)


@pytest.mark.parametrize("name", BUILD)
def test_the_build_tools_are_needed_only_to_build(name: str) -> None:
    check = find(name, BARE)
    assert (check.status, bool(check.remedy)) == ("fail", True)
    assert find(name, replace(BARE, extension=Path("exllamav2_ext.so"))).status == "ok"
    assert find(name, replace(BARE, torch_sees_gpu=False)).status == "ok"


def test_missing_headers_come_from_torchs_own_packages() -> None:
    check = find("CUDA headers", replace(WORKSTATION, cuda_headers=False))
    assert check.remedy.startswith("export CPATH=$(python -c ")
    assert "nvidia.__path__" in check.remedy


def test_a_toolkit_of_another_cuda_than_torchs() -> None:
    check = find("CUDA toolkit", replace(WORKSTATION, nvcc="12.8"))
    assert check.status == "fail"
    assert check.found == "nvcc 12.8 in /usr/local/cuda, but torch is for CUDA 13.0"
    assert "CUDA_HOME" in check.remedy
    assert find("CUDA toolkit", replace(WORKSTATION, nvcc="13.2")).status == "ok"


def test_the_extension() -> None:
    name = "ExLlamaV2 extension"
    assert "portable natives" in find(name, LAPTOP).found
    assert find(name, WORKSTATION).found == "not built yet"
    built = replace(WORKSTATION, extension=Path("cache/exllamav2_ext.so"))
    assert find(name, built).found == "cache/exllamav2_ext.so"
    broken = find(name, replace(built, extension_error="undefined symbol: _ZN3c10"))
    assert (broken.status, "undefined symbol" in broken.found) == ("fail", True)
    assert broken.remedy.endswith('"exllamav2==0.3.2"')


@pytest.mark.parametrize("facts", [without("flash-attn", WORKSTATION), WORKSTATION])
def test_flash_attn_makes_a_gpu_faster(facts: Machine) -> None:
    assert find("flash-attn", with_version("flash-attn", "2.5.7", facts)).status == "ok"
    for slower in (with_version("flash-attn", "2.5.6", facts), without("flash-attn", facts)):
        check = find("flash-attn", slower)
        assert (check.status, "conda-forge" in check.remedy) == ("warn", True)


def test_flash_attn_is_not_asked_of_old_gpus_or_of_none() -> None:
    old = replace(without("flash-attn", WORKSTATION), gpus=(Gpu("T4", (7, 5), 30 * GIB, 30 * GIB),))
    assert find("flash-attn", old).status == "ok"
    assert find("flash-attn", LAPTOP).status == "ok"


def test_a_broken_flash_attn_breaks_exllamav2() -> None:
    check = find("flash-attn", replace(WORKSTATION, flash_error="undefined symbol: x"))
    assert (check.status, "pip uninstall flash-attn" in check.remedy) == ("fail", True)


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
    return {
        "PATH": str(tools),
        "WORKBENCH_HOME": str(tmp_path / "home" / "runs"),
        "TORCH_EXTENSIONS_DIR": str(tmp_path / "extensions"),
    }


def test_the_driver_and_the_toolkit_are_asked(environ: dict[str, str], tmp_path: Path) -> None:
    facts = probe(environ)
    assert facts.driver == "580.65.06"
    assert facts.gpus == (
        Gpu("NVIDIA H200", (9, 0), 143771 * 2**20, 143000 * 2**20),
        Gpu("NVIDIA T4", (7, 5), 15360 * 2**20, 15000 * 2**20),
    )
    assert (facts.cuda_home, facts.nvcc) == (tmp_path / "cuda", "12.8")
    assert (facts.compiler, facts.ninja) == (str(tmp_path / "cuda" / "bin" / "g++"), None)


def test_the_headers_lie_in_the_toolkit_or_on_cpath(
    environ: dict[str, str], tmp_path: Path
) -> None:
    assert not probe(environ).cuda_headers
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "cusparse.h").touch()
    assert probe({**environ, "CPATH": f"/nowhere:{tmp_path / 'wheels'}"}).cuda_headers
    include = tmp_path / "cuda" / "targets" / "x86_64-linux" / "include"
    include.mkdir(parents=True)
    (include / "cusparse.h").touch()
    assert probe(environ).cuda_headers


def test_an_extension_that_torch_built_before_is_found(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "exllamav2_ext", ModuleType("exllamav2_ext"))
    assert probe(environ).extension is None  # what stands in for it is not it
    tag = f"py{sys.version_info.major}{sys.version_info.minor}_cu130"
    folder = tmp_path / "extensions" / tag / "exllamav2_ext"
    folder.mkdir(parents=True)
    (folder / "exllamav2_ext.o").touch()
    assert probe(environ).extension is None
    (folder / "exllamav2_ext.so").touch()
    assert probe(environ).extension == folder / "exllamav2_ext.so"


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
