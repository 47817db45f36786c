"""From a request to the row that the sampling law draws; shared by engines that hold a model."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from workbench.records import Request
from workbench.sampling import Row


def row_for(request: Request, position: int, context: Callable[[], Tensor]) -> Row:
    """How a request's next token is drawn.

    Args:
        request: What was asked.
        position: Tokens generated so far.
        context: Gives the ids of prompt and answer so far, int64 ``(n,)``; called only
            when a penalty needs them.
    """
    penalised = request.sampling.repetition_penalty != 1.0
    return Row(
        request.sampling,
        position=position,
        seen=context() if penalised else None,
        logprobs=request.logprobs,
        alternatives=request.alternatives,
    )
