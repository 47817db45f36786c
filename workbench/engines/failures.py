"""What a request is told when its engine fails: one sentence, and the remedy."""

from __future__ import annotations

from workbench.engines.freeing import out_of_memory
from workbench.records import Failed
from workbench.sampling import UndrawableLogits


def failure(error: Exception, t: float) -> Failed:
    """The event for an exception that came out of a decode iteration."""
    if isinstance(error, UndrawableLogits):  # its own message counts rows of a batch
        return Failed(t, "The model's output is not a distribution.", error.remedy)
    if out_of_memory(error):
        return Failed(
            t,
            "The memory ran out.",
            "Shorter or fewer requests, a smaller cache (cache_tokens, or cache='q8'), or free the "
            "GPU (nvidia-smi shows who holds it); the engine can go on with the next request.",
        )
    lines = str(error).strip().splitlines()
    said = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    if "CUDA error" in said:
        return Failed(t, f"The GPU failed: {said}", "Restart the kernel: CUDA cannot go on.")
    return Failed(
        t,
        f"The engine failed: {said}",
        "Try again; the engine can go on with the next request. If it recurs, report it.",
    )
