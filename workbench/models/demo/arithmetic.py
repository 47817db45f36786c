"""Seeded arithmetic problems of three difficulties; standard library only.

An expression is written without spaces (`47+38*2-12`): whole numbers of one to three digits, the
signs `+`, `-` and `*`, products before sums, and no running total below zero.

Held out: an expression whose CRC-32 is divisible by ten. The model was never trained on a question
with such an expression, whatever its wording and in either mode; `problems` returns nothing else.
(A step of a longer problem can be a held-out expression, and `7+5` can be trained while `5+7` is
held out.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Literal, get_args
from zlib import crc32

from workbench.models.demo.wording import STORIES, plain, story

Difficulty = Literal["easy", "medium", "hard"]
DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)


@dataclass(frozen=True, slots=True)
class Problem:
    """A held-out question with its exact answer."""

    id: str
    question: str
    answer: str
    difficulty: Difficulty
    expression: str


@dataclass(frozen=True, slots=True)
class Exercise:
    """An expression, and the story it is told in if it is a word problem."""

    expression: str
    story: str | None = None


Maker = Callable[[Random], Exercise]


def problems(difficulty: Difficulty, count: int, seed: int = 0) -> list[Problem]:
    """The first `count` held-out problems of a seed, all different; fewer are a prefix of more.

    Raises ValueError for an unknown difficulty.
    """
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"difficulty must be one of {', '.join(DIFFICULTIES)}, not {difficulty!r}")
    rng = Random(f"{difficulty}/{seed}")
    found: dict[str, Problem] = {}
    while len(found) < count:
        exercise = draw(difficulty, rng)
        if held_out(exercise.expression) and exercise.expression not in found:
            found[exercise.expression] = _problem(exercise, difficulty, rng)
    return list(found.values())


def held_out(expression: str) -> bool:
    """Whether the expression is kept for evaluation (one in ten, by its CRC-32)."""
    return crc32(expression.encode()) % 10 == 0


def draw(difficulty: Difficulty, rng: Random) -> Exercise:
    """One random exercise, held out or not."""
    makers, weights = zip(*FAMILIES[difficulty], strict=True)
    maker: Maker = rng.choices(makers, weights)[0]
    return maker(rng)


def terms(expression: str) -> list[tuple[str, tuple[int, ...]]]:
    """`47+38*2` as [("+", (47,)), ("+", (38, 2))]: a sign and the one or two factors of a term."""
    found = re.findall(r"([+-]?)([\d*]+)", expression)
    return [(sign or "+", tuple(map(int, body.split("*")))) for sign, body in found]


def totals(expression: str) -> Iterator[int]:
    """The running totals from left to right, products taken first; the last one is the value."""
    total = 0
    for sign, factors in terms(expression):
        value = factors[0] * (factors[1] if len(factors) == 2 else 1)
        total += value if sign == "+" else -value
        yield total


def value(expression: str) -> int:
    """The value of an expression."""
    return list(totals(expression))[-1]


def _problem(exercise: Exercise, difficulty: Difficulty, rng: Random) -> Problem:
    expression = exercise.expression
    return Problem(
        id=f"{difficulty}-{crc32(expression.encode()):08x}",
        question=exercise.story or plain(expression, rng),
        answer=str(value(expression)),
        difficulty=difficulty,
        expression=expression,
    )


def _number(digits: int, rng: Random) -> int:
    return rng.randint(2, 9) if digits == 1 else rng.randint(10 ** (digits - 1), 10**digits - 1)


def _settled(make: Callable[[], str]) -> str:
    """The first expression from `make` with no running total below zero."""
    while min(totals(expression := make())) < 0:
        pass
    return expression


def _chain(counts: tuple[int, ...], digits: tuple[int, ...]) -> Maker:
    """Sums and differences of one of `counts` numbers, each with one of `digits` digits."""

    def make(rng: Random) -> Exercise:
        def attempt() -> str:
            numbers = [_number(rng.choice(digits), rng) for _ in range(rng.choice(counts))]
            return "".join(f"{rng.choice('+-')}{number}" for number in numbers).lstrip("+-")

        return Exercise(_settled(attempt))

    return make


def _shaped(*shapes: str) -> Maker:
    """Expressions from shapes such as `22*1+3`, in which a digit n stands for an n-digit number."""

    def make(rng: Random) -> Exercise:
        def attempt() -> str:
            shape = rng.choice(shapes)
            return re.sub(r"\d", lambda match: str(_number(int(match.group()), rng)), shape)

        return Exercise(_settled(attempt))

    return make


def _told(*shapes: str) -> Maker:
    """Word problems from shapes such as `2*1+2`, in which a digit n is an n-digit number."""
    plot = {re.sub(r"[abc]", "#", key): key for key in STORIES}

    def make(rng: Random) -> Exercise:
        exercise = _shaped(*shapes)(rng)
        numbers = tuple(map(int, re.findall(r"\d+", exercise.expression)))
        key = plot[re.sub(r"\d+", "#", exercise.expression)]
        return Exercise(exercise.expression, story(key, numbers, rng))

    return make


FAMILIES: Mapping[Difficulty, tuple[tuple[Maker, int], ...]] = MappingProxyType(
    {
        "easy": (
            (_chain((2, 3), (1,)), 3),
            (_shaped("2+1", "2-1", "1+2"), 3),
            (_chain((2, 3), (2,)), 8),
            (_shaped("3+2", "3-2", "3+3", "3-3"), 2),
            (_told("2+1", "2+2", "2-1", "2-2"), 4),
        ),
        "medium": (
            (_chain((4,), (1,)), 1),
            (_shaped("1*1+1", "1*1-1", "1+1*1"), 1),
            (_chain((3, 4), (1, 2, 2, 3)), 8),
            (_shaped("2*1+2", "2*1-2", "2+2*1", "2*1+2-2", "3-2*1", "1*2+2"), 6),
            (_told("2+2-2", "2-2+2", "1*2+2", "2*1-1", "2*1", "3-2+2"), 4),
        ),
        "hard": (
            (_chain((4, 5), (2, 2, 3)), 7),
            (_shaped("2*2"), 4),
            (_shaped("2*2+2", "2*2-3", "3+2*2", "2*2+3-2"), 3),
            (_shaped("2*1+2*1", "2*1-2*1", "2*1+2*1-2", "1*2+2-2*1"), 3),
            (_told("2*2", "2*2+2", "2*2-2", "2*2+3"), 3),
        ),
    }
)
