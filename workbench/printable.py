"""Text that may be shown to a reader, whoever wrote it.

A terminal and a browser obey some characters: an answer could move the cursor,
retitle the window, or be read in another order than it is stored. Each of them is
replaced by something that can be seen; line breaks and tabs stay. This is not
escaping: HTML needs that too.
"""

from __future__ import annotations

import re

_CONTROL_PICTURES = 0x2400  # ␀ ␁ … one visible sign for each of the first 32 control characters
_DELETE = "\x7f"
_UNSAFE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters: ESC and the one-byte CSI among them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that change the writing direction
    "\u200b\u2060-\u2064\ufeff"  # no width, no meaning (the joiners of Hindi and emoji stay)
    "\u2028\u2029\ufff9-\ufffb"  # line breaks by other names, interlinear annotation
    "\ud800-\udfff"  # half a character, which has no UTF-8
    "\U000e0000-\U000e007f"  # invisible copies of ASCII
    "]"
)


def printable(text: str) -> str:
    """The text with every character that would do something replaced by a visible one."""
    return _UNSAFE.sub(_visible, text.replace("\r\n", "\n"))


def one_line(text: str, most: int) -> str:
    """The text as one printable line of at most so many characters."""
    line = " ".join(printable(text[: 4 * most + 64]).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    if character == _DELETE:
        return "␡"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"<U+{code:04X}>"
