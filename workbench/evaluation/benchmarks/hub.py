"""A benchmark's file from the Hugging Face hub: downloaded once, and checked by its SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from workbench.errors import InvalidInput
from workbench.evaluation.benchmarks.benchmark import Source
from workbench.models.hub import UNREACHABLE, quiet, said, trouble


def fetch(title: str, source: Source) -> Path:
    """The file in the hub's cache on this machine; it is downloaded where it is not there yet.

    What is in the cache takes no network: its checksum says that it is the right file.

    Args:
        title: The benchmark's, for what is said when it fails.
        source: Which file.

    Raises:
        InvalidInput: It cannot be had, or is not the file that the checksum pins.
    """
    path = _download(title, source)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != source.sha256:
        raise InvalidInput(
            f"{title} came from {_where(source)} with the SHA-256 {found[:12]}…, "
            f"and not {source.sha256[:12]}…: it is damaged, or another file.",
            remedy=f"Delete {path} and try again, or name a file of your own: --data FILE.",
        )
    return path


def _download(title: str, source: Source) -> Path:
    # Half a second to import, and only needed here.
    from huggingface_hub import errors, hf_hub_download, try_to_load_from_cache  # noqa: PLC0415

    place: dict[str, Any] = {"repo_type": source.kind, "revision": source.revision}
    kept = try_to_load_from_cache(source.repository, source.file, **place)
    if isinstance(kept, str):
        return Path(kept)
    try:
        with quiet():
            _reach(source)
            return Path(hf_hub_download(source.repository, source.file, **place))
    except (errors.RemoteEntryNotFoundError, errors.RevisionNotFoundError):  # both are pinned by us
        why, remedy = "it is no longer there", "Update the workbench"
    except _UnreachableError as error:
        why, remedy = f"{UNREACHABLE} ({error})", "Try again with a network"
    except Exception as error:  # whatever a network, a proxy or a full disk brings
        why, remedy = trouble(error)
    raise _refused(title, source, why, remedy)


class _UnreachableError(Exception):
    """The hub has not answered; why, in the network's words."""


def _reach(source: Source) -> None:
    """Ask for the file's size, once: a download would try for half a minute without a network.

    Raises:
        _UnreachableError: Nobody answered.
        HfHubHTTPError: The hub did, and refuses.
    """
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url  # noqa: PLC0415

    url = hf_hub_url(
        source.repository, source.file, repo_type=source.kind, revision=source.revision
    )
    try:
        get_hf_file_metadata(url)
    except errors.HfHubHTTPError:
        raise
    except errors.OfflineModeIsEnabled:
        raise _UnreachableError("HF_HUB_OFFLINE is set") from None
    except Exception as error:  # of the network, by classes that differ with the hub's client
        raise _UnreachableError(said(error)) from error


def _refused(title: str, source: Source, why: str, remedy: str) -> InvalidInput:
    return InvalidInput(
        f"{title} cannot be downloaded from {_where(source)}: {why}.",
        remedy=f"{remedy}, or name a file of your own: --data FILE.",
    )


def _where(source: Source) -> str:
    revision = f" at {source.revision[:8]}" if source.revision else ""
    return f"{source.repository}/{source.file}{revision} on the hub"
