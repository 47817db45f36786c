r"""One of the letters A to D, in a box; every other way of naming it is told apart.

The text of an option is never changed: taking brackets off chemistry turns one option into
another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from workbench.evaluation.boxed import last_boxed
from workbench.evaluation.graders import verdict
from workbench.evaluation.graders.limits import LONGEST
from workbench.evaluation.graders.verdict import Verdict, wrong

BY = "letter"
LETTERS = "ABCD"
BOXED = "the letter in the box"
LABELLED = "a letter and its text in the box"
OPTION = "an option's whole text in the box"
STATED = "no box, but a line that states the answer"
NO_LETTER = "no letter in the box"

_WRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{(.*)\}", re.DOTALL)
_WRAPPING = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_AROUND = re.compile(r"^(?:\*\*|\$|\s|\\[,;! ])+|(?:\*\*|\$|\s|\\[,;! ])+$")
_NAMED = r"(?:(?i:option|choice|answer)\s*:?\s*)?"
_LETTER = re.compile(rf"{_NAMED}\(?([A-D])\)?[.:]?")
_LABEL = re.compile(r"(?:\(([A-D])\)|([A-D])[.):])(?=\s|\\|$).*", re.DOTALL)
_OPTIONS = re.compile(
    r"\nChoices:\nA\. (.*)\nB\. (.*)\nC\. (.*)\nD\. (.*)\nLet's think step by step", re.DOTALL
)
_STATED = re.compile(
    r"(?i:\banswer\b(?:\s+is)?)[\s:*]*(?:\$|\\text\{|\()*([A-D])(?=[).:,;*$}\]]|\s*$)"
)
_LONGEST_BOX = 4096  # characters; an option's whole text may be long
_LONGEST_LINE = 400  # characters in which an answer is stated


def read(answered: str, answer: str, prompt: str) -> Verdict:
    """Which option an answer names, and whether it is the right one.

    The last box decides: a letter; a letter with its text (``B. 5 m``); an option's whole
    text, as the prompt has it. Without a box, the last line that states an answer does. The
    reason says which of these it was, with "other" for a wrong one, so that they can be counted.

    Args:
        answered: What the model wrote after its thinking.
        answer: The right letter.
        prompt: The question with its options, in the card's words.
    """
    box = last_boxed(answered)
    if box is None:
        letter = _stated(answered)
        return _told(letter, answer, STATED) if letter else wrong(None, verdict.NO_BOX, BY)
    if len(box) > _LONGEST_BOX:
        return wrong(box[:LONGEST], verdict.TOO_LONG, BY)
    inner = _inner(box)
    bare = _WRAPPING.sub(r"\1", inner)
    plain, labelled = _LETTER.fullmatch(bare), _LABEL.fullmatch(bare)
    if plain:
        return _told(plain[1], answer, BOXED)
    if labelled:
        return _told(labelled[1] or labelled[2], answer, LABELLED)
    option = _option(inner, _options(prompt)) or _option(box, _options(prompt))
    return _told(option, answer, OPTION) if option else wrong(None, NO_LETTER, BY)


def _told(letter: str, answer: str, how: str) -> Verdict:
    if letter == answer.strip().upper():
        return verdict.right(letter, how, BY)
    return wrong(letter, f"other: {how}", BY)


def _inner(box: str) -> str:
    """The box without the wrappings that stand around the whole of it."""
    text, last = box, ""
    while text != last:
        last, text = text, _AROUND.sub("", text)
        wrapped = _WRAPPED.fullmatch(text)
        text = wrapped[1] if wrapped else text
    return text


def _options(prompt: str) -> Sequence[str]:
    found = _OPTIONS.search("\n" + prompt)
    return found.groups() if found else ()


def _option(text: str, options: Sequence[str]) -> str | None:
    """The letter of the one option that reads like this, but for its spaces; two: neither."""
    wanted = " ".join(text.split())
    found = [
        letter
        for letter, option in zip(LETTERS, options, strict=False)
        if " ".join(option.split()) == wanted
    ]
    return found[0] if len(found) == 1 else None


def _stated(text: str) -> str | None:
    """The letter of the last line that says which the answer is."""
    for line in reversed(text.splitlines()):
        found = _STATED.findall(line[:_LONGEST_LINE])
        if found:
            return str(found[-1]).upper()
    return None
