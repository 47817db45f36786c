r"""Mathematics: the same text, the same whole number, else what math-verify says of the box.

What is accepted on purpose, as elsewhere: decimals that agree to six places with what is no
decimal, an angle without its degrees, a number without its unit, a number without its base, a
tuple without its brackets, an equation multiplied or moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from workbench.evaluation.graders import dialect, lists, normal, notations, verdict
from workbench.evaluation.graders.limits import LONGEST, refusal
from workbench.evaluation.graders.verdict import Verdict, wrong
from workbench.evaluation.graders.worker import Checker

_RIGHT = (verdict.SAME_TEXT, verdict.SAME_NUMBER, verdict.EQUAL)

BY = "math"  # who decided, where it took no math-verify


def read(box: str, answer: str, checker: Checker, together: Sequence[str] = ()) -> Verdict:
    """Whether a box holds the answer.

    Most boxes are settled by their text. Nothing longer or stranger than an answer is handed
    on; what cannot be compared in time is wrong, and its reason says so.

    Args:
        box: What the model put into its last box.
        answer: The right one, as LaTeX.
        checker: Asked where the texts differ.
        together: The last boxes, if there are several beside one another: they count as one
            list where the answer is a list of as many parts.
    """
    if len(together) > 1 and lists.parts(normal.normal(answer)) == len(together):
        box = ", ".join(together)
    if not box or len(box) > LONGEST:
        return wrong(box[:LONGEST], verdict.TOO_LONG if box else verdict.EMPTY, BY)
    given = box if "=" in answer else normal.value(box)
    found = _as_text(given, answer) or refusal(box)
    if found is not None:
        return Verdict(float(found in _RIGHT), box, found, BY)
    pair = lists.alike(normal.normal(answer), normal.normal(given))
    outcome = checker.compare(*map(dialect.written, pair))
    known = outcome.reason != verdict.NOT_STARTED
    return Verdict(float(outcome.reason in _RIGHT) if known else None, box, *astuple(outcome))


def _as_text(given: str, answer: str) -> str | None:
    """Equal or different as far as that can be seen; ``None`` where it takes mathematics."""
    if normal.key(given) == normal.key(answer):
        return verdict.SAME_TEXT
    number, wanted = normal.whole(given), normal.whole(answer)
    if number is not None and wanted is not None:
        return verdict.SAME_NUMBER if number == wanted else verdict.DIFFERENT
    same = notations.compare(given, answer)
    if same is not None:
        return verdict.EQUAL if same else verdict.DIFFERENT
    return None
