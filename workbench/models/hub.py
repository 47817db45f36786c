"""The Hugging Face hub's refusals, each as a reason and a remedy."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from workbench.printable import one_line

UNREACHABLE = "the hub cannot be reached"


def trouble(error: Exception) -> tuple[str, str]:
    """Why the hub did not give what was asked for, and what a user can do.

    Args:
        error: Whatever the hub's client, a network, a proxy or a disk has raised.
    """
    errors = import_module("huggingface_hub.errors")
    for kind, told in (
        ("GatedRepoError", ("its authors ask for consent", "Give it there, then `hf auth login`")),
        ("RevisionNotFoundError", ("there is no such revision", "Leave --revision out")),
        (
            "RepositoryNotFoundError",
            ("the hub does not show it to you", "Check its name, or log in with `hf auth login`"),
        ),
        ("LocalEntryNotFoundError", (UNREACHABLE, "Try again with a network")),
        ("EntryNotFoundError", ("it is no longer there", "Update the workbench")),
        ("OfflineModeIsEnabled", (f"{UNREACHABLE} (HF_HUB_OFFLINE is set)", "Unset it")),
    ):
        if isinstance(error, getattr(errors, kind)):
            return told
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full", "Make room and try again: it goes on where it stopped"
    if isinstance(error, errors.HfHubHTTPError):
        return f"the hub answered: {said(error)}", "Try again later"
    return f"{UNREACHABLE} ({type(error).__name__}: {said(error)})", "Try again with a network"


def said(error: Exception) -> str:
    """An error's own words, in one line."""
    return one_line(str(error) or type(error).__name__, 160).rstrip(".")


@contextmanager
def quiet() -> Iterator[None]:
    """Without the client's own words on stderr: what matters of them is in the error."""
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
