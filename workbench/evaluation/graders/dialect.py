r"""LaTeX as math-verify reads it right: the imaginary unit, degrees in a function.

It takes ``i`` for a variable (``9i`` and ``9 i`` for two, ``\mathrm{i}`` for a unit to drop)
and only ``I`` for the root of -1; and the 30 of ``\sin 30^\circ`` for radians.
"""

from __future__ import annotations

import re

_UPRIGHT = re.compile(r"\\(?:mathrm|mathit|text|operatorname)\s*\{\s*i\s*\}|\\imath(?![a-zA-Z])")
_INDEX = re.compile(r"\\(?:sum|prod|bigcup|bigcap)(?![a-zA-Z])|_\s*\{?\s*i(?![a-zA-Z])")
_UNIT = re.compile(r"(?<![a-zA-Z\\])i(?![a-zA-Z])")
_WORDS = re.compile(r"\\(?:text|textbf|textit|textrm|mbox)\s*\{[^{}]*\}")
_DEGREES = re.compile(
    r"(\\(?:sin|cos|tan|cot|sec|csc)(?:\^\{?\d\}?)?)\s*"
    r"(?:\(\s*(\d+(?:\.\d+)?)\s*\^\s*\{?\s*\\circ\s*\}?\s*\)"
    r"|\{?\s*(\d+(?:\.\d+)?)\s*\^\s*\{?\s*\\circ(?:\s*\})*)"
)


def written(text: str) -> str:
    """A normal text in this dialect."""
    text = _DEGREES.sub(lambda found: _radians(found[1], found[2] or found[3]), text)
    text = _UPRIGHT.sub(" i ", text)
    if _INDEX.search(text) or _WORDS.search(text):
        return text
    return _UNIT.sub("I", text)


def _radians(function: str, degrees: str) -> str:
    return f"{function}(\\frac{{{degrees} \\pi}}{{180}})"
