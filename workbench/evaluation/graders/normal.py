r"""One spelling for what is written in many: unicode, spacing, wrappers, thousands.

Only what cannot change the meaning: nothing here calculates. What is left to differ is for
math-verify, which gets some of these spellings wrong (``13\,535`` as 548, ``2√3`` not at all).
"""

from __future__ import annotations

import re
from types import MappingProxyType

_SIGNS = MappingProxyType(
    {
        **dict.fromkeys("−–—‒﹣－", "-"),  # dashes that stand for a minus
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
        "×": r"\times ",
        "÷": r"\div ",
        "·": r"\cdot ",
        "⋅": r"\cdot ",
        "±": r"\pm ",
        "°": r"^\circ ",
        "∞": r"\infty ",
        "∅": r"\emptyset ",
        "∪": r"\cup ",
        "∩": r"\cap ",
        "∈": r"\in ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "≠": r"\ne ",
        "π": r"\pi ",
        "θ": r"\theta ",
        "α": r"\alpha ",
        "β": r"\beta ",
        "φ": r"\phi ",
        "½": r"\frac{1}{2}",
        "⅓": r"\frac{1}{3}",
        "⅔": r"\frac{2}{3}",
        "¼": r"\frac{1}{4}",
        "¾": r"\frac{3}{4}",
        "，": ",",
        "（": "(",
        "）": ")",
    }
)
_TABLE = str.maketrans(dict(_SIGNS))
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_POWERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_ROOT = re.compile(r"√\s*(?:\(([^()√]*)\)|(\d+(?:\.\d+)?|[a-zA-Z]))")
_MOST_ROOTS = 8  # within one another

_DOUBLED = re.compile(r"\\\\(?=[a-zA-Z{}])")
_SIZES = re.compile(r"\\(?:left|right|bigl?|bigr|Bigl?|Bigr|displaystyle)(?![a-zA-Z])")
_THIN = re.compile(r"(?<!\\)\\[,;: ]|\\(?:thinspace|quad|qquad)(?![a-zA-Z])")
_BACK = re.compile(r"(?<!\\)\\!\s*")
_DEGREE = re.compile(r"\^?\\degrees?(?![a-zA-Z])")
_EMPTY = re.compile(r"\\varnothing(?![a-zA-Z])|\\\{\s*\\\}")
_FRACTION = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_SHORT_FRACTION = re.compile(r"\\frac(?:\s+([a-zA-Z])|\s*(\d))\s*([a-zA-Z\d])")
_SHORT_ROOT = re.compile(r"\\sqrt(?:\s+([a-zA-Z])|\s*(\d+))")  # 12 in \sqrt12, against TeX
_ASSIGNED = re.compile(r"(?:[a-zA-Z]|\\[a-zA-Z]+)(?:_\{?\w\}?)?\s*=([^=]+)")
_SHORTER = re.compile(r"\\(?:leq|geq|neq)(?![a-zA-Z])")
_WRAPPED = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|boldsymbol|mbox)\s*\{([^{}]*)\}"
)
_OUTER = (
    re.compile(r"\$+(.*?)\$+", re.DOTALL),
    re.compile(r"\\\((.*)\\\)", re.DOTALL),
    re.compile(r"\\\[(.*)\\\]", re.DOTALL),
    re.compile(r"\*\*(.*)\*\*", re.DOTALL),
)
_THOUSANDS = re.compile(r"([+-]?)\s*(\d{1,3}(?:(?:,|\{,\}|\s)\d{3})+)(\.\d*)?")
_WHOLE = re.compile(r"([+-]?)0*(\d{1,300})(?:\.0*)?")  # the length guards int()
_REMARK = re.compile(r"(?s)\s*(?:\(\s*\\text\s*\{\s*|\\text\s*\{\s*\(?)\s*(?:since|because|as)\b.*")


def normal(text: str) -> str:
    """The text in its usual spelling, still LaTeX, with the spaces that part its words."""
    text = _SUPERSCRIPT.sub(lambda found: f"^{{{found[0].translate(_POWERS)}}}", text)
    text = _rooted(text).translate(_TABLE)
    if "\\begin" not in text:  # there, two backslashes end a row
        text = _DOUBLED.sub(r"\\", text)
    text = _THIN.sub(" ", _BACK.sub("", _SIZES.sub("", text))).replace("~", " ")
    text = _FRACTION.sub(r"\\frac", _EMPTY.sub(r"\\emptyset ", text))
    text = _SHORT_FRACTION.sub(lambda found: _fraction(found[1] or found[2], found[3]), text)
    text = _SHORT_ROOT.sub(lambda found: f"\\sqrt{{{found[1] or found[2]}}}", text)
    text = _DEGREE.sub(r"^\\circ ", _SHORTER.sub(lambda found: found[0][:-1] + " ", text))
    text = _unwrapped(text.replace("\\$", ""))
    thousands = _THOUSANDS.fullmatch(text)
    if thousands:
        text = thousands[1] + re.sub(r"\D", "", thousands[2]) + (thousands[3] or "")
    return text


def key(text: str) -> str:
    """What two spellings of one text have in common: no spaces, no ``\\text`` around words."""
    return re.sub(r"\s", "", _WRAPPED.sub(r"\1", normal(text)))


def whole(text: str) -> int | None:
    """The whole number that a text writes out, if it does: ``049``, ``1,000``, ``(42.0)``."""
    match = _WHOLE.fullmatch(re.sub(r"^\((.*)\)$", r"\1", key(text)))
    return int(match[1] + match[2]) if match else None


def value(text: str) -> str:
    """The right side of ``x = 5``, without a remark (``since …``); other texts as they are."""
    text = _REMARK.sub("", text.strip())
    match = _ASSIGNED.fullmatch(text)
    return match[1].strip() if match else text


def _rooted(text: str) -> str:
    """With roots as LaTeX, from the innermost on."""
    for _ in range(_MOST_ROOTS):
        text, found = _ROOT.subn(lambda root: f"\\sqrt{{{root[1] or root[2]}}}", text)
        if not found:
            break
    return text


def _fraction(above: str, below: str) -> str:
    return f"\\frac{{{above}}}{{{below}}}"


def _unwrapped(text: str) -> str:
    """Without the marks around the whole of it, and without the full stop behind it."""
    text = text.strip()
    for outer in _OUTER:
        found = outer.fullmatch(text)
        if found and found[1].strip():
            text = found[1].strip()
    return text[:-1].rstrip() if re.search(r"[^.]\.$", text) else text
