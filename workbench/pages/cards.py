"""One generation as a card: its badges, its thinking, its answer, cut to what a page can hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Literal

from workbench import metrics, thinking
from workbench.pages.numbers import count, seconds
from workbench.printable import one_line
from workbench.records import Failed, Generation, Score

Kind = Literal["good", "bad", "warn", "plain"]

_UNUSUAL: Mapping[str, str] = MappingProxyType(
    {
        "incomplete": "thinking never closed",
        "leaked": "thinking though it was off",
        "orphan_close": "closing tag that nothing opened",
        "reopened": "thinking opened again",
        "preamble": "text before the thinking",
        "empty_thinking": "empty thinking",
        "forced_close": "thinking closed at its budget",
    }
)
_SIGNS: Mapping[Kind, str] = MappingProxyType({"good": "✓", "bad": "✗", "warn": "!", "plain": "·"})


@dataclass(frozen=True, slots=True)
class Badge:
    """A fact in a word or two."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of a generation."""

    verdict: Kind  # good: right, bad: wrong, warn: failed or cancelled, plain: not graded
    badges: tuple[Badge, ...]
    thinking_title: str
    thinking: str
    answer: str
    no_answer: str  # said in place of an empty answer

    @property
    def sign(self) -> str:
        return _SIGNS[self.verdict]


def card(
    generation: Generation, score: Score | None, longest: int, *, judged: bool = False
) -> Card:
    """The card of a generation.

    Args:
        generation: Also one that failed, or is still going on.
        score: ``None``: it was not graded.
        longest: Characters of each text that are shown.
        judged: The score is a judge's rating, from 1 to 10.
    """
    row = metrics.measure(generation)
    spent = count(row["thinking_tokens"], "token")
    return Card(
        verdict=_verdict(generation, None if judged else score),
        badges=tuple(_badges(generation, score, row, judged)),
        thinking_title=f"Thinking · {spent}",
        thinking=shortened(generation.thinking, longest),
        answer=shortened(generation.answer, longest),
        no_answer=_why_no_answer(generation),
    )


def shortened(text: str, longest: int) -> str:
    """The text, or its beginning and its end with what was left out counted between them."""
    if len(text) <= longest:
        return text
    head, tail = longest * 3 // 4, longest // 4
    left_out = len(text) - head - tail
    return f"{text[:head]}\n\n[… {left_out:,} characters left out …]\n\n{text[-tail:]}"


def _verdict(generation: Generation, score: Score | None) -> Kind:
    if not generation.ok:
        return "warn"
    if score is None or score.value is None:
        return "plain"
    return "good" if score.value > 0.5 else "bad"


def _badges(
    generation: Generation, score: Score | None, row: Mapping[str, float | None], judged: bool
) -> Iterator[Badge]:
    if generation.ok and score is not None and score.value is not None:
        yield _rated(score) if judged else _graded(score)
    yield from _ending(generation)
    for name, is_so in asdict(thinking.flags(generation)).items():
        if is_so:
            yield Badge("warn", _UNUSUAL.get(name, name))
    told = (
        count(row["output_tokens"], "token"),
        seconds(row["request_latency"]),
        _first(seconds(row["time_to_first_token"])),
    )
    yield from (Badge("plain", text) for text in told if text is not None)


def _graded(score: Score) -> Badge:
    if score.value is not None and score.value > 0.5:
        return Badge("good", "✓ correct")
    if score.extracted is None:
        return Badge("bad", f"✗ wrong: {score.reason}")
    return Badge("bad", f"✗ wrong: {one_line(score.extracted, 40)}")


def _rated(score: Score) -> Badge:
    """With its judge, and whether that is the model itself: a rating says nothing without."""
    parts = score.by.split("; ")
    by = ", ".join(part for part in parts if part in (parts[0], "self-judging"))
    return Badge("plain", f"rated {score.value:g} of 10 by {one_line(by, 80)}")


def _ending(generation: Generation) -> Iterator[Badge]:
    reason = generation.finish_reason
    if reason == "length":
        yield Badge("warn", "cut off at its length")
    elif reason is None:
        yield Badge("warn", "not ended")
    elif reason != "stop":
        yield Badge("warn", reason)


def _why_no_answer(generation: Generation) -> str:
    if isinstance(generation.end, Failed):
        return f"{generation.end.error} {generation.end.remedy}"
    return "no answer after the thinking" if generation.thinking else "nothing was written"


def _first(value: str | None) -> str | None:
    return None if value is None else f"first token after {value}"
