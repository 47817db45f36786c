"""Files that appear whole or not at all, and what stands in them as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench import chat, codec
from workbench.errors import InvalidInput


def json_text(value: Any) -> str:
    """A value as one line of JSON that every reader takes: half characters are U+FFFD.

    Raises:
        InvalidInput: Something JSON cannot hold, such as NaN.
    """
    return codec.dumps(_whole(value))


def write(file: Path, pieces: Iterable[str]) -> Path:
    """Write the pieces, in ASCII, to a file that appears when it is complete.

    Returns:
        The path, as it was given.

    Raises:
        InvalidInput: It cannot be written.
    """
    partial = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="ascii", newline="\n") as stream:
            stream.writelines(pieces)
        partial.replace(file)
    except OSError as error:
        raise InvalidInput(
            f"{file} cannot be written: {error.strerror or error}.",
            remedy="Choose another place with --out.",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return file


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return chat.clean(value)
    if isinstance(value, Mapping):
        return {chat.clean(str(name)): _whole(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(part) for part in value]
    return value
