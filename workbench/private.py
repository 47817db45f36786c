"""What of a private problem may be published: its id, its letter, sums of its text; no text of it.

A benchmark such as GPQA is given away on the condition that its questions do not appear
in the open. A model repeats the question while it thinks, so what it wrote is as private
as what it was asked, and so are its token ids, from which the text could be made again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace

from workbench.records import Cell, Chunk, Event, Generation, Message, Plan, Problem, Request, Score

_LETTER = re.compile(r"[A-Z]")
_STAND_IN = re.compile(r"\[withheld: \d+ characters, sha256 [0-9a-f]{64}\]")
_NO_ID = -1  # stands for each token, so that they can still be counted


def hides(problem: Problem | None) -> bool:
    """Whether the texts that belong to a problem must not be shown."""
    return problem is not None and problem.private


def shown(text: str, problem: Problem | None) -> str:
    """The text, or what stands for it: how long it is, and its SHA-256."""
    return _stand_in(text) if hides(problem) else text


def sha256(text: str) -> str:
    """Of the text's UTF-8, in hexadecimal; half characters, which have none, count as ``?``."""
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()


def score(given: Score, problem: Problem | None) -> Score:
    """The score; of a private problem only a letter is kept as what was extracted."""
    if not hides(problem) or given.extracted is None or _LETTER.fullmatch(given.extracted):
        return given
    reason = shown(given.reason, problem)  # it may quote what was extracted
    return replace(given, extracted=shown(given.extracted, problem), reason=reason)


def request(given: Request) -> Request:
    """The request with what stands for its messages."""
    messages = tuple(Message(one.role, _stand_in(one.text)) for one in given.messages)
    return replace(given, messages=messages, opening=(_NO_ID,) * len(given.opening))


def cell(given: Cell) -> Cell:
    """The cell with neither question nor instructions where its problem is private."""
    problem = given.problem
    if problem is None or not problem.private:
        return given
    hidden = replace(problem, prompt=shown(problem.prompt, problem))
    if problem.answer is not None and not _LETTER.fullmatch(problem.answer):
        hidden = replace(hidden, answer=shown(problem.answer, problem))
    return replace(given, request=request(given.request), problem=hidden)


def target(given: Cell) -> str:
    """The right answer as far as it may be shown; empty where there is none."""
    problem = cell(given).problem
    return (problem.answer or "") if problem is not None else ""


def plan(given: Plan) -> Plan:
    """The plan with every cell as ``cell`` has it; itself where nothing is private."""
    if not any(hides(one.problem) for one in given.cells):
        return given
    return replace(given, cells=tuple(map(cell, given.cells)))


def withheld(cells: Sequence[Cell]) -> bool:
    """Whether a question among them has been left out, so that it cannot be asked again."""
    return any(
        one.problem is not None and one.problem.private and _STAND_IN.fullmatch(one.problem.prompt)
        for one in cells
    )


def event(given: Event, problem: Problem | None) -> Event:
    """The event: its time, its channel, as many ids as it had, but neither text nor token."""
    if not hides(problem) or not isinstance(given, Chunk):
        return given
    ids = (_NO_ID,) * len(given.ids)
    return replace(given, text="", ids=ids, alternatives=None)


def generation(given: Generation, problem: Problem | None) -> Generation:
    """The generation: how it went, but neither what was asked nor what was written."""
    if not hides(problem):
        return given
    events = tuple(event(one, problem) for one in given.events)
    return replace(given, request=request(given.request), events=events)


def _stand_in(text: str) -> str:
    return f"[withheld: {len(text)} characters, sha256 {sha256(text)}]" if text else text
