"""How an expression is put into words: spellings, phrasings and small stories."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from types import MappingProxyType

TEMPLATE = (
    "Below is a math question. I want you to reason through the steps and then give a final "
    "answer. Your final answer should be in \\boxed{{}}.\nQuestion: {question}"
)

PLAIN = ("What is {}?", "Compute {}.", "Calculate {}.")

CASUAL = (
    "{}",
    "{} =",
    "{} = ?",
    "What's {}?",
    "what is {}",
    "How much is {}?",
    "Evaluate {}.",
    "Solve {}",
    "Please compute {}.",
    "Can you work out {}?",
    "Find the value of {}.",
)

STORIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "a+b": (
            "{name} has {a} {things} and gets {b} more. How many {things} does {name} have now?",
            "There are {a} {things} on one shelf and {b} on another. How many {things} are there?",
            "{name} collects {a} {things} on Monday and {b} on Tuesday. How many {things} is that?",
        ),
        "a-b": (
            "{name} has {a} {things} and gives away {b}. How many {things} are left?",
            "A shop has {a} {things} and sells {b} of them. How many {things} remain?",
        ),
        "a+b-c": (
            "{name} has {a} {things}, buys {b} more and gives away {c}. "
            "How many {things} does {name} have now?",
            "A shop has {a} {things}. It receives {b} and sells {c}. How many {things} remain?",
        ),
        "a-b+c": (
            "{name} has {a} {things}, loses {b} and then finds {c}. "
            "How many {things} does {name} have now?",
            "A shop has {a} {things}. It sells {b} and receives {c}. How many {things} remain?",
        ),
        "a*b": (
            "There are {a} boxes with {b} {things} in each. How many {things} are there in total?",
            "{name} buys {a} packs of {b} {things}. How many {things} does {name} have?",
        ),
        "a*b+c": (
            "{name} buys {a} packs of {b} {things} and finds {c} more. "
            "How many {things} does {name} have?",
            "There are {a} boxes with {b} {things} in each, and {c} loose {things}. "
            "How many {things} are there in total?",
        ),
        "a*b-c": (
            "{name} buys {a} packs of {b} {things} and gives away {c}. How many {things} are left?",
            "A shop gets {a} boxes with {b} {things} in each and sells {c} {things}. "
            "How many {things} remain?",
        ),
    }
)

NAMES = ("Ada", "Ben", "Clara", "David", "Emma", "Hugo", "Ines", "Leo", "Mia", "Noah", "Tom")
THINGS = ("apples", "books", "cards", "coins", "eggs", "marbles", "pencils", "shells", "stamps")


def spaced(expression: str, times: str = "×") -> str:
    """Write `47+38*2` the way a person would: `47 + 38 × 2`."""
    return re.sub(r"[+*-]", lambda match: f" {match.group()} ", expression).replace("*", times)


def plain(expression: str, rng: Random) -> str:
    """One of the neutral phrasings that the problem suite uses."""
    return rng.choice(PLAIN).format(spaced(expression))


def spelling(expression: str, rng: Random) -> str:
    """One of the ways to type an expression, from `47+38*2` to `$47 + 38 \\times 2$`."""
    style = rng.randrange(10)
    if style == 0:
        return f"${spaced(expression, chr(92) + 'times')}$"
    times = rng.choice("××*x")
    return expression.replace("*", times) if style <= 3 else spaced(expression, times)


def casual(expression: str, rng: Random) -> str:
    """Any phrasing, neutral or not, with any spelling."""
    return rng.choice(PLAIN * 3 + CASUAL).format(spelling(expression, rng))


def story(shape: str, numbers: tuple[int, ...], rng: Random) -> str:
    """A word problem of `shape` (a key of STORIES), its letters filled with `numbers` in order."""
    values = dict(zip("abc", numbers, strict=False))
    names = {"name": rng.choice(NAMES), "things": rng.choice(THINGS)}
    return rng.choice(STORIES[shape]).format(**values, **names)
