"""Made-up questions in GPQA's columns, to try everything that private problems go through."""

from __future__ import annotations

import csv
import random
from pathlib import Path

_HEADS = (
    "Record ID",
    "Question",
    "Correct Answer",
    "Incorrect Answer 1",
    "Incorrect Answer 2",
    "Incorrect Answer 3",
    "High-level domain",
    "Subdomain",
)
_DOMAINS = (("Physics", "Mechanics"), ("Chemistry", "Amounts"), ("Biology", "Counting"))


def write(path: Path, count: int = 198, seed: int = 0) -> Path:
    """A CSV file of so many questions; the same for the same seed.

    Options hold brackets, commas, quotes and line breaks, as the real ones do, which
    clean-ups of other harnesses destroy.
    """
    source = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, _HEADS)
        table.writeheader()
        table.writerows(_row(number, source) for number in range(count))
    return path


def _row(number: int, source: random.Random) -> dict[str, str]:
    domain, subdomain = _DOMAINS[number % len(_DOMAINS)]
    left, right = source.randint(11, 89), source.randint(11, 89)
    results = [left + right, left - right, left * right, left + right + 10]
    options = [_option(number, value) for value in results]
    return dict(
        zip(
            _HEADS,
            (
                f"synthetic-{number + 1}",
                f'Made-up question {number + 1}: what is {left} + {right},\nin "units" of {{1}}?',
                *options,
                domain,
                subdomain,
            ),
            strict=True,
        )
    )


def _option(number: int, value: int) -> str:
    """Three ways of writing, each with something that must survive."""
    forms = (f"{value} [ (T_1-T_2)/(T1*T2)]", f'{value}, "exactly"', f"{value}\n  (on two lines)")
    return forms[number % len(forms)]
