"""What a request is told when its engine fails: one sentence, and the remedy."""

from __future__ import annotations

import torch

from workbench.records import Failed
from workbench.sampling import UndrawableLogits


def failure(error: Exception, t: float) -> Failed:
    """The event for an exception that came out of a decode iteration."""
    if isinstance(error, UndrawableLogits):  # its own message counts rows of a batch
        return Failed(t, "The model's output is not a distribution.", error.remedy)
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return Failed(
            t,
            "The GPU ran out of memory.",
            "Fewer or shorter requests at once; the engine can go on with the next one.",
        )
    lines = str(error).strip().splitlines()
    return Failed(
        t,
        f"The engine failed: {type(error).__name__}: {lines[0] if lines else 'no message'}",
        "Try again; the engine can go on with the next request. If it recurs, report it.",
    )
