"""A benchmark's file from the Hugging Face hub: downloaded once, and checked by its SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from workbench.errors import InvalidInput
from workbench.evaluation.benchmarks.benchmark import Source
from workbench.printable import one_line


def fetch(title: str, source: Source) -> Path:
    """The file in the hub's cache on this machine; it is downloaded where it is not there yet.

    With a pinned revision that is in the cache, no network is used.

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
    from huggingface_hub import errors, hf_hub_download  # noqa: PLC0415

    try:
        return Path(
            hf_hub_download(
                source.repository,
                source.file,
                repo_type=source.kind,
                revision=source.revision,
            )
        )
    except errors.GatedRepoError:
        raise _refused(
            title, source, "its authors ask for consent", "Give it there, then `hf auth login`"
        ) from None
    except errors.LocalEntryNotFoundError:
        raise _refused(
            title, source, "the hub cannot be reached", "Try again with a network"
        ) from None
    except errors.RepositoryNotFoundError:
        raise _refused(
            title, source, "the hub does not show it to you", "Log in with `hf auth login`"
        ) from None
    except (errors.EntryNotFoundError, errors.RevisionNotFoundError):
        raise _refused(title, source, "it is no longer there", "Update the workbench") from None
    except Exception as error:  # whatever a network, a proxy or a full disk brings
        told = one_line(f"{type(error).__name__}: {error}", 160).rstrip(".")
        raise _refused(title, source, told, "Try again") from error


def _refused(title: str, source: Source, why: str, remedy: str) -> InvalidInput:
    return InvalidInput(
        f"{title} cannot be downloaded from {_where(source)}: {why}.",
        remedy=f"{remedy}, or name a file of your own: --data FILE.",
    )


def _where(source: Source) -> str:
    revision = f" at {source.revision[:8]}" if source.revision else ""
    return f"{source.repository}/{source.file}{revision} on the hub"
