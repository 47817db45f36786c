"""What ExLlamaV2 runs on: its extension on a GPU, the portable natives only where asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from workbench import extension
from workbench.engines import natives
from workbench.errors import EngineError
from workbench.extension import Place, provide, providing

from ..boards import H200, Board, Pynvml

# In a process of its own: which natives run is decided once a process.
BROKEN = """
import json, os, warnings
import torch
torch.cuda.is_available = lambda: True
from workbench.engines import open_engine, portable
from workbench.errors import EngineError
from workbench.records import EngineSpec
told = {}
for device in (None, "cuda:0"):
    try:
        open_engine(EngineSpec(model=MODEL, device=device, cache_tokens=512))
    except EngineError as error:
        told[str(device)] = [error.message, error.remedy]
told["portable"] = portable.installed()
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    engine = open_engine(EngineSpec(model=MODEL, device="cpu", cache_tokens=512))
told["warnings"] = [str(one.message) for one in said if "flash-attn" in str(one.message)]
told["spec"] = [engine.spec.device, engine.spec.attention]
told["environ"] = [name for name in os.environ if name.startswith("EXLLAMA_")]
try:
    open_engine(EngineSpec(model=MODEL, device="cpu", cache_tokens=512, attention="flash-attn"))
except EngineError as error:
    told["flash"] = str(error)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A machine with a GPU whose extension and whose flash-attn were built for another torch."""
    site = tmp_path_factory.mktemp("site")
    (site / "exllamav2_ext.py").write_text("raise ImportError('undefined symbol: _ZNK3c10')\n")
    (site / "flash_attn").mkdir()
    (site / "flash_attn" / "__init__.py").write_text("import flash_attn_2_cuda\n")
    (site / "flash_attn_2_cuda.py").write_text("raise ImportError('undefined symbol: _ZN2at')\n")
    script = BROKEN.replace("MODEL", repr(str(model_folder)))
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environ
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, object] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("device", ["None", "cuda:0"])
def test_a_broken_extension_is_told_with_both_ways_out(
    told: dict[str, list[str]], device: str
) -> None:
    message, remedy = told[device]
    assert "is broken: ImportError: undefined symbol: _ZNK3c10" in message
    assert "exllamav2_ext.py" in message
    assert "--force-reinstall" in remedy
    assert "workbench doctor --build" in remedy
    assert "--device cpu" in remedy


def test_the_portable_natives_run_only_when_they_are_asked_for(told: dict[str, object]) -> None:
    assert told["portable"] is False
    assert told["spec"] == ["cpu", "torch-sdpa-paged"]


def test_a_broken_flash_attn_is_said_and_survived(told: dict[str, object]) -> None:
    (said,) = told["warnings"]  # type: ignore[misc]
    assert "undefined symbol: _ZN2at" in said
    assert "torch's attention runs" in said
    assert "was built for another torch" in str(told["flash"])
    assert told["environ"] == []  # the user's own processes are not touched


def test_a_gpu_that_lies_idle_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(natives.torch.cuda, "is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "pynvml", Pynvml(Board(H200)))
    with pytest.warns(UserWarning, match=r"torch cannot use the NVIDIA H200.*workbench doctor"):
        assert natives._device(None) == "cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert natives._device("cpu") == "cpu"  # who asked for it need not be told
        monkeypatch.setitem(sys.modules, "pynvml", None)
        assert natives._device(None) == "cpu"


# --- where the extension comes from ---------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Nothing is installed, and nothing in the process; this is where a build would be."""
    monkeypatch.delitem(sys.modules, extension.NAME, raising=False)
    monkeypatch.setattr(providing, "installed", lambda name: None)
    made = Place(tmp_path)
    monkeypatch.setattr(providing, "place_here", lambda torch: made)
    return made


def test_what_was_built_before_is_loaded_without_a_compiler(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.library.parent.mkdir()
    for file in (place.library, place.folder / "built"):
        file.touch()
    monkeypatch.setattr(providing, "load", lambda library: ModuleType(str(library)))
    monkeypatch.setattr(providing, "build", lambda *_: pytest.fail("it was built again"))
    provide(SimpleNamespace(), None)
    assert sys.modules.pop(extension.NAME).__name__ == str(place.library)


def test_a_build_that_fails_names_both_ways_out(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise EngineError("It could not be built: x.", remedy="pip install ninja.")

    monkeypatch.setattr(providing, "build", fail)
    with pytest.raises(EngineError, match="could not be built") as refused:
        provide(SimpleNamespace(), None)
    assert refused.value.remedy.startswith("pip install ninja. Or run a small model without")
    assert extension.NAME not in sys.modules


def test_a_library_that_cannot_be_loaded_is_to_be_built_anew(place: Place) -> None:
    place.library.parent.mkdir()
    place.library.write_bytes(b"half of one")
    (place.folder / "built").touch()
    with pytest.raises(EngineError, match="is broken: ImportError") as refused:
        provide(SimpleNamespace(), None)
    assert refused.value.remedy.startswith("workbench doctor --build; or run a small model")


def test_building_is_told_as_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, int, str]] = []

    def provided(torch: object, toolkit: object, tell: object) -> None:
        assert callable(tell)
        tell(12, 48)

    monkeypatch.setattr(extension, "provide", provided)
    natives._provide_extension(
        lambda done, total, what="modules": steps.append((done, total, what))
    )
    assert steps == [(12, 48, "objects")]
