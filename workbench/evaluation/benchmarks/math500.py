"""MATH500: 500 competition problems in seven subjects and five levels (OpenAI's split of MATH)."""

from __future__ import annotations

from types import MappingProxyType

from workbench.evaluation.benchmarks.benchmark import (
    MATH_TEMPLATE,
    Asked,
    Benchmark,
    Source,
    choose,
    digest,
)
from workbench.evaluation.benchmarks.files import Row, complete, different, each, genuine, read_rows
from workbench.evaluation.benchmarks.hub import fetch
from workbench.records import Mode, Problem

_TITLE = "MATH500"
_SIZE = 500
_CONTENT = "db657b4eb43f0ece2bce44a32e34b2d895de9d7b98587db1741f8a2880b847df"
_SOURCE = Source(
    repository="HuggingFaceH4/MATH-500",
    file="test.jsonl",
    revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
    sha256="35dc41080a3680858b27fa7e0533d2d547825316fc5dafe5d316f4ccc5a06132",
)


def load(asked: Asked) -> tuple[Problem, ...]:
    """The problems, in the file's order: ``group`` is the level, ``subject`` the subject.

    A row has ``problem``, ``answer``, ``level`` (1 to 5), ``subject``, ``unique_id``.

    Raises:
        InvalidInput: The file is not the benchmark's; with the row where one is wrong.
    """
    path = asked.data or fetch(_TITLE, _SOURCE)
    rows = read_rows(path)
    problems = each(path, rows, _problem)
    complete(path, rows, _TITLE, _SIZE)
    different(path, [problem.id for problem in problems])
    content = digest((problem.prompt, problem.answer or "") for problem in each(path, rows, _bare))
    genuine(path, _TITLE, content, _CONTENT, "questions and answers")
    return choose(problems, asked.limit, _TITLE)


def _bare(row: Row) -> Problem:
    return Problem("", row.text("problem"), row.text("answer"))


def _problem(row: Row) -> Problem:
    return Problem(
        id=row.text("unique_id"),
        prompt=MATH_TEMPLATE + row.text("problem"),
        answer=row.text("answer"),
        group=f"level {row.whole('level', 1, 5)}",
        subject=row.text("subject"),
        grader="math",
    )


MATH500 = Benchmark(
    name="math500",
    title=_TITLE,
    template=MATH_TEMPLATE + "{question}",
    grader="math",
    load=load,
    size=_SIZE,
    published=MappingProxyType({Mode.OFF: 0.366, Mode.ON: 0.954}),
    sources=(_SOURCE,),
)
