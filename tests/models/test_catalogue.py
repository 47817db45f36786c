from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import ModelError
from workbench.models.catalogue import (
    CATALOGUE,
    local_models,
    locate,
    models_folder,
    revision_of,
)

NANO = "nemotron-nano-8b"
REPOSITORY = "nvidia/Llama-3.1-Nemotron-Nano-8B-v1"
COMMIT = "0123456789abcdef"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no models but the embedded one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def cache(machine: Path, repository: str = REPOSITORY) -> Path:
    root = machine / "hub" / f"models--{repository.replace('/', '--')}"
    snapshot = folder(root / "snapshots" / COMMIT)
    (folder(root / "refs") / "main").write_text(COMMIT + "\n")
    return snapshot


def test_the_models_of_the_catalogue() -> None:
    assert list(CATALOGUE) == ["demo", NANO]
    nano = CATALOGUE[NANO]
    assert (nano.repository, nano.context) == (REPOSITORY, 131_072)
    assert "NVIDIA Open Model License" in nano.licence
    assert "Llama 3.1 Community License" in nano.licence
    assert {"English", "Thai"} < set(nano.languages)
    assert len(nano.languages) == 8


def test_the_demo_lies_in_the_package_whatever_the_working_directory(machine: Path) -> None:
    folder(machine / "demo")
    assert locate("demo") == CATALOGUE["demo"].folder
    assert locate("demo").is_absolute()


def test_a_folder_is_taken_as_given(machine: Path) -> None:
    made = folder(machine / "some model")
    assert locate(str(made)) == made
    assert locate("some model") == Path("some model")


def test_a_file_is_returned_for_check_to_refuse(machine: Path) -> None:
    (machine / "config.json").touch()
    assert locate("config.json") == Path("config.json")


def test_a_home_directory_is_expanded(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(machine))
    assert locate(f"~/{folder(machine / 'mine').name}") == machine / "mine"


@pytest.mark.parametrize("name", [NANO, "Llama-3.1-Nemotron-Nano-8B-v1"])
def test_a_model_under_the_workbenchs_home(machine: Path, name: str) -> None:
    made = folder(machine / "home" / "models" / name)
    assert locate(NANO) == made
    assert locate(name) == made


def test_the_hub_cache_is_found_by_name_and_by_repository(machine: Path) -> None:
    snapshot = cache(machine)
    assert locate(NANO) == snapshot
    assert locate(REPOSITORY) == snapshot
    assert revision_of(locate(NANO)) == COMMIT


def test_the_workbenchs_home_goes_before_the_hub_cache(machine: Path) -> None:
    cache(machine)
    made = folder(machine / "home" / "models" / NANO)
    assert locate(NANO) == made
    assert revision_of(made) is None


def test_a_revision_is_a_reference_or_a_commit(machine: Path) -> None:
    snapshot = cache(machine)
    other = folder(snapshot.parent / "feedface")
    (snapshot.parents[1] / "refs" / "v2").write_text("feedface")
    assert locate(NANO, "v2") == other
    assert locate(NANO, "feedface") == other
    with pytest.raises(ModelError):
        locate(NANO, "v3")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_HOME": "hf"}, "hf/hub"),
        ({"XDG_CACHE_HOME": "xdg"}, "xdg/huggingface/hub"),
        ({"HOME": "me"}, "me/.cache/huggingface/hub"),
    ],
)
def test_the_hub_cache_lies_where_the_hub_library_puts_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(machine / value))
    snapshot = folder(machine / expected / "models--a--b" / "snapshots" / "main")
    assert locate("a/b") == snapshot


def test_a_model_that_must_be_fetched_says_how(machine: Path) -> None:
    with pytest.raises(ModelError) as caught:
        locate(NANO)
    assert caught.value.message == "nemotron-nano-8b is not on this machine."
    assert caught.value.remedy == "Get it: workbench models get nemotron-nano-8b"


def test_a_misspelt_name_gets_a_suggestion(machine: Path) -> None:
    folder(machine / "home" / "models" / "my-quantized-nano")
    with pytest.raises(ModelError, match=r"Did you mean nemotron-nano-8b\?"):
        locate("nemotron-nano8b")
    with pytest.raises(ModelError, match=r"Did you mean my-quantized-nano\?"):
        locate("my-quantised-nano")


@pytest.mark.parametrize("name", ["", " ", "a\0b", "x" * 5000, "a/" * 3000, "zzzzzz"])
def test_an_impossible_name_is_refused(machine: Path, name: str) -> None:
    folder(machine / "home" / "models")
    with pytest.raises(ModelError, match=r"There is no model .*`workbench models list`"):
        locate(name)


def test_the_models_on_this_machine_can_all_be_located(machine: Path) -> None:
    assert list(local_models()) == ["demo"]
    mine, snapshot = folder(machine / "home" / "models" / "mine"), cache(machine)
    found = local_models()
    assert found == {"demo": CATALOGUE["demo"].folder, NANO: snapshot, "mine": mine}
    assert {name: locate(name) for name in found} == found


def test_without_a_home_models_lie_beside_the_runs() -> None:
    assert models_folder({}) == Path(".runs/models")
    assert models_folder({"WORKBENCH_HOME": "/w"}) == Path("/w/models")
