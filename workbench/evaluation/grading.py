"""Is the boxed answer the right one?

Only the answer after the thinking is graded. Thinking that was never closed has
no answer after it and is wrong. A generation that failed or was cancelled says
nothing about the model and has no value.
"""

from __future__ import annotations

import re

from workbench.evaluation.boxed import last_boxed
from workbench.records import Generation, Problem, Score

_SPACING = re.compile(r"\\[,;!: ]|[\s,$]|\\(?:left|right)(?![a-z])")
_WRAPPED = re.compile(r"\\(?:text|mathrm|mbox)\{([^{}]*)\}")
_LONGEST = 512  # characters of a box that are looked at: longer is no answer


def grade(problem: Problem, generation: Generation, index: int) -> Score:
    """The score of one generation.

    Args:
        problem: With the answer, or without one: then there is no value.
        generation: Its channels settled.
        index: The generation's place in its run.
    """

    def score(value: float | None, reason: str, extracted: str | None = None) -> Score:
        return Score(problem.id, index, value, extracted, reason)

    if problem.answer is None:
        return score(None, "no answer to compare with")
    if not generation.ok:
        return score(None, generation.finish_reason or "not ended")
    box = last_boxed(generation.answer)
    if box is None:
        return score(
            0.0, "no boxed answer" if generation.answer else "no answer after the thinking"
        )
    if len(box) > _LONGEST:
        return score(0.0, "the box is too long to be an answer", box[:_LONGEST])
    right = same_answer(box, problem.answer)
    return score(float(right), "equal" if right else "different", box)


def same_answer(given: str, expected: str) -> bool:
    """Equal as whole numbers where both are, else equal as text but for spacing and ``\\text``."""
    left, right = _normal(given), _normal(expected)
    if left == right:
        return True
    return _whole(left) is not None and _whole(left) == _whole(right)


def _normal(text: str) -> str:
    return _SPACING.sub("", _WRAPPED.sub(r"\1", text)).rstrip(".")


def _whole(text: str) -> int | None:
    # The length guards int(): Python refuses, and is slow on, thousands of digits.
    match = re.fullmatch(r"([+-]?)0*(\d{1,300})(?:\.0*)?", text)
    return int(match[1] + match[2]) if match else None
