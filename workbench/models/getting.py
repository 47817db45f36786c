"""Get a model from the Hugging Face hub: resumed where it was cut short, checked, then whole.

A download grows in a hidden folder beside the models (``.NAME.partial``), where nothing takes
it for a model. When every file is there and has the SHA-256 that the hub names for it, the
folder gets its name, and ``source.json`` in it says where it came from.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from workbench.errors import InvalidInput, ModelError
from workbench.models.catalogue import CATALOGUE, REPOSITORY, SOURCE, models_folder
from workbench.models.hub import quiet, trouble

Progress = Callable[[int, int], None]

_WANTED = re.compile(r"[^/]+\.(safetensors|json|jinja)")  # of the top folder, no code, no pickles
_BITS = re.compile(r"(\d+(?:[._]\d+)?)(?:[-_ ]?bpw)?(?:[-_ ]?(?:exl2|h\d))*", re.IGNORECASE)
_SPARE = 2**28  # bytes that a disk keeps free
_EVERY = 0.3  # seconds between two looks at how far it is


@dataclass(frozen=True, slots=True)
class File:
    """A file of a repository."""

    name: str
    size: int  # bytes
    sha256: str | None  # told of large files only


@dataclass(frozen=True, slots=True)
class Remote:
    """A model as the hub has it."""

    repository: str
    commit: str
    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(file.size for file in self.files)


def get(
    model: str,
    *,
    revision: str | None = None,
    bits: float | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download a model into ``models_folder()``; its folder, which ``locate`` finds by name.

    Args:
        model: A name of the catalogue, or ORGANISATION/NAME on the hub.
        revision: Branch, tag or commit; default: the main branch.
        bits: Bits a weight: of EXL2 repositories the branch that is named after them.
        progress: Called with (bytes that are there, bytes in all).

    Raises:
        InvalidInput: No such name, or two revisions are asked for.
        ModelError: The hub does not give it, the disk has no room, or a file is damaged.
    """
    repository, folder = _places(model, revision, bits)
    if folder.is_dir():
        return _present(folder, revision)
    remote = _asked(repository, revision or _branch(repository, bits))
    partial = folder.with_name(f".{folder.name}.partial")
    _refuse_full(partial, remote)
    with _told(partial, remote, progress):
        for file in remote.files:
            _download(remote, file, partial)
    for file in remote.files:
        _verify(partial / file.name, file)
    _finish(partial, folder, remote)
    return folder


def _places(model: str, revision: str | None, bits: float | None) -> tuple[str, Path]:
    entry = CATALOGUE.get(model)
    if entry is not None and entry.repository is None:
        raise InvalidInput(f"{model} comes with the workbench.", remedy="It is here already.")
    repository = model if entry is None else entry.repository or ""
    if not REPOSITORY.fullmatch(repository):
        known = [name for name, one in CATALOGUE.items() if one.repository]
        raise InvalidInput(
            f"There is no model {model!r} to get.",
            remedy=f"Name {' or '.join(known)}, or a repository as ORGANISATION/NAME.",
        )
    if revision is not None and bits is not None:
        raise InvalidInput("Both a revision and bits were named.", remedy="Name one of them.")
    name = model if entry is not None else model.partition("/")[2]
    return repository, models_folder() / (name if bits is None else f"{name}-{bits:g}bpw")


def _present(folder: Path, revision: str | None) -> Path:
    known = json.loads((folder / SOURCE).read_text()) if (folder / SOURCE).is_file() else {}
    if revision in (None, known.get("revision"), known.get("commit")):
        return folder
    raise InvalidInput(
        f"{folder} is there already, at {known.get('commit') or 'an unknown revision'}.",
        remedy="Move or delete it to get another revision.",
    )


def _branch(repository: str, bits: float | None) -> str:
    """The branch that is named after the bits; ``main`` where none are asked for."""
    if bits is None:
        return "main"
    with _hub(repository) as hub:
        names = [one.name for one in hub.HfApi().list_repo_refs(repository).branches]
    found = {name: float(m[1].replace("_", ".")) for name in names if (m := _BITS.fullmatch(name))}
    chosen = next((name for name, of in found.items() if of == bits), None)
    if chosen is not None:
        return str(chosen)
    offered = ", ".join(f"{of:g}" for of in sorted(found.values()))
    there = f"it has {offered}" if offered else "it has no branches by bits"
    raise ModelError(
        f"{repository} has no weights of {bits:g} bits: {there}.",
        remedy=f"Get it unquantised, then `workbench models convert SRC DST --bpw {bits:g}`.",
    )


def _asked(repository: str, revision: str) -> Remote:
    with _hub(repository, revision) as hub:
        info = hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
    found = [
        File(one.rfilename, one.size or 0, one.lfs.sha256 if one.lfs else None)
        for one in info.siblings or ()
        if _WANTED.fullmatch(one.rfilename)
    ]
    files = tuple(sorted(found, key=lambda file: file.size))  # what is wrong shows early
    if not any(file.name.endswith(".safetensors") for file in files):
        raise ModelError(
            f"{repository} at {revision} has no weights in safetensors.",
            remedy="Choose a repository with *.safetensors files.",
        )
    return Remote(repository, str(info.sha), files)


def _refuse_full(partial: Path, remote: Remote) -> None:
    partial.mkdir(parents=True, exist_ok=True)
    missing = remote.bytes - min(remote.bytes, _there(partial))
    free = shutil.disk_usage(partial).free
    if missing + _SPARE > free:
        raise ModelError(
            f"{remote.repository} takes {missing / 2**30:.1f} GiB more, "
            f"and {free / 2**30:.1f} are free in {partial.parent}.",
            remedy="Make room, or set WORKBENCH_HOME to a folder on a larger disk.",
        )


def _download(remote: Remote, file: File, partial: Path) -> None:
    target = partial / file.name
    if target.is_file() and target.stat().st_size == file.size:
        return
    with _hub(remote.repository, remote.commit) as hub:
        hub.hf_hub_download(remote.repository, file.name, revision=remote.commit, local_dir=partial)


def _verify(path: Path, file: File) -> None:
    size = path.stat().st_size
    found = None
    if file.sha256 is not None and size == file.size:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    if size == file.size and found == file.sha256:
        return
    path.unlink()
    raise ModelError(
        f"{file.name} came damaged: its size or SHA-256 is not what the hub names.",
        remedy="Run the command again: only this file is fetched anew.",
    )


def _finish(partial: Path, folder: Path, remote: Remote) -> None:
    shutil.rmtree(partial / ".cache", ignore_errors=True)  # the client's notes of the download
    source = {
        "repository": remote.repository,
        "commit": remote.commit,
        "sha256": {file.name: file.sha256 for file in remote.files if file.sha256},
    }
    (partial / SOURCE).write_text(json.dumps(source, indent=2) + "\n")
    partial.rename(folder)


@contextmanager
def _hub(repository: str, revision: str | None = None) -> Iterator[Any]:
    """The hub's client; whatever it raises, a full disk's error included, is told as ours."""
    try:
        with quiet():
            yield import_module("huggingface_hub")
    except Exception as error:
        why, remedy = trouble(error)
        at = f" at {revision[:12]}" if revision else ""
        raise ModelError(f"{repository}{at} cannot be had: {why}.", remedy=f"{remedy}.") from error


@contextmanager
def _told(partial: Path, remote: Remote, progress: Progress | None) -> Iterator[None]:
    """Say how far it is while files grow, the unfinished ones included."""
    if progress is None:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY):
            progress(min(_there(partial), remote.bytes), remote.bytes)

    thread = threading.Thread(target=watch, name="workbench-download", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        progress(min(_there(partial), remote.bytes), remote.bytes)


def _there(partial: Path) -> int:
    """Bytes that have come; a file that is moved meanwhile counts as it can be seen."""
    total = 0
    for path in partial.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
