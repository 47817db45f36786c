"""Random training documents as padded tensors, the same for the same seed and step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from tokenizers import Tokenizer
from torch import Tensor

from workbench.models.demo.documents import document

IGNORED = -100  # the label of a position that is read but not learned


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs and labels, both (rows, positions); labels are the next ids, or IGNORED."""

    inputs: Tensor
    labels: Tensor


def batches(tokenizer: Tokenizer, seed: int, step: int, documents: int, parts: int) -> list[Batch]:
    """The documents of one step, sorted by length and cut into `parts` of about equal size."""
    rng = Random(f"{seed}/{step}")
    rows = sorted((_row(tokenizer, rng) for _ in range(documents)), key=lambda row: len(row[0]))
    return [_padded(part) for part in _cut(rows, parts)]


def _row(tokenizer: Tokenizer, rng: Random) -> tuple[list[int], list[int]]:
    made = document(rng)
    read = tokenizer.encode(made.prompt, add_special_tokens=False).ids
    learned = tokenizer.encode(made.completion, add_special_tokens=False).ids
    ids = read + learned
    return ids[:-1], [IGNORED] * (len(read) - 1) + learned


def _cut(
    rows: list[tuple[list[int], list[int]]], parts: int
) -> Iterator[list[tuple[list[int], list[int]]]]:
    """Consecutive groups with about the same number of tokens."""
    total = sum(len(ids) for ids, _ in rows)
    group: list[tuple[list[int], list[int]]] = []
    seen, cuts = 0, 1
    for row in rows:
        group.append(row)
        seen += len(row[0])
        if seen * parts >= cuts * total:
            yield group
            group, cuts = [], cuts + 1
    if group:
        yield group


def _padded(rows: list[tuple[list[int], list[int]]]) -> Batch:
    """Right-padded; attention is causal, so no position that is learned sees the padding."""
    width = max(len(ids) for ids, _ in rows)
    inputs = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED)
    for index, (ids, wanted) in enumerate(rows):
        inputs[index, : len(ids)] = torch.tensor(ids)
        labels[index, : len(wanted)] = torch.tensor(wanted)
    return Batch(inputs, labels)
