"""Whole numbers, as AIME has them: compared as such, however they are written."""

from __future__ import annotations

from workbench.evaluation.graders import maths, normal, verdict
from workbench.evaluation.graders.limits import LONGEST
from workbench.evaluation.graders.verdict import Verdict, wrong
from workbench.evaluation.graders.worker import Checker

BY = "aime"


def read(box: str, answer: str, checker: Checker) -> Verdict:
    """Whether a box holds the number: ``70``, ``070``, ``1{,}000``, ``$70$``, ``\\text{70}``.

    Anything else than a number written out (``\\frac{140}{2}``, ``x = 70``) is left to
    mathematics.

    Args:
        box: What the model put into its last box.
        answer: The right number.
        checker: Asked where the box is no number written out.
    """
    if not box or len(box) > LONGEST:
        return wrong(box[:LONGEST], verdict.TOO_LONG if box else verdict.EMPTY, BY)
    number, wanted = normal.whole(box), normal.whole(answer)
    if number is None or wanted is None:
        return maths.read(box, answer, checker)
    same = number == wanted
    return Verdict(float(same), box, verdict.SAME_NUMBER if same else verdict.DIFFERENT, BY)
