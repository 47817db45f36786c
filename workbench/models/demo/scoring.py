"""Asks the model a list of questions and sums up how it did."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.models.demo.arithmetic import DIFFICULTIES, Problem
from workbench.models.demo.decoding import Decoder, Law
from workbench.models.demo.protocol import CLOSE, OPEN, Mode, prompt

LIMIT = 400  # new tokens; the longest worked solution of the suite has about 290


@dataclass(frozen=True, slots=True)
class Item:
    """One question as it is put to the model."""

    question: str
    answer: str
    difficulty: str
    history: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """How a row of figures was made: what was asked, in which mode, under which law."""

    asked: str  # "plain", "template" or "follow-up"
    mode: Mode
    law: Law
    budget: int | None = None  # thinking tokens after which `</think>` is forced


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares lie between 0 and 1, None where there was nothing to count; lengths are in tokens."""

    accuracy: float
    easy: float | None
    medium: float | None
    hard: float | None
    opened: float  # outputs that contain `<think>`
    closed: float | None  # of these, the ones that also close it
    ended: float  # outputs that came to a stop token
    mean_thinking: float
    mean_tokens: float
    problems: int


def item(problem: Problem) -> Item:
    """A problem of the suite, asked as it stands."""
    return Item(problem.question, problem.answer, problem.difficulty)


def extracted(text: str) -> str | None:
    """The last boxed answer outside the thinking; None without one or if thinking never ended."""
    if OPEN in text and CLOSE not in text:
        return None
    boxes: list[str] = re.findall(r"\\boxed\{([^{}]*)\}", text.rpartition(CLOSE)[2])
    return boxes[-1] if boxes else None


def measure(decoder: Decoder, items: Sequence[Item], condition: Condition) -> Figures:
    """Ask every item once."""
    made = _complete(decoder, items, condition)
    texts = [decoder.text(ids) for ids in made]
    right = [extracted(text) == it.answer for text, it in zip(texts, items, strict=True)]
    by_level = {
        level: _mean([r for r, it in zip(right, items, strict=True) if it.difficulty == level])
        for level in DIFFICULTIES
    }
    return Figures(
        accuracy=_share(right),
        **by_level,
        opened=_share([OPEN in text for text in texts]),
        closed=_mean([CLOSE in text for text in texts if OPEN in text]),
        ended=_share([ids[-1] in decoder.stops for ids in made]),
        mean_thinking=_share([_thinking_tokens(decoder, text) for text in texts]),
        mean_tokens=_share([len(ids) for ids in made]),
        problems=len(items),
    )


def _complete(decoder: Decoder, items: Sequence[Item], condition: Condition) -> list[list[int]]:
    prompts = [prompt(it.question, condition.mode, it.history) for it in items]
    if condition.budget is None:
        return decoder.complete(prompts, condition.law, limit=LIMIT)
    return _forced(decoder, prompts, condition.law, condition.budget)


def _forced(decoder: Decoder, prompts: list[str], law: Law, budget: int) -> list[list[int]]:
    """Let each prompt think for at most `budget` tokens, then close the thinking and go on."""
    begun = decoder.complete(prompts, law, limit=budget)
    thoughts = [decoder.text(ids).partition(CLOSE)[0].rstrip("\n") for ids in begun]
    closed = [f"{thought}\n{CLOSE}\n\n" for thought in thoughts]
    ended = decoder.complete([p + c for p, c in zip(prompts, closed, strict=True)], law, limit=64)
    return [decoder.ids(c) + ids for c, ids in zip(closed, ended, strict=True)]


def _thinking_tokens(decoder: Decoder, text: str) -> int:
    """Tokens between the tags, without them; 0 where there is no thinking."""
    return len(decoder.ids(text.partition(OPEN)[2].partition(CLOSE)[0].strip("\n")))


def _mean(values: Sequence[float]) -> float | None:
    return _share(values) if values else None


def _share(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)
