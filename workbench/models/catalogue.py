"""The models the workbench knows by name, and where a model lies on this machine.

Nothing here uses the network. A name is looked for in this order::

    demo                                the embedded model
    an existing folder                  as given
    $WORKBENCH_HOME/models/NAME         or .runs/models/NAME in the working directory
    the Hugging Face hub cache          $HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from workbench.errors import ModelError
from workbench.models.memory import Shape

SOURCE = "source.json"  # in a folder that was downloaded: repository, commit, checksums
REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # ORGANISATION/NAME


@dataclass(frozen=True, slots=True)
class Entry:
    """A model known by name."""

    name: str
    summary: str
    licence: str
    context: int  # tokens
    languages: tuple[str, ...]
    repository: str | None = None  # on the Hugging Face hub
    shape: Shape | None = None  # told where no folder is at hand to read it from
    folder: Path | None = None  # where it always lies


CATALOGUE: Mapping[str, Entry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Entry(
                name="demo",
                summary="embedded: a few million parameters, trained for this workbench on sums",
                licence="Apache-2.0",
                context=2048,
                languages=("English",),
                folder=Path(__file__).parent / "demo",
            ),
            Entry(
                name="nemotron-nano-8b",
                summary="Llama-3.1-Nemotron-Nano-8B-v1, the model this workbench is for",
                licence="NVIDIA Open Model License and Llama 3.1 Community License",
                context=131_072,
                languages=(
                    "English",
                    "German",
                    "French",
                    "Italian",
                    "Portuguese",
                    "Hindi",
                    "Spanish",
                    "Thai",
                ),
                repository="nvidia/Llama-3.1-Nemotron-Nano-8B-v1",
                shape=Shape(
                    layers=32,
                    hidden=4096,
                    intermediate=14_336,
                    heads=32,
                    kv_heads=8,
                    head_dim=128,
                    vocabulary=128_256,
                    tied=False,
                ),
            ),
        )
    }
)


def models_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where a user's own models lie, each in a folder of its own; it need not exist."""
    return Path(environ.get("WORKBENCH_HOME") or ".runs") / "models"


def locate(model: str, revision: str | None = None) -> Path:
    """The folder of a model.

    Args:
        model: A catalogue name, a folder, the name of a folder under ``models_folder()``,
            or a repository of the Hugging Face hub that was downloaded before.
        revision: Branch, tag or commit of the repository, for the hub cache; default:
            its main branch.

    Raises:
        ModelError: There is no such model here; the remedy says how to get it, or which
            name may have been meant.
    """
    folder = next(_candidates(model, revision), None) if model.strip() else None
    if folder is None:
        raise _not_found(model)
    return folder


def local_models() -> dict[str, Path]:
    """The models that are on this machine, by the name ``locate`` takes."""
    here = {name: next(_candidates(name, None), None) for name in CATALOGUE}
    own = {folder.name: folder for folder in sorted(models_folder().glob("[!.]*/"))}
    return {name: folder for name, folder in (here | own).items() if folder}


def revision_of(folder: Path) -> str | None:
    """The commit of a folder that was downloaded, ``None`` for any other."""
    if folder.parent.name == "snapshots":  # of the hub's cache
        return folder.name
    try:
        commit = json.loads((folder / SOURCE).read_text(encoding="utf-8"))["commit"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return commit if isinstance(commit, str) else None


def _candidates(model: str, revision: str | None) -> Iterator[Path]:
    """The folders that exist, best first."""
    entry = CATALOGUE.get(model)
    repository = entry.repository if entry else REPOSITORY.fullmatch(model) and model
    if entry and entry.folder:
        yield entry.folder
    # os.path, unlike pathlib, only says no to names that are too long or hold a null byte.
    elif not entry and os.path.exists(given := os.path.expanduser(model)):
        yield Path(given)
    names = (model, repository.partition("/")[2]) if repository else (model,)
    own = (models_folder() / name for name in names if os.path.basename(name) == name)
    yield from filter(os.path.isdir, own)
    if repository:
        yield from _snapshots(repository, revision or "main")


def _snapshots(repository: str, revision: str) -> Iterator[Path]:
    """Layout of the hub cache: ``models--ORG--NAME/{refs/REVISION,snapshots/COMMIT/}``."""
    cached = _hub_cache(os.environ) / f"models--{repository.replace('/', '--')}"
    reference = cached / "refs" / revision
    commit = (
        reference.read_text(encoding="utf-8").strip() if os.path.isfile(reference) else revision
    )
    if os.path.isdir(snapshot := cached / "snapshots" / commit):
        yield snapshot


def _hub_cache(environ: Mapping[str, str]) -> Path:
    if cache := environ.get("HF_HUB_CACHE"):
        return Path(cache)
    if home := environ.get("HF_HOME"):
        return Path(home) / "hub"
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface" / "hub"


def _not_found(model: str) -> ModelError:
    entry = CATALOGUE.get(model)
    if entry and entry.repository:
        return ModelError(
            f"{model} is not on this machine.",
            remedy=f"Get it: workbench models get {model}",
        )
    known = list(dict.fromkeys([*CATALOGUE, *local_models()]))
    near = get_close_matches(model, known, n=3, cutoff=0.5)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return ModelError(
        f"There is no model {model!r}, and no such folder.",
        remedy=f"{meant}`workbench models list` shows what there is.",
    )
