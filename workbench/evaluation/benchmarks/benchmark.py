"""What a benchmark is: its prompt, its grader, the model card's figures, where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from workbench.errors import InvalidInput
from workbench.records import Mode, Problem

T = TypeVar("T")  # a problem, or a question with several turns

MATH_TEMPLATE = (
    "Below is a math question. I want you to reason through the steps and then give a final "
    "answer. Your final answer should be in \\boxed{}.\nQuestion: "
)
"""The model card's prompt for MATH500 and AIME25; the question follows."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file on the Hugging Face hub."""

    repository: str
    file: str
    revision: str | None  # a commit; None: it is not known, and the checksum alone pins the file
    sha256: str
    kind: str = "dataset"  # dataset | space


@dataclass(frozen=True, slots=True)
class Asked:
    """Which of a benchmark's problems are wanted, and how."""

    data: Path | None = None  # the user's own file; None: the hub's
    limit: int | None = None
    seed: int = 0
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark.

    ``published`` are the model card's figures, by mode: shares of 1 for ``pass@1``, a mean
    of ratings from 1 to 10 for ``rating``. The card has them to one decimal of a per cent,
    or of a rating.
    """

    name: str
    title: str
    template: str  # of the prompt, as the card has it; \n is a newline
    grader: str  # see ``records.Problem.grader``
    load: Callable[[Asked], tuple[Problem, ...]]
    size: int | None  # problems in all; None: as many as one likes
    metric: str = "pass@1"
    published: Mapping[Mode, float] | None = None
    note: str = ""  # what must be known when the published figures are read
    sources: tuple[Source, ...] = ()  # none: nothing is downloaded
    private: bool = False
    permuted: bool = False  # its options stand in another order in every sample
    temperatures: Mapping[str, float] | None = None  # its authors' own, by the problems' group


def choose(problems: Sequence[T], limit: int | None, title: str) -> tuple[T, ...]:
    """So many of the problems, spread evenly over all, as files have kinds one after the other.

    Raises:
        InvalidInput: Less than one, or more than there are.
    """
    count = len(problems)
    if limit is None:
        return tuple(problems)
    if not 1 <= limit <= count:
        raise InvalidInput(
            f"{title} has {count:,} problems, and {limit:,} were asked for.",
            remedy=f"Ask for 1 to {count:,}.",
        )
    return tuple(problems[place * count // limit] for place in range(limit))


def digest(parts: Iterable[Sequence[str]]) -> str:
    """SHA-256 of texts in any order, however white space is written in them."""
    lines = sorted(json.dumps([" ".join(text.split()) for text in part]) for part in parts)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
