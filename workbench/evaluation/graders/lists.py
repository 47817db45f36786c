"""Answers of several parts: a list without brackets, beside one whose order counts."""

from __future__ import annotations


def alike(wanted: str, given: str) -> tuple[str, str]:
    """Both as they are; but a bare list beside a tuple is read as a tuple.

    Math-verify takes ``1, -2`` for a set and ``(-2, 1)`` for an interval, and finds them equal.
    """
    if _tuple(wanted) and _bare(given):
        return wanted, f"({given})"
    if _bare(wanted) and _tuple(given):
        return f"({wanted})", given
    return wanted, given


def parts(text: str) -> int:
    """How many parts a bare list has; 1, if it is none."""
    return text.count(",") + 1 if _bare(text) else 1


def _tuple(text: str) -> bool:
    text = text.strip()
    return text.startswith("(") and text.endswith(")") and _bare(text[1:-1])


def _bare(text: str) -> bool:
    """A comma outside all brackets, none of which closes before it opens."""
    depth, found = 0, False
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return False
        found = found or (depth == 0 and character == ",")
    return found and depth == 0
