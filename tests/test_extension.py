"""The build of the extension, driven for real: a small one in C++, compiled as ExLlamaV2's is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from workbench.errors import EngineError
from workbench.extension import Place, build, cost, cuda_home, headers, load, place_here
from workbench.extension.building import jobs_here
from workbench.extension.following import Follower
from workbench.extension.headers import NEEDED
from workbench.extension.trouble import header_packages, remedy_for

GIB = 2**30
MODULE = "tiny_builder"
BUILDER = """
from pathlib import Path
from torch.utils.cpp_extension import load
here = Path(__file__).parent
load("tiny_ext", [str(one) for one in sorted(here.glob("*.cpp"))], verbose=False)
"""
ENTRY = """
#include <Python.h>
int answer();
static PyObject* ask(PyObject*, PyObject*) { return PyLong_FromLong(answer()); }
static PyMethodDef methods[] = {{"ask", ask, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
static struct PyModuleDef about = {PyModuleDef_HEAD_INIT, "tiny_ext", nullptr, -1, methods};
PyMODINIT_FUNC PyInit_tiny_ext(void) { return PyModule_Create(&about); }
"""


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two C++ files, and a module whose import compiles them as ExLlamaV2's does its own."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / f"{MODULE}.py").write_text(BUILDER)
    (folder / "entry.cpp").write_text(ENTRY)
    (folder / "answer.cpp").write_text("int answer() { return 42; }\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))
    monkeypatch.delenv("MAX_JOBS", raising=False)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "cache", "tiny_ext")


def test_a_build_is_followed_kept_and_goes_on_where_it_stopped(
    sources: Path, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The header lies where torch's packages from PyPI have it, and no compiler looks.
    (sources / "answer.cpp").write_text("#include <cusparse.h>\nint answer() { return ANSWER; }\n")
    include = tmp_path / "site" / "nvidia" / "cu13" / "include"
    include.mkdir(parents=True)
    for name in NEEDED:
        (include / name).write_text("#define ANSWER 42\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (place.folder / "tiny_ext").mkdir(parents=True)
    lock = place.folder / "tiny_ext" / "lock"
    lock.touch()  # as a killed build leaves it: torch would wait for ever
    steps: list[tuple[int, int]] = []
    build(place, progress=lambda *step: steps.append(step), module=MODULE)
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert place.built
    assert not lock.exists()
    assert load(place.library, "tiny_ext").ask() == 42
    assert "[3/3]" in place.log.read_text()

    # What is whole is left as it is: neither compiler nor torch is asked.
    made = place.library.stat().st_mtime_ns
    steps.clear()
    build(place, progress=lambda *step: steps.append(step), module="no_such_module")
    assert (steps, place.library.stat().st_mtime_ns) == ([], made)

    # Of a build that was cut short only the rest is compiled.
    (place.folder / "built").unlink()
    place.library.unlink()
    build(place, progress=lambda *step: steps.append(step), module=MODULE)
    assert steps == [(1, 1)]


def test_a_compilers_error_is_told_with_the_command_that_mends_it(
    sources: Path, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (sources / "answer.cpp").write_text("#include <cusparse.h>\nint answer() { return 42; }\n")
    with pytest.raises(EngineError, match=r"cusparse\.h: No such file or directory") as failed:
        build(place, module=MODULE)
    assert "workbench doctor" in failed.value.remedy
    assert str(place.log) in failed.value.remedy
    assert not place.built
    assert "Building ExLlamaV2's extension" in capsys.readouterr().err  # nobody waits in silence


def test_without_a_cuda_toolkit_exllamav2_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    with pytest.raises(EngineError, match="could not be built") as failed:
        build(Place(tmp_path), progress=lambda *step: None)
    assert "CUDA toolkit" in failed.value.remedy


# A builder that takes no time, for what happens around a build. The marker says that it was here.
QUICK = """
import time
from pathlib import Path
def load(name, sources, verbose):
    folder = Path(sources[0]).parent
    print("[1/2] c++", flush=True)
    (folder / f"begun-{len(list(folder.glob('begun-*')))}").touch()
    while (folder / "wait").exists():
        time.sleep(0.02)
    place = Path(__import__("os").environ["TORCH_EXTENSIONS_DIR"]) / name
    place.mkdir(exist_ok=True)
    (place / f"{name}.so").touch()
    print("[2/2] c++", flush=True)
"""


@pytest.fixture
def quick(sources: Path) -> Path:
    utils = sources / "torch" / "utils"
    utils.mkdir(parents=True)
    for folder in (utils, utils.parent):
        (folder / "__init__.py").touch()
    (utils / "cpp_extension.py").write_text(QUICK)
    return sources


def building(place: Place) -> subprocess.Popen[str]:
    """Another process that builds, and prints the steps that it saw."""
    script = (
        "import json; from pathlib import Path; from workbench.extension import Place, build\n"
        "steps = []\n"
        f"build(Place(Path({str(place.folder)!r}), 'tiny_ext'), None, "
        f"lambda *step: steps.append(step), module={MODULE!r})\n"
        "print(json.dumps(steps))"
    )
    command = [sys.executable, "-c", script]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **streams)  # type: ignore[call-overload, no-any-return]


def compilation(process: subprocess.Popen[str], sources: Path) -> psutil.Process:
    """The compiling child, once it has begun."""
    while not (sources / "begun-0").exists():
        time.sleep(0.02)
    (child,) = psutil.Process(process.pid).children()
    return child


def test_an_interrupt_ends_the_compilation_too(quick: Path, place: Place) -> None:
    (quick / "wait").touch()
    process = building(place)
    child = compilation(process, quick)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode != 0
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_killed_compilation_is_told_and_stands_in_nobodys_way(quick: Path, place: Place) -> None:
    (quick / "wait").touch()
    process = building(place)
    compilation(process, quick).kill()
    _, said = process.communicate()
    assert "ended by SIGKILL" in said
    assert "MAX_JOBS=2 workbench doctor --build" in said
    assert not place.built
    (quick / "wait").unlink()
    build(place, progress=lambda *step: None, module=MODULE)
    assert place.built


def test_two_processes_build_one_after_the_other(quick: Path, place: Place) -> None:
    pair = [building(place) for _ in "ab"]
    steps = [json.loads(process.communicate()[0]) for process in pair]
    assert sorted(steps) == [[], [[1, 2], [2, 2]]]
    assert [file.name for file in quick.glob("begun-*")] == ["begun-0"]


def test_what_is_broken_is_built_anew(quick: Path, place: Place) -> None:
    build(place, progress=lambda *step: None, module=MODULE)
    (place.folder / "tiny_ext" / "old.o").touch()
    build(place, progress=lambda *step: None, anew=True, module=MODULE)
    assert place.built
    assert not (place.folder / "tiny_ext" / "old.o").exists()


# --- what is read, without a build ----------------------------------------------------------------

NVCC = """\
[1/48] c++ -MMD -MF ext_norm.o.d -DTORCH_EXTENSION_NAME=exllamav2_ext -c ext_norm.cpp -o ext_norm.o
/site/torch/include/c10/util/x.h:12:3: warning: comparison of integers: errors may follow
[2/48] /usr/local/cuda/bin/nvcc -c lora.cu -o lora.cuda.o
FAILED: [code=1] q_attn.cuda.o
/usr/local/cuda/bin/nvcc -c q_attn.cu
In file included from q_attn.cu:1:
/site/torch/include/ATen/cuda/CUDAContextLight.h:10:10: fatal error: cusparse.h: No such file
   10 | #include <cusparse.h>
compilation terminated.
[3/48] c++ -c cpp/sampling.cpp -o sampling.o
ninja: build stopped: subcommand failed.
Traceback (most recent call last):
  File "/site/torch/utils/cpp_extension.py", line 2506, in _run_ninja_build
subprocess.CalledProcessError: Command '['ninja', '-v']' returned non-zero exit status 1.
RuntimeError: Error building extension 'exllamav2_ext'
"""


def test_a_recorded_build_is_read() -> None:
    follower = Follower()
    told = [line for line in NVCC.splitlines(keepends=True) if follower.read(line)]
    assert [line[:6] for line in told] == ["[1/48]", "[2/48]", "[3/48]"]
    assert (follower.done, follower.total) == (3, 48)
    assert (follower.error or "").endswith("fatal error: cusparse.h: No such file")


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("x.h:10:10: fatal error: cublas_v2.h: No such file or directory", "workbench doctor"),
        ("y.cpp:1:10: fatal error: Python.h: No such file or directory", "python3-dev"),
        ("RuntimeError: Ninja is required to load C++ extensions", "pip install ninja"),
        (
            "host_config.h:164:2: error: #error -- unsupported GNU version! gcc versions later "
            "than 13 are not supported!",
            "CC=gcc-13",
        ),
        ("nvcc fatal   : Unsupported gpu architecture 'compute_120'", "12.8 or newer"),
        (
            "RuntimeError: The detected CUDA version (12.4) mismatches the version that was used "
            "to compile PyTorch (13.0).",
            "set CUDA_HOME",
        ),
        ("OSError: CUDA_HOME environment variable is not set.", "set CUDA_HOME"),
        ("c++: fatal error: Killed signal terminated program cc1plus", "MAX_JOBS=2"),
        ("q.cu: error: No space left on device", "TORCH_EXTENSIONS_DIR="),
        ("/bin/sh: 1: error: g++: not found", "apt-get install g++"),
    ],
)
def test_every_error_of_a_build_has_its_remedy(said: str, remedy: str) -> None:
    follower = Follower()
    follower.read("[1/48] c++ -c a.cpp\n")
    follower.read(f"{said}\n")
    assert follower.error == said
    assert remedy in remedy_for(follower.error)


def test_an_unknown_error_is_for_the_doctor() -> None:
    assert remedy_for("something new") == remedy_for(None) == "workbench doctor"


def test_the_packages_with_the_headers_are_those_of_torchs_cuda() -> None:
    assert "nvidia-cusparse-cu12 " in header_packages("12.8")
    assert "nvidia-cusparse " in header_packages("13.0")


def test_the_cost_goes_by_cores_memory_and_the_users_word() -> None:
    assert str(cost(16, 64 * GIB)) == "about 3 to 6 minutes, 16 compilers at once"
    assert str(cost(2, 24 * GIB)) == "about 13 to 52 minutes, 2 compilers at once"
    assert jobs_here(16, 7 * GIB) == 3
    assert jobs_here(16, 0) == 1
    assert jobs_here(16, 64 * GIB, "5") == 5
    assert cost(4, 64 * GIB, "64").least == cost(4, 64 * GIB).least  # cores stay as many


# --- headers and places ---------------------------------------------------------------------------


def touched(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_headers_are_taken_from_the_toolkit_first(tmp_path: Path) -> None:
    toolkit = tmp_path / "cuda"
    touched(toolkit / "include", "cusparse.h", "cublas_v2.h")
    wheels = [touched(tmp_path / "nvidia" / "curand" / "include", "curand_kernel.h", "cusparse.h")]
    found = headers(toolkit, {}, [tmp_path / "nvidia"])
    assert (found.missing, found.folders) == (("cusolverDn.h",), tuple(wheels))
    told = found.environ({"CPATH": "/mine", "HOME": "/root"})
    assert told == {"CPATH": f"/mine{os.pathsep}{wheels[0]}", "HOME": "/root"}


def test_the_layout_of_conda(tmp_path: Path) -> None:
    folder = touched(tmp_path / "targets" / "x86_64-linux" / "include", *NEEDED)
    found = headers(tmp_path, {}, [])
    assert (found.missing, found.folders) == ((), (folder,))
    assert headers(None, {"CPATH": str(folder)}, []).environ({}) == {}


def test_without_a_toolkit_all_are_missing() -> None:
    assert headers(None, {}, []).missing == NEEDED


def test_the_toolkit_is_where_torch_looks(tmp_path: Path) -> None:
    nvcc = touched(tmp_path / "bin") / "nvcc"
    nvcc.write_text("#!/bin/sh\n")
    nvcc.chmod(0o755)
    assert cuda_home({"PATH": str(tmp_path / "bin")}) == tmp_path
    assert cuda_home({"PATH": "", "CUDA_HOME": "/opt/cuda"}) == Path("/opt/cuda")


def a_torch(version: str, *capabilities: tuple[int, int]) -> SimpleNamespace:
    cuda = SimpleNamespace(
        device_count=lambda: len(capabilities),
        get_device_capability=lambda index: capabilities[index],
    )
    return SimpleNamespace(__version__=version, cuda=cuda)


def test_every_torch_cuda_and_gpu_has_a_place_of_its_own(tmp_path: Path) -> None:
    root = {"TORCH_EXTENSIONS_DIR": str(tmp_path)}
    one = place_here(a_torch("2.11.0+cu130", (8, 6), (8, 6)), root)
    assert one.folder.parent == tmp_path
    assert one.folder.name.endswith("-torch2.11.0+cu130-sm8.6")
    assert "exllamav2-0.3.2-cp3" in one.folder.name
    assert place_here(a_torch("2.10.0+cu128", (8, 6)), root) != one
    assert place_here(a_torch("2.11.0+cu130", (9, 0), (8, 6)), root).folder.name.endswith("8.6_9.0")
    chosen = place_here(a_torch("2.11.0+cu130"), root | {"TORCH_CUDA_ARCH_LIST": "8.0;9.0+PTX"})
    assert chosen.folder.name.endswith("sm8.0_9.0+PTX")
