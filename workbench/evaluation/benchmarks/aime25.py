"""AIME25: the 30 problems of the two American Invitational Mathematics Examinations of 2025."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import MappingProxyType

from workbench.evaluation.benchmarks.benchmark import (
    MATH_TEMPLATE,
    Asked,
    Benchmark,
    Source,
    choose,
)
from workbench.evaluation.benchmarks.files import Row, complete, different, each, genuine, read_rows
from workbench.evaluation.benchmarks.hub import fetch
from workbench.records import Mode, Problem

_TITLE = "AIME25"
_SIZE = 30
_FIRST = 15  # problems of the first examination; the second has as many
_CONTENT = "50e0ea615ca785a4c8f52d6d12ba11501b737cc81dd7c759c4232b99981a78d0"
_SOURCE = Source(
    repository="math-ai/aime25",
    file="test.jsonl",
    revision="563bb8404243c5f09de6ec262f2db674fe5bce9b",
    sha256="b4e273c02d3e7fe1b74b59eae768fc8230bfb0f79539890cb56f4361caac0331",
)


def load(asked: Asked) -> tuple[Problem, ...]:
    """The problems, of AIME I and then of AIME II; ``group`` says which.

    A row has ``problem`` and ``answer`` (or ``expected_answer``), a whole number from 0 to
    999. Publishers write the questions differently (figures, spacing), so that a file is
    known by its 30 answers in their order.

    Raises:
        InvalidInput: The file is not the benchmark's; with the row where one is wrong.
    """
    path = asked.data or fetch(_TITLE, _SOURCE)
    rows = read_rows(path)
    problems = each(path, rows, _problem)
    complete(path, rows, _TITLE, _SIZE)
    different(path, [problem.prompt for problem in problems])
    genuine(path, _TITLE, _answers(problems), _CONTENT, "answers in their order")
    return choose(problems, asked.limit, _TITLE)


def _problem(row: Row) -> Problem:
    name = "expected_answer" if "expected_answer" in row.fields else "answer"
    return Problem(
        id=f"aime25-{row.number - 1}",
        prompt=MATH_TEMPLATE + row.text("problem", "question"),
        answer=str(row.whole(name, 0, 999)),
        group="AIME I" if row.number <= _FIRST else "AIME II",
        grader="aime",
    )


def _answers(problems: Sequence[Problem]) -> str:
    listed = ",".join(problem.answer or "" for problem in problems)
    return hashlib.sha256(listed.encode()).hexdigest()


AIME25 = Benchmark(
    name="aime25",
    title=_TITLE,
    template=MATH_TEMPLATE + "{question}",
    grader="aime",
    load=load,
    size=_SIZE,
    published=MappingProxyType({Mode.OFF: 0.0, Mode.ON: 0.471}),
    note=(
        "The card says 0 % with reasoning off. Some pages print 36.6 % there: that is the "
        "card's figure for MATH500, and on 30 questions no mean over 1, 2, 4, 8 or 16 runs "
        "rounds to it."
    ),
    sources=(_SOURCE,),
)
