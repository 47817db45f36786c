"""The same work for every side: a model that never stops by itself, and prompts to go on from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.errors import EngineError, ModelError
from workbench.models.catalogue import locate
from workbench.models.config import read_json
from workbench.models.tokenizer import Tokenizer
from workbench.records import Message, Mode, Request, Sampling

# Control tokens that no answer holds, best first: one of them stands in for the end of a turn.
_UNUSED = ("<|reserved_special_token_247|>", "<|reserved_special_token_0|>", "<|python_tag|>")
_CONFIGS = ("config.json", "generation_config.json")


@contextmanager
def endless(model: str) -> Iterator[Path]:
    """A copy of a model folder (its weights linked) whose greedy answers do not end by themselves.

    Both sides of a comparison then generate exactly as many tokens as they are asked for.
    """
    folder = locate(model).resolve()
    tokenizer = Tokenizer.from_folder(folder)
    ids = [i for name in _UNUSED if (i := tokenizer.control_id(name)) is not None]
    if not ids:
        raise ModelError(
            f"{folder} has no control token to spare for a benchmark.",
            remedy=f"Use a model of the Llama 3 family, which has {_UNUSED[0]}.",
        )
    with TemporaryDirectory() as made:
        for file in folder.iterdir():
            if file.is_file() and file.name not in _CONFIGS:
                (Path(made) / file.name).symlink_to(file)
        for name in _CONFIGS:
            settings = read_json(folder / name) if (folder / name).is_file() else {}
            (Path(made) / name).write_text(
                json.dumps(settings | {"eos_token_id": ids[:1]}), encoding="utf-8"
            )
        yield Path(made)


@dataclass(slots=True)
class Prompts:
    """Requests that differ from one another, so that no cache of prompts helps either side."""

    tokens: int  # each generates so many
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def take(self, requests: int, *, logprobs: bool = False) -> list[Request]:
        """The next requests, greedy."""
        sampling = Sampling(max_tokens=self.tokens)
        return [
            Request((Message("user", _question(n)),), Mode.ON, sampling, logprobs=logprobs)
            for n in (next(self._numbers) for _ in range(requests))
        ]


def check_count(generated: int, expected: int) -> None:
    """Refuse a figure that rests on unequal work.

    Raises:
        EngineError: Fewer or more tokens came than were asked for.
    """
    if generated != expected:
        raise EngineError(
            f"A benchmark asked for {expected:,} tokens and got {generated:,}.",
            remedy="This model ends its answers by itself: measure with another one.",
        )


def _question(number: int) -> str:
    return f"What is {number * 37 + 11} + {number * 91 + 5} - {number % 13 + 2}?"
