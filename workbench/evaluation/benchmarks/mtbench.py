"""MT-Bench: 80 questions of two turns in eight categories, and GPT-4's reference answers for 30."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workbench.errors import InvalidInput
from workbench.evaluation.benchmarks.benchmark import Asked, Benchmark, Source, choose, digest
from workbench.evaluation.benchmarks.files import Row, complete, different, each, genuine, read_rows
from workbench.evaluation.benchmarks.hub import fetch
from workbench.records import Mode, Problem

_TITLE = "MT-Bench"
_SIZE = 80
_TURNS = 2
_CONTENT = "a2c6779961fe2c2dbd2512370d5ffb68f221bb9481829b513b94202527469b8f"
_REFERENCES_SIZE = 30
_REFERENCES_CONTENT = "388321efd29695794af5f32c90bcda8978ddffc1f15904469767183773373510"
_QUESTIONS = Source(
    repository="lmsys/mt-bench",
    file="data/mt_bench/question.jsonl",
    revision=None,
    sha256="119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",
    kind="space",
)
_REFERENCES = Source(
    repository="lmsys/mt-bench",
    file="data/mt_bench/reference_answer/gpt-4.jsonl",
    revision=None,
    sha256="f957a5bc977badb66885ec970e6cd08527845780313f0995764260e5777b9b3f",
    kind="space",
)
_BESIDE = ("reference_answer/gpt-4.jsonl", "gpt-4.jsonl", "mt_bench_reference_gpt4.jsonl")

WITH_REFERENCES = ("math", "reasoning", "coding")
"""The categories whose answers are judged beside a reference."""

KNOWN_WRONG: Mapping[str, str] = MappingProxyType(
    {
        "mtbench-104": "David has no brother in the first turn and one in the second; "
        "the reference says one and two",
        "mtbench-111": "the triangle's area is 3 and the circle's 5π; "
        "the reference takes the corners for collinear",
    }
)
"""Questions whose references are wrong, and why. They stay as they are, so that ratings compare."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with all of its turns."""

    id: str
    category: str
    turns: tuple[str, ...]  # two
    references: tuple[str, ...]  # as many, or none


def questions(
    data: str | Path | None = None, references: str | Path | None = None
) -> tuple[Question, ...]:
    """All questions, in the file's order.

    Args:
        data: FastChat's ``question.jsonl``; default: from the hub. No revision of the
            hub's files is known, so their checksums alone pin them.
        references: FastChat's ``reference_answer/gpt-4.jsonl``; default: where FastChat
            has it beside ``data``, or beside it in the same folder, else from the hub.

    Raises:
        InvalidInput: A file is not the benchmark's; with the row where one is wrong.
    """
    path = fetch(_TITLE, _QUESTIONS) if data is None else Path(data).expanduser()
    given = None if references is None else Path(references).expanduser()
    rows = read_rows(path)
    asked = each(path, rows, _question)
    complete(path, rows, _TITLE, _SIZE)
    different(path, [name for name, _, _ in asked])
    content = digest((name, category, *turns) for name, category, turns in asked)
    genuine(path, _TITLE, content, _CONTENT, "questions")
    known = _references(given or (None if data is None else _beside(path)))
    return tuple(
        Question(name, category, turns, known.get(name, ())) for name, category, turns in asked
    )


def load(asked: Asked) -> tuple[Problem, ...]:
    """Every turn as a problem, the second one following the first; ``limit`` is of questions.

    ``mtbench-81/1`` is the first turn of question 81; ``group`` is the category. The answer
    is the reference that a judge is shown; most categories have none.

    Raises:
        InvalidInput: The file is not the benchmark's; with the row where one is wrong.
    """
    chosen = choose(questions(asked.data), asked.limit, _TITLE)
    return tuple(problem for one in chosen for problem in _turns(one))


def wrong_reference(problem: str) -> str | None:
    """Why the reference of a problem, by its id, is known to be wrong; ``None``: it is not."""
    return KNOWN_WRONG.get(problem.partition("/")[0])


def _turns(one: Question) -> Iterator[Problem]:
    before = None
    for turn, text in enumerate(one.turns, start=1):
        name = f"{one.id}/{turn}"
        known = one.references[turn - 1] if one.references else None
        yield Problem(name, text, known, group=one.category, grader="judge", follows=before)
        before = name


def _question(row: Row) -> tuple[str, str, tuple[str, ...]]:
    name = f"mtbench-{row.whole('question_id', 81, 160)}"
    return name, row.text("category"), _texts(row.fields.get("turns"), "turns")


def _references(path: Path | None) -> dict[str, tuple[str, ...]]:
    found = fetch(f"{_TITLE}'s references", _REFERENCES) if path is None else path
    rows = read_rows(found)
    known = each(found, rows, _reference)
    title = f"{_TITLE}'s references"
    complete(found, rows, title, _REFERENCES_SIZE)
    content = digest((name, *turns) for name, turns in known)
    genuine(found, title, content, _REFERENCES_CONTENT, "answers")
    return dict(known)


def _reference(row: Row) -> tuple[str, tuple[str, ...]]:
    name = f"mtbench-{row.whole('question_id', 101, 130)}"
    choices = row.fields.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    turns = first.get("turns") if isinstance(first, Mapping) else None
    return name, _texts(turns, "choices[0].turns")


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) != _TURNS:
        raise ValueError(f"its {name!r} is no list of {_TURNS} texts")
    if not all(isinstance(text, str) and text.strip() for text in value):
        raise ValueError(f"a turn of its {name!r} is empty, or no text")
    return tuple(value)


def _beside(path: Path) -> Path:
    """Where the references of a user's own questions lie.

    Raises:
        InvalidInput: Nowhere near.
    """
    near = [path.parent / name for name in _BESIDE]
    found = next((place for place in near if place.is_file()), None)
    if found is None:
        raise InvalidInput(
            f"The reference answers of {path} are not beside it.",
            remedy=f"Put FastChat's {_BESIDE[0]} into the same folder.",
        )
    return found


MTBENCH = Benchmark(
    name="mtbench",
    title=_TITLE,
    template="{question}",
    grader="judge",
    load=load,
    size=_SIZE,
    metric="rating",
    published=MappingProxyType({Mode.OFF: 7.9, Mode.ON: 8.1}),
    note=(
        "The card names neither the judge nor its version: ratings by another judge cannot "
        "be laid beside its figures."
    ),
    sources=(_QUESTIONS, _REFERENCES),
    temperatures=MappingProxyType(
        {
            "writing": 0.7,
            "roleplay": 0.7,
            "extraction": 0.0,
            "math": 0.0,
            "coding": 0.0,
            "reasoning": 0.0,
            "stem": 0.1,
            "humanities": 0.1,
        }
    ),
)
