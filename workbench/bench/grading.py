"""Grading: ten thousand answers by the process that is kept, beside a new process for each."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any

from workbench.bench.figures import Figure, Goal, Side, compared
from workbench.evaluation.graders import maths
from workbench.evaluation.graders.worker import Checker
from workbench.evaluation.grading import grade
from workbench.records import (
    Channel,
    Chunk,
    EngineSpec,
    Finished,
    Generation,
    Message,
    Problem,
    Request,
    Started,
)

Answer = tuple[Problem, Generation]

GRADINGS = 10_000
GOAL = 60.0  # seconds for so many
_SAMPLES = 16  # answers to a problem, as the model card has them
_EACH = 3  # answers of a round in which each has a process of its own
_ROUNDS = 3


def grading(
    count: int = GRADINGS, rounds: int = _ROUNDS
) -> Iterator[Figure | list[dict[str, Any]]]:
    """Seconds for so many answers as of a run and all for math-verify; then both processes' ratio.

    A run's answers are 16 to a problem, and most of them are settled by their text. What all
    go to math-verify are as many as a twentieth, each another one.
    """
    yield [
        {"answers": "as of a run"} | _timed(islice(answers(), count)),
        {"answers": "each for math-verify"} | _timed(islice(hard_answers(), max(1, count // 20))),
    ]
    with closing(Checker()) as warm:
        yield compared(
            "grading",
            "math-verify in a process that is kept, by a new process for each answer",
            "answers/s",
            (_kept(warm, hard_answers(1)), _anew(hard_answers(1))),
            rounds=min(rounds, _ROUNDS),
            goal=Goal("at least", 10),
        )


def answers(seed: int = 0) -> Iterator[Answer]:
    """Answers as a run has them, without end: three of four right and written like the gold.

    Of the rest two thirds are wrong and one third is written in another way. Six gold answers
    of ten are whole numbers, as in MATH500.
    """
    draw = random.Random(seed)
    for number in range(10**9):
        gold, again, wrong = _gold(draw, whole=draw.random() < 0.6)
        problem = Problem(f"grading-{number}", "?", gold, grader="math")
        kinds = draw.choices((gold, again, wrong), (9, 1, 2), k=_SAMPLES)
        yield from ((problem, _generation(kind)) for kind in kinds)


def hard_answers(seed: int = 0) -> Iterator[Answer]:
    """Answers that their text does not settle, without end, half of them wrong."""
    draw = random.Random(seed)
    for number in range(10**9):
        gold, again, wrong = _gold(draw, whole=False)
        problem = Problem(f"grading-{number}", "?", gold, grader="math")
        yield problem, _generation(wrong if number % 2 else again)


def _gold(draw: random.Random, *, whole: bool) -> tuple[str, str, str]:
    """A right answer, the same in another way, and a wrong one."""
    a, b, c = (draw.randint(2, 9999) for _ in range(3))
    if whole:
        return str(a), f"{a}.0", str(a + b)
    forms = (
        (rf"\frac{{{a}}}{{{b}}}", rf"\frac{{{a * c}}}{{{b * c}}}", rf"\frac{{{a + 1}}}{{{b}}}"),
        (rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b}}}", rf"{a}\sqrt{{{b + 1}}}"),
        (f"x^2-{a * a}", f"(x-{a})(x+{a})", f"x^2+{a * a}"),
        (f"({a},{b}]", rf"{a} < x \le {b}" if a < b else f"({a}.0,{b}]", f"[{a},{b}]"),
        (rf"{a}+{b}\pi", rf"{b}\pi + {a}", rf"{b}+{a + b}\pi"),
        (f"{a}, {b}, {c}", f"{c}, {a}, {b}", f"{a}, {b}, {c + 1}"),
    )
    return draw.choice(forms)


def _generation(box: str) -> Generation:
    events = (
        Started(0.0, 50),
        Chunk(1.0, (1,), "<think>", Channel.MARKER),
        Chunk(1.1, (2,), "Let me see. So it is \\boxed{0}? No.\n" * 50, Channel.THINKING),
        Chunk(1.2, (3,), "</think>", Channel.MARKER),
        Chunk(1.3, (4,), f"\n\nThe answer is $\\boxed{{{box}}}$.", Channel.ANSWER),
        Finished(2.0, "stop"),
    )
    return Generation(Request((Message("user", "?"),)), EngineSpec(), events)


def _timed(given: Iterable[Answer]) -> dict[str, Any]:
    """Wall-clock and CPU seconds of both processes, and who decided; starting is not counted."""
    made = list(given)
    with closing(Checker()) as checker:
        checker.compare("2", "1+1")
        began, before = time.perf_counter(), _cpu(checker)
        scores = [grade(*answer, i, checker=checker) for i, answer in enumerate(made)]
        seconds, cpu = time.perf_counter() - began, _cpu(checker) - before
    by = Counter(score.by == maths.BY for score in scores)
    return {
        "gradings": len(made),
        "seconds": seconds,
        "goal_seconds": GOAL * len(made) / GRADINGS,
        "cpu_seconds": cpu,
        "load": round(os.getloadavg()[0], 2),
        "by_text": by[True],
        "by_math_verify": by[False],
        "right": sum(score.value == 1.0 for score in scores),
    }


def _cpu(checker: Checker) -> float:
    """Seconds of a processor that this process and the checker's have had."""
    return time.process_time() + checker.cpu_seconds()


def _kept(checker: Checker, given: Iterator[Answer]) -> Side:
    def side() -> float:
        made = list(islice(given, 20 * _EACH))
        began = time.perf_counter()
        for problem, generation in made:
            grade(problem, generation, 0, checker=checker)
        return len(made) / (time.perf_counter() - began)

    return side


def _anew(given: Iterator[Answer]) -> Side:
    def side() -> float:
        made = list(islice(given, _EACH))
        began = time.perf_counter()
        for problem, generation in made:
            with closing(Checker()) as own:
                grade(problem, generation, 0, checker=own)
        return len(made) / (time.perf_counter() - began)

    return side
