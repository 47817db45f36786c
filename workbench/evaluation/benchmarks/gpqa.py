"""GPQA-Diamond: 198 questions with four options, from the user's own file; never shown."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from types import MappingProxyType

from workbench.errors import InvalidInput
from workbench.evaluation.benchmarks.benchmark import Asked, Benchmark, choose
from workbench.evaluation.benchmarks.files import (
    Row,
    bytes_of,
    complete,
    csv_rows,
    decoded,
    different,
    each,
    read_rows,
)
from workbench.records import Mode, Problem

_TITLE = "GPQA-Diamond"
_SIZE = 198
_MEMBER = "gpqa_diamond.csv"
_PASSWORD = "WORKBENCH_GPQA_PASSWORD"  # noqa: S105  (the variable's name)
_LARGEST = 100_000_000  # bytes that the member may inflate to
_OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")

LETTERS = "ABCD"
_TEMPLATE = (
    "What is the correct answer to this question: {question}\n"
    "Choices:\nA. {option_A}\nB. {option_B}\nC. {option_C}\nD. {option_D}\n"
    "Let's think step by step, and put the final answer (should be a single letter "
    "A, B, C, or D) into a \\boxed{}"
)


@dataclass(frozen=True, slots=True)
class _Record:
    id: str
    question: str
    options: tuple[str, ...]  # the right one first, as in the file
    domain: str
    subdomain: str


def load(asked: Asked) -> tuple[Problem, ...]:
    """The problems of one sample, in the file's order: ``group`` is the domain.

    The options stand in an order made of record, sample and seed, ``Problem.order``; their
    texts are exactly the file's. Every problem is private.

    Raises:
        InvalidInput: No file was named, it cannot be opened, or is not the benchmark's;
            with the row where one is wrong.
    """
    if asked.data is None:
        raise InvalidInput(
            f"{_TITLE} is not downloaded: its authors ask that it be kept from the open web.",
            remedy="Get it from them (Idavidrein/gpqa), and name the zip or "
            f"{_MEMBER}: --data FILE.",
        )
    rows = _rows(asked.data)
    records = each(asked.data, rows, _record)
    complete(asked.data, rows, _TITLE, _SIZE)
    different(asked.data, [record.id for record in records])
    problems = [_problem(record, asked.sample, asked.seed) for record in records]
    return choose(problems, asked.limit, _TITLE)


def permutation(record: str, sample: int, seed: int) -> tuple[int, ...]:
    """In which order the four options stand: places in the file, where 0 is the right one.

    One of the 24 orders, by the SHA-256 of the three: the same on every machine, another
    for every sample, so that no letter is favoured over the samples.
    """
    name = f"{record}\0{sample}\0{seed}".encode()
    number = int.from_bytes(hashlib.sha256(name).digest(), "big")
    orders = list(permutations(range(len(LETTERS))))
    return orders[number % len(orders)]


def _problem(record: _Record, sample: int, seed: int) -> Problem:
    order = permutation(record.id, sample, seed)
    # Not str.format: a question may hold braces, and is text.
    prompt = _TEMPLATE.partition("{question}")[0] + record.question + "\nChoices:\n"
    prompt += "".join(
        f"{letter}. {record.options[place]}\n" for letter, place in zip(LETTERS, order, strict=True)
    )
    prompt += _TEMPLATE.partition("{option_D}\n")[2]
    return Problem(
        id=record.id,
        prompt=prompt,
        answer=LETTERS[order.index(0)],
        group=record.domain,
        subject=record.subdomain,
        grader="letter",
        private=True,
        order=order,
    )


def _record(row: Row) -> _Record:
    return _Record(
        id=row.text("Record ID").strip(),
        question=row.text("Question"),
        options=tuple(row.text(name) for name in _OPTIONS),
        domain=row.text("High-level domain").strip(),
        subdomain=row.text("Subdomain").strip(),
    )


def _rows(path: Path) -> list[Row]:
    if path.suffix.lower() != ".zip":
        return read_rows(path)
    bytes_of(path)  # tells what is wrong with a file that cannot be read at all
    try:
        with zipfile.ZipFile(path) as archive:
            return csv_rows(path, decoded(path, _member(path, archive)))
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise InvalidInput(
            f"{path} is no archive that can be opened: {error}.",
            remedy=f"Get it again, or unpack it and name {_MEMBER}.",
        ) from None


def _member(path: Path, archive: zipfile.ZipFile) -> bytes:
    found = [info for info in archive.infolist() if Path(info.filename).name == _MEMBER]
    if not found or found[0].file_size > _LARGEST:
        raise InvalidInput(
            f"{path} holds no {_MEMBER}.", remedy="Name the archive that the authors give out."
        )
    word = os.environ.get(_PASSWORD)
    try:
        return archive.read(found[0], pwd=None if word is None else word.encode())
    except RuntimeError:  # how zipfile says that the password is missing, or wrong
        raise InvalidInput(
            f"{path} is locked, and the password is {'wrong' if word else 'missing'}.",
            remedy=f"The authors print it in their README: set {_PASSWORD} to it, "
            f"or unpack the archive and name {_MEMBER}.",
        ) from None


GPQA = Benchmark(
    name="gpqa",
    title=_TITLE,
    template=_TEMPLATE,
    grader="letter",
    load=load,
    size=_SIZE,
    published=MappingProxyType({Mode.OFF: 0.394, Mode.ON: 0.541}),
    private=True,
    permuted=True,
)
