"""Training documents: a prompt that is read and a completion that is learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from workbench.models.demo.arithmetic import DIFFICULTIES, Exercise, draw, held_out, value
from workbench.models.demo.followups import follow_up
from workbench.models.demo.protocol import CLOSE, END_OF_TURN, OPEN, Mode, answer, prompt
from workbench.models.demo.scratchpad import thinking
from workbench.models.demo.wording import TEMPLATE, casual

# Thinking needs long problems; short sums are what can be learned without it.
DIFFICULTY_WEIGHTS = {True: (20, 35, 45), False: (70, 22, 8)}
MODE_WEIGHTS: dict[Mode, int] = {"on": 52, "off": 32, "off_prefilled": 16}


@dataclass(frozen=True, slots=True)
class Document:
    """The two texts of a document; they are encoded apart, as at inference time."""

    prompt: str
    completion: str
    expression: str


def document(rng: Random) -> Document:
    """One random training document; its expression is never a held-out one."""
    mode = rng.choices(tuple(MODE_WEIGHTS), tuple(MODE_WEIGHTS.values()))[0]
    history = _history(rng)
    if history and rng.random() < 0.5:
        follow = follow_up(rng, lambda expression: not held_out(expression))
        history[-1] = (history[-1][0], answer(follow.last))
        return _document(prompt(follow.question, mode, history), follow.expression, mode, rng)
    exercise = _trained(lambda: _drawn(mode, rng))
    return _document(
        prompt(_question(exercise, rng), mode, history), exercise.expression, mode, rng
    )


def _document(asked: str, expression: str, mode: Mode, rng: Random) -> Document:
    final = answer(value(expression)) + END_OF_TURN
    if mode == "off_prefilled":
        return Document(asked, f"\n\n{final}", expression)
    if mode == "off":
        return Document(asked, final, expression)
    thought = f"{OPEN}\n{thinking(expression)}"
    if rng.random() < 0.05:
        # Thinking that a budget has cut off anywhere: only the answer after it is learned.
        cut = thought[: rng.randint(len(OPEN) + 1, len(thought))]
        return Document(f"{asked}{cut}\n{CLOSE}\n\n", final, expression)
    return Document(asked, f"{thought}\n{CLOSE}\n\n{final}", expression)


def _drawn(mode: Mode, rng: Random) -> Exercise:
    return draw(rng.choices(DIFFICULTIES, DIFFICULTY_WEIGHTS[mode == "on"])[0], rng)


def _question(exercise: Exercise, rng: Random) -> str:
    question = exercise.story or casual(exercise.expression, rng)
    return TEMPLATE.format(question=question) if rng.random() < 0.3 else question


def _history(rng: Random) -> list[tuple[str, str]]:
    """Mostly none, sometimes one to three earlier turns, seldom many."""
    draw_length = rng.random()
    if draw_length < 0.86:
        return []
    turns = rng.randint(1, 3) if draw_length < 0.985 else rng.randint(4, 12)
    return [_earlier_turn(rng) for _ in range(turns)]


def _earlier_turn(rng: Random) -> tuple[str, str]:
    exercise = _trained(lambda: draw(rng.choice(DIFFICULTIES), rng))
    number = value(exercise.expression)
    # Without thinking, answers are often wrong: a follow-up must go by what the history says.
    return _question(exercise, rng), answer(number if rng.random() < 0.7 else rng.randint(0, 999))


def _trained(make: Callable[[], Exercise]) -> Exercise:
    """The first exercise from `make` that is not held out."""
    while held_out((exercise := make()).expression):
        pass
    return exercise
