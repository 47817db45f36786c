"""The engine seam: what the session asks of any engine, and nothing more.

Only the session's worker thread calls an engine, so engines need no locks.

The contract, run on every engine by ``tests/engines/contract.py``: the first
event of a ticket is ``Started`` (a refused one has only ``Failed``), the last
``Finished`` or ``Failed``; ``t`` never falls; the chunks' texts join to
``decode(ids)`` without special tokens;
every sampled id is in exactly one chunk, the stop token in none; ``cancel``
ends a ticket with ``Finished("cancelled")`` within one step and frees its cache;
the same seed gives the same ids, alone or in a batch.

``thinking_tokens`` closes the thinking by the rule of ``budget.py``: the closing's ids
are chunks like the others, marked ``forced``, and change nothing of what came before.
``min_tokens`` rules out the ids that end the model's turn, and those only: a stop string
ends the text before that many as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from workbench.records import EngineSpec, Event, Message, Request


class LoadProgress(Protocol):
    """Whoever is told how far the loading of a model is."""

    def __call__(self, done: int, total: int, what: str = "modules") -> None:
        """Take note.

        Args:
            done: So many are done …
            total: … of so many.
            what: ``modules`` of the model are read; or ``objects`` of ExLlamaV2's
                extension are compiled, before a model is loaded for the first time.
        """


class Engine(Protocol):
    """A model that answers many requests at once, one iteration at a time."""

    @property
    def spec(self) -> EngineSpec:
        """What this engine is, every field resolved."""

    def encode(self, messages: Sequence[Message], prefill: str = "") -> list[int]:
        """The prompt's ids. Control tokens never come from a message's text."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, control tokens left out."""

    def submit(self, request: Request, *, submitted: float | None = None) -> int:
        """Queue a request and return its ticket; never blocks.

        Args:
            request: What is asked.
            submitted: ``time.perf_counter()`` at which the user asked; the zero of
                this ticket's event times. Default: now.

        Raises:
            InvalidInput: The prompt and ``max_tokens`` do not fit the context.
        """

    def step(self) -> list[tuple[int, Event]]:
        """Run one iteration for every live request; the events it brought, by ticket.

        An engine with nothing to do returns an empty list. A failure of one
        request is its ``Failed`` event; it never ends the others.
        """

    def cancel(self, ticket: int) -> None:
        """End a ticket: the next ``step`` brings ``Finished("cancelled")``.

        Unknown and ended tickets are ignored.
        """

    def close(self) -> None:
        """Free the model and its cache. A closed engine is not used again."""
