"""Speculation: which ids may come next, proposed cheaply, to be verified in one forward pass.

Two ways, both of any number of requests together:

- ``ngram``: what followed the last place where the text's newest ids stood before (prompt
  lookup decoding); costs nothing, and pays where answers repeat what they read;
- a draft model: a smaller one with the same tokenizer, which draws from its own logits by
  the same law and the same uniform numbers as the model will, so that the two agree more
  often than by chance also at temperatures above 0.

Proposals change what is computed, never what comes out: a proposed id stays only where the
model's own draw is the same id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

LONGEST = 4  # ids that a place is recognised by, at most
SHORTEST = 2  # one id alone recognises too many


class Drafter(Protocol):
    """Proposes ids for jobs of the generator."""

    def propose(self, jobs: Sequence[Any], most: Sequence[int]) -> list[list[int]]:
        """Up to ``most`` ids a job, possibly none.

        Called once before every decode iteration, for all jobs that take part in it.
        """


class Lookup:
    """Where the newest ids of one text stood before."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._behind: dict[tuple[int, ...], int] = {}  # where the latest such ids end

    def read(self, ids: Sequence[int]) -> None:
        """Take note of the text's next ids; what ends with the last one is not noted yet.

        So the newest ids are never found at their own place.
        """
        for token in ids:
            end = len(self._ids)
            for size in range(SHORTEST, min(LONGEST, end) + 1):
                self._behind[tuple(self._ids[end - size :])] = end
            self._ids.append(token)

    @property
    def length(self) -> int:
        """Ids read."""
        return len(self._ids)

    def propose(self, most: int) -> list[int]:
        """What followed the longest of the newest ids that stood somewhere before."""
        for size in range(min(LONGEST, len(self._ids)), SHORTEST - 1, -1):
            place = self._behind.get(tuple(self._ids[-size:]))
            if place is not None:
                return self._ids[place : place + most]
        return []


class NgramDrafter:
    """Looks in each request's own prompt and answer."""

    def propose(self, jobs: Sequence[Any], most: Sequence[int]) -> list[list[int]]:
        """See ``Drafter.propose``."""
        return [_looked_up(job, count) for job, count in zip(jobs, most, strict=True)]


def _looked_up(job: Any, most: int) -> list[int]:
    if job.lookup is None:
        job.lookup = Lookup()
    ids = job.sequences[0].sequence_ids
    new = ids.torch_slice(job.lookup.length, None)[0].tolist()
    job.lookup.read(new)
    return job.lookup.propose(most) if most > 0 else []


Guess = Callable[[Tensor, Sequence[Any], Sequence[tuple[int, ...]]], list[int]]


class ModelDrafter:
    """Asks a smaller model, one forward pass an id, for all requests together.

    Its cache has the pages of the model's own, so it also has their page table, and holds a
    prompt when that holds it: the generator reads prompts with both. It is fed every id that
    the model is fed, with or without a proposal, so that this stays true.

    Args:
        forward: Logits ``(jobs, 1, vocabulary)`` of one more id a job, ``depth`` behind the
            newest; ``None`` where only the cache is filled.
        guess: Draws from such logits ``(jobs, vocabulary)``, given the ids proposed so far.
    """

    def __init__(
        self, forward: Callable[[Tensor, Sequence[Any], int, bool], Tensor | None], guess: Guess
    ) -> None:
        self._forward = forward
        self._guess = guess

    def propose(self, jobs: Sequence[Any], most: Sequence[int]) -> list[list[int]]:
        """See ``Drafter.propose``."""
        found: list[list[int]] = [[] for _ in jobs]
        newest = [job.newest for job in jobs]
        depth, wanted = 0, max(most)
        while True:
            last = depth == wanted  # its keys are wanted all the same, if it is accepted
            logits = self._forward(torch.tensor(newest)[:, None], jobs, depth, last)
            if logits is None:
                return [own[:count] for own, count in zip(found, most, strict=True)]
            newest = self._guess(logits[:, -1], jobs, [tuple(own) for own in found])
            for own, token in zip(found, newest, strict=True):
                own.append(token)
            depth += 1
