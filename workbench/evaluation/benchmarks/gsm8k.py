"""GSM8K: the 1,319 grade-school word problems of its test split; the model card has no figure."""

from __future__ import annotations

from dataclasses import replace

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
from workbench.records import Problem

_TITLE = "GSM8K"
_SIZE = 1319
_CONTENT = "4452dc589f71ec3d494d8eee76f1e89806b2d10b290b81bc769ccf5ef1885a5d"
_SOURCE = Source(
    repository="openai/gsm8k",
    file="main/test-00000-of-00001.parquet",
    revision="740312add88f781978c0658806c59bc2815b9866",
    sha256="ee7b8da9e381df27b9e3f7758a159ab2bdaa4dbaa910546cbbc47e0cb44e4f59",
)


def load(asked: Asked) -> tuple[Problem, ...]:
    """The problems, in the file's order; the answer is what follows ``####``, without commas.

    A row has ``question`` and ``answer``.

    Raises:
        InvalidInput: The file is not the benchmark's; with the row where one is wrong.
    """
    path = asked.data or fetch(_TITLE, _SOURCE)
    rows = read_rows(path)
    bare = each(path, rows, _bare)
    complete(path, rows, _TITLE, _SIZE)
    different(path, [problem.prompt for problem in bare])
    content = digest((problem.prompt, problem.answer or "") for problem in bare)
    genuine(path, _TITLE, content, _CONTENT, "questions and answers")
    problems = [replace(problem, prompt=MATH_TEMPLATE + problem.prompt) for problem in bare]
    return choose(problems, asked.limit, _TITLE)


def _bare(row: Row) -> Problem:
    _, mark, answer = row.text("answer").rpartition("####")
    number = answer.strip().replace(",", "")
    if not mark or not number.removeprefix("-").isdecimal():
        raise ValueError("its 'answer' does not end with #### and a whole number")
    return Problem(f"gsm8k-{row.number}", row.text("question"), number, grader="math")


GSM8K = Benchmark(
    name="gsm8k",
    title=_TITLE,
    template=MATH_TEMPLATE + "{question}",
    grader="math",
    load=load,
    size=_SIZE,
    note="The card has no figure for GSM8K; it is asked with the card's prompt for mathematics.",
    sources=(_SOURCE,),
)
