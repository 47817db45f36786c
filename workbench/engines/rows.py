"""What the generator asks about live requests: how ids are drawn, how far proposals may go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from workbench.engines.drawing import row_for
from workbench.engines.tail import Tail
from workbench.records import Request
from workbench.sampling import Drawn, Row, UndrawableLogits, draw


class Live(Protocol):
    """A request between ``submit`` and its last event."""

    request: Request
    tail: Tail


class Rows:
    """The hooks of ``generator.Generator``, by the sampling law.

    Args:
        live: A live request by its ticket.
    """

    def __init__(self, live: Callable[[int], Live]) -> None:
        self._live = live
        self.broken: dict[int, UndrawableLogits] = {}  # tickets of the step under way

    def hooks(self) -> dict[str, Callable[..., Any]]:
        """By the generator's names."""
        return {"draw": self.draw, "guess": self.guess, "free": self.free}

    def draw(self, logits: Tensor, places: Sequence[Any]) -> tuple[Drawn, frozenset[int]]:
        """See ``generator.Draw``; a row that cannot be drawn from is noted in ``broken``."""
        rows = [self.row(job, before) for job, before in places]
        try:
            return self.drawn(logits, rows, places), frozenset()
        except UndrawableLogits as error:  # the other rows have done nothing wrong
            bad = error.rows
            self.broken |= {places[i][0].ticket: error for i in bad if not places[i][1]}
            usable = logits.clone()
            usable[list(bad)] = 0.0
            return self.drawn(usable, rows, places), frozenset(bad)

    def drawn(self, logits: Tensor, rows: Sequence[Row], places: Sequence[Any]) -> Drawn:
        """One id a row, by the law.

        Raises:
            UndrawableLogits: Rows hold no distribution; drawing has changed nothing.
        """
        return draw(logits, rows)

    def guess(
        self, logits: Tensor, jobs: Sequence[Any], before: Sequence[tuple[int, ...]]
    ) -> list[int]:
        """Draw a draft model's proposals as the model's own ids will be drawn."""
        rows = [self.row(job, own) for job, own in zip(jobs, before, strict=True)]
        rows = [replace(row, logprobs=False, alternatives=0, forced=None) for row in rows]
        return draw(logits.nan_to_num(0.0, 0.0), rows).ids

    def free(self, job: Any) -> int:
        """See ``generator.Generator``: the budget may force the id behind any other."""
        return self._live(job.ticket).tail.free

    def row(self, job: Any, before: tuple[int, ...]) -> Row:
        """How the id behind some that are proposed is drawn."""
        live = self._live(job.ticket)
        ids = job.sequences[0].sequence_ids
        return row_for(
            live.request,
            len(live.request.opening) + job.tokens + len(before),
            lambda: torch.cat((ids.torch()[0], torch.tensor(before, dtype=torch.long))),
            job.stop_tokens,
            None if before else live.tail.forced,
        )
