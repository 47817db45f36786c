"""What a grader says of one answer, and the reasons it can give.

The reasons are whole sentences of their own and never vary, so that they can be counted.
"""

from __future__ import annotations

from dataclasses import dataclass

SAME_TEXT = "the same text"
SAME_NUMBER = "the same whole number"
EQUAL = "equal"
DIFFERENT = "different"
NO_BOX = "no boxed answer"
EMPTY = "the box is empty"
TOO_LONG = "the box is too long to be an answer"
NOT_MATHEMATICS = "not readable as mathematics"
TIMEOUT = "timeout"
CRASHED = "the checking process died of it"
NOT_STARTED = "not graded: math-verify could not be started"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one answer."""

    value: float | None  # 1 right, 0 wrong, None: it could not be graded
    extracted: str | None  # what was read as the answer
    reason: str
    by: str  # who decided


def right(extracted: str, reason: str, by: str) -> Verdict:
    """The answer is the one that was wanted."""
    return Verdict(1.0, extracted, reason, by)


def wrong(extracted: str | None, reason: str, by: str) -> Verdict:
    """The answer is another one, or none."""
    return Verdict(0.0, extracted, reason, by)
