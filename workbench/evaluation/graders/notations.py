"""What is compared as it is written, as reckoning would lose it: times, ratios, other bases."""

from __future__ import annotations

import re

from workbench.evaluation.graders import normal

_COLON = re.compile(r"\{:\}|\\colon(?![a-zA-Z])|\\ratio(?![a-zA-Z])|∶")
_CLOCK = re.compile(r"(\d+(?:\.\d+)?(?::\d+(?:\.\d+)?)+)([a-z]*)")
_BASED = re.compile(r"\(?([0-9a-zA-Z]*\d[0-9a-zA-Z]*)\)?_\{?\(?(\d{1,2}|[a-z]+)\)?\}?")
_BASES = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def compare(given: str, answer: str) -> bool | None:
    """Whether both say the same, where one is a time, a ratio or in a base; ``None`` elsewhere.

    A quotient is no ratio, 6:4 is not 3:2 (nor a time the other), and a time may leave out
    which half of the day it is. Digits without their base are taken to be in the answer's.
    """
    return _colons(given, answer) if _colon(given) or _colon(answer) else _bases(given, answer)


def _colons(given: str, answer: str) -> bool:
    left, right = _colon(given), _colon(answer)
    if left is None or right is None or left[0] != right[0]:
        return False
    return left[1] == right[1] or not (left[1] and right[1])


def _colon(text: str) -> tuple[str, str] | None:
    """The numbers, and the letters behind them: ``("3:30", "pm")``."""
    if ":" not in text and "\\colon" not in text and "\\ratio" not in text and "∶" not in text:
        return None
    plain = normal.key(_COLON.sub(":", text)).lower().replace(".m", "m").rstrip(".")
    found = _CLOCK.fullmatch(plain)
    return (found[1], found[2]) if found else None


def _bases(given: str, answer: str) -> bool | None:
    wanted = _based(answer)
    if wanted is None:
        return None
    found = _based(given)
    if found is None:
        return True if normal.key(given).lower() == wanted[0] else None
    return found == wanted


def _based(text: str) -> tuple[str, int] | None:
    """Digits and base: ``("52", 8)``."""
    found = _BASED.fullmatch(normal.key(text).lower())
    if found is None:
        return None
    if found[2].isdecimal():
        return found[1], int(found[2])
    return (found[1], _BASES.index(found[2])) if found[2] in _BASES else None
