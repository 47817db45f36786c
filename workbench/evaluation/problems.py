"""Where problems come from: the embedded arithmetic suite, or plain prompts."""

from __future__ import annotations

from workbench.errors import InvalidInput
from workbench.models.demo import arithmetic
from workbench.records import Problem

MOST = 10_000  # problems of the suite: of the easy ones there are few more than a third of it

DIFFICULTIES: tuple[str, ...] = arithmetic.DIFFICULTIES


def arithmetic_suite(
    count: int = 30, *, seed: int = 0, difficulties: tuple[str, ...] = DIFFICULTIES
) -> tuple[Problem, ...]:
    """Held-out arithmetic problems, the difficulties in turn.

    The embedded model was never trained on any of them, in any wording.

    Args:
        count: How many problems in all.
        seed: Other seeds give other problems; the same seed the same ones.
        difficulties: Some of easy, medium, hard.

    Raises:
        InvalidInput: An unknown difficulty, or none, or not 1 to 10,000 problems.
    """
    unknown = [name for name in difficulties if name not in DIFFICULTIES]
    if unknown or not difficulties:
        raise InvalidInput(
            f"There is no difficulty {', '.join(map(repr, unknown)) or 'given'}.",
            remedy=f"Choose from {', '.join(DIFFICULTIES)}.",
        )
    if count < 1:
        raise InvalidInput(f"{count} problems were asked for.", remedy="Ask for at least one.")
    if count > MOST:
        raise InvalidInput(
            f"{count:,} problems were asked for; the embedded suite has {MOST:,}.",
            remedy=f"Ask for at most {MOST:,}; for more answers, take several samples of each.",
        )
    each = -(-count // len(difficulties))
    columns = [arithmetic.problems(_known(name), each, seed) for name in difficulties]
    mixed = [problem for row in zip(*columns, strict=True) for problem in row]
    return tuple(Problem(p.id, p.question, p.answer, p.difficulty) for p in mixed[:count])


def as_problem(prompt: str | Problem, number: int = 1) -> Problem:
    """A plain prompt as a problem without an answer, named by its place.

    Raises:
        InvalidInput: Neither a prompt nor a problem, or a problem whose parts are not text.
    """
    problem = prompt if isinstance(prompt, Problem) else Problem(f"prompt-{number}", prompt)
    parts = {"id": problem.id, "prompt": problem.prompt, "answer": problem.answer or ""}
    for name, value in parts.items():
        if not isinstance(value, str):
            raise InvalidInput(
                f"The {name} of problem {number} is of type {type(value).__name__}, not text.",
                remedy="Give prompts as text, or workbench.Problem with parts of text.",
            )
    return problem


def _known(name: str) -> arithmetic.Difficulty:
    return next(known for known in arithmetic.DIFFICULTIES if known == name)
