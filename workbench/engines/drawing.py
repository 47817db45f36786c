"""From a request to the row that the sampling law draws; shared by engines that hold a model."""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import Tensor

from workbench.records import Request
from workbench.sampling import Row


def row_for(
    request: Request,
    position: int,
    context: Callable[[], Tensor],
    ends: Collection[int],
    forced: int | None,
) -> Row:
    """How a request's next token is drawn.

    Args:
        request: What was asked.
        position: Tokens generated so far.
        context: Gives the ids of prompt and answer so far, int64 ``(n,)``; called only
            when a penalty needs them.
        ends: Ids with which the model ends its turn; ruled out before ``min_tokens``.
        forced: The id that is put in whatever the model says; ``None``: it is drawn.
    """
    sampling = request.sampling
    penalised = sampling.repetition_penalty != 1.0
    return Row(
        sampling,
        position=position,
        seen=context() if penalised else None,
        logprobs=request.logprobs,
        alternatives=request.alternatives,
        ruled_out=tuple(ends) if position < sampling.min_tokens else (),
        forced=forced,
    )
