"""Questions that refer to the answer before them: `Now add 15 to that.`"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

FOLLOW_UPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "+": ("Now add {} to that.", "Add {}.", "And plus {}?", "What if you add {} more?"),
        "-": ("Now subtract {} from that.", "Subtract {}.", "And minus {}?", "Take away {}."),
        "*": ("Now multiply that by {}.", "Multiply it by {}.", "And times {}?"),
    }
)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """An earlier answer, the question about it, and the two as one expression."""

    last: int
    question: str
    expression: str


def follow_up(rng: Random, accept: Callable[[str], bool]) -> FollowUp:
    """A random follow-up whose expression `accept` takes."""
    last = rng.randint(2, rng.choice((99, 999, 999, 9999)))
    sign = rng.choice("+-*" if last < 1000 else "+-")
    while not accept(f"{last}{sign}{(operand := _operand(sign, last, rng))}"):
        pass
    question = rng.choice(FOLLOW_UPS[sign]).format(operand)
    return FollowUp(last, question, f"{last}{sign}{operand}")


def _operand(sign: str, last: int, rng: Random) -> int:
    if sign == "*":
        return rng.randint(2, 9)
    return rng.randint(1, min(last, 99) if sign == "-" else 99)
