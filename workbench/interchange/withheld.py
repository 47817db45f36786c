"""What of a private problem may be published: its id, its letter, sums of its text; no text of it.

A benchmark such as GPQA is given away on the condition that its questions do not appear
in the open. A model repeats the question while it thinks, so what it wrote is as private
as what it was asked, and so are its token ids, from which the text could be made again.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

from workbench.records import Cell, Chunk, Event, Plan, Problem, Score

_LETTER = re.compile(r"[A-Z]")
_NO_ID = -1  # stands for each token, so that they can still be counted


def private(problem: Problem | None) -> bool:
    """Whether the texts that belong to a problem must not be shown."""
    return problem is not None and problem.private


def shown(text: str, problem: Problem | None) -> str:
    """The text, or what stands for it: how long it is, and its SHA-256."""
    if not text or not private(problem):
        return text
    return f"[withheld: {len(text)} characters, sha256 {sha256(text)}]"


def sha256(text: str) -> str:
    """Of the text's UTF-8, in hexadecimal; half characters, which have none, count as ``?``."""
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()


def score(given: Score, problem: Problem | None) -> Score:
    """The score; of a private problem only a letter is kept as what was extracted."""
    if not private(problem) or given.extracted is None or _LETTER.fullmatch(given.extracted):
        return given
    reason = shown(given.reason, problem)  # it may quote what was extracted
    return replace(given, extracted=shown(given.extracted, problem), reason=reason)


def cell(given: Cell) -> Cell:
    """The cell with neither question nor instructions where its problem is private."""
    problem = given.problem
    if problem is None or not problem.private:
        return given
    messages = tuple(
        replace(message, text=shown(message.text, problem)) for message in given.request.messages
    )
    hidden = replace(problem, prompt=shown(problem.prompt, problem))
    if problem.answer is not None and not _LETTER.fullmatch(problem.answer):
        hidden = replace(hidden, answer=shown(problem.answer, problem))
    return replace(given, request=replace(given.request, messages=messages), problem=hidden)


def target(given: Cell) -> str:
    """The right answer as far as it may be shown; empty where there is none."""
    problem = cell(given).problem
    return (problem.answer or "") if problem is not None else ""


def plan(given: Plan) -> Plan:
    """The plan with every cell as ``cell`` has it."""
    return replace(given, cells=tuple(map(cell, given.cells)))


def event(given: Event, problem: Problem | None) -> Event:
    """The event: its time, its channel, as many ids as it had, but neither text nor token."""
    if not private(problem) or not isinstance(given, Chunk):
        return given
    ids = (_NO_ID,) * len(given.ids)
    return replace(given, text="", ids=ids, alternatives=None)
