"""Training documents as padded tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from workbench.models.demo.documents import Document

IGNORED = -100  # the label of a position that is read but not learned


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs and labels, both (rows, positions); labels are the next ids, or IGNORED."""

    inputs: Tensor
    labels: Tensor


def batches(tokenizer: Tokenizer, made: Iterable[Document], parts: int) -> list[Batch]:
    """The documents of one step, sorted by length and cut into `parts` of about equal size."""
    rows = sorted((_row(tokenizer, document) for document in made), key=lambda row: len(row[0]))
    return [_padded(part) for part in _cut(rows, parts)]


def _row(tokenizer: Tokenizer, document: Document) -> tuple[list[int], list[int]]:
    read = tokenizer.encode(document.prompt, add_special_tokens=False).ids
    learned = tokenizer.encode(document.completion, add_special_tokens=False).ids
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
