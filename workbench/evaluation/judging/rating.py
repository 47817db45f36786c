"""The rating that a judge's answer ends with, read strictly: ``[[8]]``, from 1 to 10."""

from __future__ import annotations

import re
from dataclasses import dataclass

LOWEST, HIGHEST = 1.0, 10.0
NO_RATING = "no rating"
BACKUP = "in single brackets"

# Of bounded length, so that a text of a million brackets or digits costs one pass.
_DOUBLE = re.compile(r"\[\[([^\[\]\n]{0,20}[0-9][^\[\]\n]{0,20})\]\]")
_SINGLE = re.compile(r"\[[ \t]{0,4}([+-]?[0-9.]{1,20})[ \t]{0,4}\]")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?")


@dataclass(frozen=True, slots=True)
class Rating:
    """What was read as a rating."""

    value: float | None  # None: there is none, or it is none from 1 to 10
    written: str | None  # as it stands in the text
    reason: str  # how it was read, or why it does not count; often empty


def rating(text: str) -> Rating:
    """The last rating of a judge's answer, its thinking left out before.

    That is the last number in double brackets, as a judge may quote the form it was told or
    rate parts first; where nothing with a digit stands in such, the last one in single
    brackets. What is no number from 1 to 10 does not count, and none before it does instead.
    """
    match, reason = _last(_DOUBLE, text), ""
    if match is None:
        match, reason = _last(_SINGLE, text), BACKUP
    if match is None:
        return Rating(None, None, NO_RATING)
    number = match[1].strip()
    if not _NUMBER.fullmatch(number):
        return Rating(None, match[0], "not a number")
    value = float(number)
    if not LOWEST <= value <= HIGHEST:
        return Rating(None, match[0], f"not from {LOWEST:g} to {HIGHEST:g}")
    return Rating(value, match[0], reason)


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for match in pattern.finditer(text):
        found = match
    return found
