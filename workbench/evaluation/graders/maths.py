"""Mathematics: the same text, the same whole number, else what math-verify says of the box."""

from __future__ import annotations

from dataclasses import astuple

from workbench.evaluation.graders import lists, normal, verdict
from workbench.evaluation.graders.limits import LONGEST, refusal
from workbench.evaluation.graders.verdict import Verdict, wrong
from workbench.evaluation.graders.worker import Checker

_RIGHT = (verdict.SAME_TEXT, verdict.SAME_NUMBER, verdict.EQUAL)

BY = "math"  # who decided, where it took no math-verify


def read(box: str, answer: str, checker: Checker) -> Verdict:
    """Whether a box holds the answer.

    Most boxes are settled by their text. Nothing longer or stranger than an answer is handed
    on; what cannot be compared in time is wrong, and its reason says so.

    Args:
        box: What the model put into its last box.
        answer: The right one, as LaTeX.
        checker: Asked where the texts differ.
    """
    refused = refusal(box)
    if refused is not None or not box:
        return wrong(box[:LONGEST], refused or verdict.DIFFERENT, BY)
    given = box if "=" in answer else normal.value(box)
    found = _as_text(given, answer)
    if found is not None:
        return Verdict(float(found in _RIGHT), box, found, BY)
    outcome = checker.compare(*lists.alike(normal.normal(answer), normal.normal(given)))
    known = outcome.reason != verdict.NOT_STARTED
    return Verdict(float(outcome.reason in _RIGHT) if known else None, box, *astuple(outcome))


def _as_text(given: str, answer: str) -> str | None:
    """Equal or different as far as that can be seen; ``None`` where it takes mathematics."""
    if normal.key(given) == normal.key(answer):
        return verdict.SAME_TEXT
    number, wanted = normal.whole(given), normal.whole(answer)
    if number is not None and wanted is not None:
        return verdict.SAME_NUMBER if number == wanted else verdict.DIFFERENT
    if normal.clock(given) or normal.clock(answer):  # to math-verify 3:30 is a tenth
        return verdict.DIFFERENT
    return None
