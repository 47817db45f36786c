"""Measures the embedded model: `python -m workbench.models.demo.evaluate [--limit N] [--json]`.

Every figure of the model card comes from here, on held-out problems only. `figures.json` beside the
card is the output with `--json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import torch

from workbench.models.demo.arithmetic import DIFFICULTIES, held_out, problems, value
from workbench.models.demo.decoding import Decoder, Law
from workbench.models.demo.followups import follow_up
from workbench.models.demo.protocol import MODES, answer
from workbench.models.demo.scoring import Condition, Item, item, measure
from workbench.models.demo.wording import TEMPLATE

FOLDER = Path(__file__).parent
PER_DIFFICULTY = 200
GREEDY = Law()
LAWS = (GREEDY, Law(0.6, 0.95), Law(1.0, 1.0), Law(1.5, 1.0))
BUDGETS = (16, 32, 64, 96, 128)
CONDITIONS = (
    *(Condition("plain", mode, law) for mode in MODES for law in LAWS),
    *(Condition("template", mode, GREEDY) for mode in MODES),
    *(Condition("follow-up", mode, GREEDY) for mode in MODES),
    *(Condition("plain", "on", GREEDY, budget) for budget in BUDGETS),
)


def report(folder: Path, count: int) -> dict[str, Any]:
    """All figures of the card, with the SHA-256 of the weights that they belong to."""
    decoder = Decoder(folder)
    items = {"plain": suite(count), "template": templated(count), "follow-up": follow_ups(count)}
    rows = [(made, measure(decoder, items[made.asked], made)) for made in CONDITIONS]
    weights = (folder / "model.safetensors").read_bytes()
    return {
        "weights_sha256": sha256(weights).hexdigest(),
        "weights_bytes": len(weights),
        "per_difficulty": count,
        "figures": [{**asdict(made), **asdict(figures)} for made, figures in rows],
    }


def suite(count: int) -> list[Item]:
    """`count` problems of each difficulty."""
    return [item(problem) for level in DIFFICULTIES for problem in problems(level, count)]


def templated(count: int) -> list[Item]:
    """The same problems in the mathematics template of the real model's card."""
    return [
        Item(TEMPLATE.format(question=it.question), it.answer, it.difficulty) for it in suite(count)
    ]


def follow_ups(count: int, seed: int = 0) -> list[Item]:
    """`count` second turns such as `Now add 15 to that.` after a sum and its right answer."""
    rng = Random(f"follow-ups/{seed}")
    return [_follow_up(rng) for _ in range(count)]


def _follow_up(rng: Random) -> Item:
    while not held_out((follow := follow_up(rng, bool)).expression):
        pass
    part = rng.randint(1, follow.last - 1)
    first = (f"What is {follow.last - part} + {part}?", answer(follow.last))
    return Item(follow.question, str(value(follow.expression)), "follow-up", (first,))


def table(figures: Sequence[dict[str, Any]]) -> str:
    """The figures as the Markdown table of the card."""
    head = "asked | mode | temperature | top-p | overall | easy | medium | hard | mean tokens"
    rows = [head, " | ".join("---" for _ in head.split("|")), *map(_row, figures)]
    return "\n".join(f"| {row} |" for row in rows)


def _row(row: dict[str, Any]) -> str:
    budget = "" if row["budget"] is None else f", closed at {row['budget']}"
    shares = [_percent(row[key]) for key in ("accuracy", *DIFFICULTIES)]
    law = row["law"]
    cells = [row["asked"], row["mode"] + budget, law["temperature"], law["top_p"], *shares]
    return " | ".join([*map(str, cells), f"{row['mean_tokens']:.0f}"])


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def main() -> None:
    """Read the command line and print a table or JSON."""
    parser = argparse.ArgumentParser(description="Measure the embedded model.")
    parser.add_argument("--limit", type=int, default=PER_DIFFICULTY, help="problems a difficulty")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the model folder")
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    made = report(options.folder, options.limit)
    print(json.dumps(made, indent=2) if options.json else table(made["figures"]))


if __name__ == "__main__":
    main()
