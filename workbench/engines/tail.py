"""The end of a growing text: ids in, chunks out, stop strings kept back.

Shared by every engine that samples ids, so that text, stop strings and counts
mean the same everywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from workbench.engines.budget import Budget
from workbench.errors import InvalidInput
from workbench.models.tokenizer import Detokenizer as TokenizersDetokenizer
from workbench.models.tokenizer import Tokenizer
from workbench.records import Alternatives, Chunk, Sampling


class Detokenizer(Protocol):
    """Text that is complete so far; the pieces join to the text of all ids."""

    def push(self, token: int) -> str:
        """The text that this id completes, possibly none."""

    def flush(self) -> str:
        """What is left when no more ids come."""

    @property
    def partial(self) -> bool:
        """Whether half a character waits for its other half."""


class Tail:
    """Turns sampled ids into chunks, one chunk an id.

    An id's chunk leaves at once, so its time is exact; text that could be the
    beginning of a stop string, or half a character, leaves with a later chunk.
    When a stop string appears the text ends before it.

    Args:
        detokenizer: A fresh one for this request.
        stop: Strings that end the text.
        budget: Of the thinking; ``None``: as long as the model likes.
    """

    def __init__(
        self, detokenizer: Detokenizer, stop: Sequence[str] = (), budget: Budget | None = None
    ) -> None:
        self._detokenizer = detokenizer
        self._stop = tuple(stop)
        self._budget = budget
        self._held = ""
        self._over = False

    @property
    def forced(self) -> int | None:
        """The id that must come next, whatever the model says; ``None``: it is drawn."""
        return None if self._budget is None else self._budget.forced

    @property
    def free(self) -> int:
        """How many ids may be drawn before one could have to come by force."""
        return sys.maxsize if self._budget is None else self._budget.free

    def push(
        self,
        t: float,
        token: int,
        logprob: float | None = None,
        alternatives: Alternatives | None = None,
    ) -> tuple[Chunk, bool]:
        """The chunk of one id, and whether a stop string has appeared."""
        new, forced = self._detokenizer.push(token), False
        if self._budget is not None:
            forced = self._budget.wrote(token, new, partial=self._detokenizer.partial)
        text, stopped = self._release(new)
        chunk = Chunk(
            t=t,
            ids=(token,),
            text=text,
            logprobs=None if logprob is None else (logprob,),
            alternatives=None if alternatives is None else (alternatives,),
            forced=forced,
        )
        return chunk, stopped

    def give(self, ids: Sequence[int]) -> list[Chunk]:
        """The chunks of a request's opening, at time 0: whoever tells them knows when.

        Raises:
            InvalidInput: A stop string stands in it.
        """
        pushed = [self.push(0.0, token) for token in ids]
        if any(stopped for _, stopped in pushed):
            raise InvalidInput(
                "A stop string stands in the opening.", remedy="Begin earlier, or stop elsewhere."
            )
        return [replace(chunk, forced=True) for chunk, _ in pushed]

    def flush(self, t: float) -> Chunk | None:
        """The text still held when the request ends without a stop string."""
        if self._over:
            return None
        text, _ = self._release(self._detokenizer.flush())
        text, self._held = text + self._held, ""
        return Chunk(t=t, ids=(), text=text) if text else None

    def _release(self, new: str) -> tuple[str, bool]:
        if not self._stop:
            return new, False
        text = self._held + new
        found = [place for place in (text.find(stop) for stop in self._stop) if place >= 0]
        if found:
            self._held, self._over = "", True
            return text[: min(found)], True
        keep = self._partial(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def _partial(self, text: str) -> int:
        """Length of the longest end of the text that begins a stop string."""
        longest = max(map(len, self._stop)) - 1
        for size in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self._stop):
                return size
        return 0


def tail_for(sampling: Sampling, tokenizer: Tokenizer) -> Tail:
    """The tail of one request."""
    tokens = sampling.thinking_tokens
    budget = None if tokens is None else Budget(tokens, tokenizer)
    return Tail(TokenizersDetokenizer(tokenizer), sampling.stop, budget)
