"""Is the answer the right one? Asked of the grader that the problem names.

Only the answer after the thinking is graded. Thinking that was never closed has no answer
after it and is wrong, whatever stands in it or before it. A generation that failed or was
cancelled says nothing about the model and has no value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from workbench import thinking
from workbench.errors import InvalidInput
from workbench.evaluation.boxed import boxed_together, last_boxed
from workbench.evaluation.graders import integers, letters, maths, normal, verdict
from workbench.evaluation.graders.limits import LONGEST
from workbench.evaluation.graders.verdict import Verdict, right, wrong
from workbench.evaluation.graders.worker import Checker, shared
from workbench.records import Channel, Generation, Problem, Score

BOXED = "boxed"
JUDGE = "judge"
NEVER_CLOSED = "thinking never closed"
NO_ANSWER = "no answer after the thinking"
NOT_JUDGED = "not judged yet"
NO_REFERENCE = "no answer to compare with"


def grade(
    problem: Problem, generation: Generation, index: int, *, checker: Checker | None = None
) -> Score:
    """The score of one generation, by the grader that its problem names.

    ``boxed`` compares whole numbers and texts, ``math`` mathematics, ``aime`` whole numbers
    first, ``letter`` reads A to D. ``judge`` has no value here: rating takes a model.

    Args:
        problem: With the answer, or without one: then there is no value.
        generation: Its channels settled.
        index: The generation's place in its run.
        checker: Compares mathematics; default: the one of this process.

    Raises:
        InvalidInput: There is no such grader.
    """
    if problem.grader != JUDGE and problem.grader not in GRADERS:
        raise InvalidInput(
            f"Problem {problem.id!r} names the grader {problem.grader!r}.",
            remedy=f"There are {', '.join(GRADERS)} and {JUDGE}.",
        )
    found = _verdict(problem, generation, checker or shared())
    return Score(problem.id, index, found.value, found.extracted, found.reason, found.by)


def answered(generation: Generation) -> str:
    """The text that is graded: what follows the thinking; nothing of what stands before it."""
    chunks = list(generation.chunks())
    if thinking.flags(generation).preamble:
        places = {chunk.channel: i for i, chunk in enumerate(chunks)}  # the last of each
        chunks = chunks[places.get(Channel.THINKING, places[Channel.MARKER]) :]
    return "".join(chunk.text for chunk in chunks if chunk.channel is Channel.ANSWER).strip()


def same_answer(given: str, expected: str) -> bool:
    """Equal as whole numbers where both are, else equal as text but for the way it is written."""
    if normal.key(given) == normal.key(expected):
        return True
    number = normal.whole(given)
    return number is not None and number == normal.whole(expected)


def _verdict(problem: Problem, generation: Generation, checker: Checker) -> Verdict:
    if not generation.ok:
        return Verdict(None, None, generation.finish_reason or "not ended", "")
    if problem.grader == JUDGE:
        return Verdict(None, None, NOT_JUDGED, "")
    if problem.answer is None:
        return Verdict(None, None, NO_REFERENCE, "")
    if thinking.flags(generation).incomplete:
        return wrong(None, NEVER_CLOSED, problem.grader)
    text = answered(generation)
    if not text:
        return wrong(None, NO_ANSWER, problem.grader)
    return GRADERS[problem.grader](problem, problem.answer, text, checker)


def _boxed(problem: Problem, answer: str, text: str, checker: Checker) -> Verdict:
    box = last_boxed(text)
    if box is None:
        return wrong(None, verdict.NO_BOX, BOXED)
    if len(box) > LONGEST:
        return wrong(box[:LONGEST], verdict.TOO_LONG, BOXED)
    if same_answer(box, answer):
        return right(box, verdict.EQUAL, BOXED)
    return wrong(box, verdict.DIFFERENT, BOXED)


def _math(problem: Problem, answer: str, text: str, checker: Checker) -> Verdict:
    box = last_boxed(text)
    if box is None:
        return wrong(None, verdict.NO_BOX, maths.BY)
    return maths.read(box, answer, checker, boxed_together(text))


def _aime(problem: Problem, answer: str, text: str, checker: Checker) -> Verdict:
    box = last_boxed(text)
    if box is None:
        return wrong(None, verdict.NO_BOX, integers.BY)
    return integers.read(box, answer, checker)


def _letter(problem: Problem, answer: str, text: str, checker: Checker) -> Verdict:
    return letters.read(text, answer, problem.prompt)


GRADERS: Mapping[str, Callable[[Problem, str, str, Checker], Verdict]] = MappingProxyType(
    {BOXED: _boxed, maths.BY: _math, integers.BY: _aime, letters.BY: _letter}
)
