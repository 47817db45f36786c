"""Two ways to install say the same; the package carries what it needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

import workbench

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = {  # what conda-forge calls it
    "torch": "pytorch-gpu",
    "jupyter-client": "jupyter_client",
    "huggingface-hub": "huggingface_hub",
}
# What a conda user gets besides: what a pip user has to bring along, or asks for as `[gpu]`.
TOOLKIT = {
    "pip",
    "cuda-version",
    "cuda-nvcc",
    "cuda-cudart-dev",
    "libcublas-dev",
    "libcurand-dev",
    "libcusolver-dev",
    "libcusparse-dev",
    "cxx-compiler",
    "ninja",
    "flash-attn",
    "nvidia-ml-py",
}


def test_environment_and_pyproject_ask_for_the_same() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    conda = [entry for entry in listed if isinstance(entry, str)]
    given = dict(map(split, [entry for entry in [*conda, *pip] if entry != "."]))
    wanted = {"python": normal(PROJECT["requires-python"])}
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        name = CONDA.get(requirement.name, requirement.name)
        wanted[name] = normal(str(requirement.specifier))
    assert {name: given[name] for name in given if name not in TOOLKIT} == wanted
    assert given.keys() >= TOOLKIT
    assert "." in pip


def split(entry: str) -> tuple[str, str]:
    match = re.match(r"([A-Za-z0-9_.-]+)(.*)", entry)
    assert match
    return match[1], normal(match[2])


def normal(specifier: str) -> str:
    return ",".join(sorted(specifier.replace(" ", "").split(",")))


def test_every_dependency_is_capped() -> None:
    for text in PROJECT["dependencies"]:
        specifier = str(Requirement(text).specifier)
        assert "<" in specifier or "==" in specifier, text


def test_versions_agree() -> None:
    assert workbench.__version__ == PROJECT["version"]


def test_model_and_notebooks_are_where_the_package_looks() -> None:
    model = Path(workbench.__file__).parent / "models" / "demo"
    for name in ("config.json", "tokenizer.json", "model.safetensors", "README.md"):
        assert (model / name).is_file(), name
    assert (model / "model.safetensors").stat().st_size <= 8_000_000


def test_every_folder_of_tests_is_run() -> None:
    """Those of the widgets by a command of their own."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    listed, files = settings["testpaths"], (ROOT / "tests").rglob("test_*.py")
    found = {path.parent.relative_to(ROOT).as_posix() for path in files}
    assert found - {"tests", "tests/widgets"} == {path for path in listed if "*" not in path}
    assert {path for path in listed if "*" in path} == {"tests/test_*.py", "notebooks/*.ipynb"}
