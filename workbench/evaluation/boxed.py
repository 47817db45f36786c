r"""The last ``\boxed{…}`` of a text, its braces balanced."""

from __future__ import annotations

import re

_BOX = re.compile(r"\\(?:f|frame)?box(?:ed)?\s*\{")


def last_boxed(text: str) -> str | None:
    r"""What stands in the last complete ``\boxed{}``, ``\fbox{}`` or ``\framebox{}``, or ``None``.

    An escaped brace is text. A box that is never closed does not count: the model
    was cut off in it.
    """
    boxes = (_content(text, match.end()) for match in reversed(list(_BOX.finditer(text))))
    return next((box.strip() for box in boxes if box is not None), None)


def _content(text: str, start: int) -> str | None:
    """The text from ``start`` up to the brace that closes the one before it."""
    depth, place = 1, start
    while place < len(text):
        character = text[place]
        if character == "\\":
            place += 2
            continue
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[start:place]
        place += 1
    return None
