"""Training documents: a prompt that is read and a completion that is learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from workbench.models.demo.arithmetic import DIFFICULTIES, Exercise, draw, held_out, value
from workbench.models.demo.followups import follow_up
from workbench.models.demo.protocol import CLOSE, END_OF_TURN, MODES, OPEN, answer, direct, prompt
from workbench.models.demo.scratchpad import thinking
from workbench.models.demo.wording import TEMPLATE, casual


@dataclass(frozen=True, slots=True)
class Mixture:
    """Weights of the modes (on, off, off_prefilled) and of the difficulties in on and in off.

    Thinking needs long problems; short sums are what can be learned without it.
    """

    modes: tuple[int, int, int]
    on: tuple[int, int, int]
    off: tuple[int, int, int]
    equations: bool  # whether an answer without thinking states its equation first


BARE = Mixture(modes=(52, 32, 16), on=(20, 35, 45), off=(70, 22, 8), equations=False)
EQUATIONS = Mixture(modes=(42, 39, 19), on=(20, 35, 45), off=(80, 16, 4), equations=True)


@dataclass(frozen=True, slots=True)
class Document:
    """The two texts of a document; they are encoded apart, as at inference time."""

    prompt: str
    completion: str
    expression: str


def document(rng: Random, mixture: Mixture = BARE) -> Document:
    """One random training document; its expression is never a held-out one."""
    mode = rng.choices(MODES, mixture.modes)[0]
    levels = mixture.on if mode == "on" else mixture.off
    history = _history(rng, mixture.equations)
    if history and rng.random() < 0.5:
        follow = follow_up(rng, lambda expression: not held_out(expression))
        history[-1] = _leading_to(follow.last, history[-1][0], rng, mixture.equations)
        question, expression = follow.question, follow.expression
    else:
        exercise = _trained(lambda: draw(rng.choices(DIFFICULTIES, levels)[0], rng))
        question, expression = _question(exercise, rng), exercise.expression
    asked = prompt(question, mode, history)
    if mode == "on":
        return _thought(asked, expression, rng)
    number = value(expression)
    given = direct(expression, number) if mixture.equations else answer(number)
    lead = "\n\n" if mode == "off_prefilled" else ""
    return Document(asked, f"{lead}{given}{END_OF_TURN}", expression)


def _thought(asked: str, expression: str, rng: Random) -> Document:
    final = answer(value(expression)) + END_OF_TURN
    thought = f"{OPEN}\n{thinking(expression)}"
    if rng.random() < 0.05:
        # Thinking that a budget has cut off anywhere: only the answer after it is learned.
        cut = thought[: rng.randint(len(OPEN) + 1, len(thought))]
        return Document(f"{asked}{cut}\n{CLOSE}\n\n", final, expression)
    return Document(asked, f"{thought}\n{CLOSE}\n\n{final}", expression)


def _question(exercise: Exercise, rng: Random) -> str:
    question = exercise.story or casual(exercise.expression, rng)
    return TEMPLATE.format(question=question) if rng.random() < 0.3 else question


def _history(rng: Random, equations: bool) -> list[tuple[str, str]]:
    """Mostly none, sometimes one to three earlier turns, seldom many."""
    draw_length = rng.random()
    if draw_length < 0.86:
        return []
    turns = rng.randint(1, 3) if draw_length < 0.985 else rng.randint(4, 12)
    return [_earlier_turn(rng, equations) for _ in range(turns)]


def _earlier_turn(rng: Random, equations: bool) -> tuple[str, str]:
    exercise = _trained(lambda: draw(rng.choice(DIFFICULTIES), rng))
    number = value(exercise.expression)
    # Without thinking, answers are often wrong: a follow-up must go by what the history says.
    question = _question(exercise, rng)
    given = number if rng.random() < 0.7 else rng.randint(0, 999)
    if equations and rng.random() < 0.5:
        return question, direct(exercise.expression, given)
    return question, answer(given)


def _leading_to(number: int, asked: str, rng: Random, equations: bool) -> tuple[str, str]:
    """An earlier turn that ends in `number`, with an equation or (whatever was asked) without."""
    if not equations or rng.random() < 0.5:
        return asked, answer(number)
    parts = _trained(lambda: Exercise(f"{number - (part := rng.randint(0, number))}+{part}"))
    return casual(parts.expression, rng), direct(parts.expression, number)


def _trained(make: Callable[[], Exercise]) -> Exercise:
    """The first exercise from `make` that is not held out."""
    while held_out((exercise := make()).expression):
        pass
    return exercise
