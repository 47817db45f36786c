r"""The last ``\boxed{…}`` of a text, its braces balanced; and those that stand beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BRACE = re.compile(
    r"(?P<box>\\(?:f|frame)?box(?:ed)?\s*\{)|\\\\(?!(?:f|frame)?box)|\\[{}]|[{}]",
)
_BARE = re.compile(r"\\boxed\s+(-?\d[\d,.]*|[A-Z](?![a-zA-Z]))")
_BETWEEN = re.compile(r"(?:[\s$,;.*]|\\[()\[\],; ]|(?:\\text\s*\{\s*)?(?:and|or)\b\s*\}?|\w\s*=)*")
_FARTHEST = 60  # characters between boxes that belong together


def last_boxed(text: str) -> str | None:
    r"""What stands in the last complete ``\boxed{}``, ``\fbox{}`` or ``\framebox{}``, or ``None``.

    An escaped brace is text. A box that is never closed does not count: the model was cut
    off in it. An empty one counts if there is no other: the model only quotes the task. So
    does ``\boxed 7``, without braces, for a number or a capital letter.
    """
    boxes = _boxes(text)
    if not boxes:
        bare = _BARE.findall(text)
        return bare[-1].rstrip(",.") if bare else None
    return next((box for _, _, box in reversed(boxes) if box), "")


def boxed_together(text: str) -> tuple[str, ...]:
    r"""The last box and those before it with nothing between but ``and``, ``or``, commas, ``x =``.

    ``\boxed{3} and \boxed{7}`` is an answer of two parts, ``\boxed{3}. No wait, \boxed{7}`` is
    not.
    """
    found: list[str] = []
    first = None
    for start, end, box in reversed(_boxes(text)):
        if first is not None and not _beside(text, end, first):
            break
        first = start
        found.append(box)
    return tuple(reversed(found))


def _beside(text: str, end: int, start: int) -> bool:
    near = 0 <= start - end <= _FARTHEST
    return near and _BETWEEN.fullmatch(text, end, start) is not None


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """Start, end and content of every complete box, by where they start; in one pass."""
    return sorted(_closed(text))


def _closed(text: str) -> Iterator[tuple[int, int, str]]:
    opened: list[tuple[int, int] | None] = []  # of a box its start, and that of its content
    for match in _BRACE.finditer(text):
        if match["box"]:
            opened.append((match.start(), match.end()))
        elif match[0] == "{":
            opened.append(None)
        elif match[0] == "}" and opened:
            box = opened.pop()
            if box is not None:
                yield box[0], match.end(), text[box[1] : match.start()].strip()
