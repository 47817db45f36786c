"""What is not handed to a computer algebra system, whoever wrote it.

These limits are cheap and only spare time: what passes them and still takes for ever is
ended with the process that works on it.
"""

from __future__ import annotations

import math
import re

LONGEST = 512  # characters of an answer

_DEEPEST = 32  # brackets within brackets
_DIGITS = re.compile(r"\d{257}")
_OPERATORS = re.compile(r"[-+*/^=<>!_]")
_MOST_OPERATORS = 200
_FACTORIAL = re.compile(r"\d{5,}[\s})]*!")
_TOWER = re.compile(r"(?:\*\*|\^)[\s{(]*(\d+)\s*(?:\*\*|\^)[\s{(]*(\d+)")
_LARGEST_EXPONENT = 6  # digits of one that is a power itself
_CODE = re.compile(r"__|;\s*import\b|\bimport\s+\w|\blambda\b|\b(?:eval|exec|open)\s*\(")


def refusal(text: str) -> str | None:
    """Why an answer is not looked at any further; ``None`` if it may be."""
    if _CODE.search(text):
        return "refused: it looks like code"
    if _DIGITS.search(text):
        return "refused: a number of too many digits"
    if _FACTORIAL.search(text):
        return "refused: the factorial of a large number"
    if any(_digits(*tower) > _LARGEST_EXPONENT for tower in _TOWER.findall(text)):
        return "refused: a power to a large power"
    if len(_OPERATORS.findall(text)) > _MOST_OPERATORS:
        return "refused: too many operators"
    return "refused: too deeply nested" if _depth(text) > _DEEPEST else None


def _digits(base: str, exponent: str) -> float:
    """About how many digits a power has."""
    return int(exponent) * math.log10(max(int(base), 1))


def _depth(text: str) -> int:
    """The most brackets that are open at once."""
    depth = deepest = 0
    for character in text:
        depth += (character in "({[") - (character in ")}]")
        deepest = max(deepest, depth)
    return deepest
