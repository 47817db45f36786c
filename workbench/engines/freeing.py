"""Memory that ran out, and memory that is given back. Nothing is imported for it."""

from __future__ import annotations

import gc
import sys
import traceback
from typing import Any

# What torch's allocators and CUDA's libraries say of it, where they raise no error of its own.
_NO_MEMORY = ("out of memory", "ALLOC_FAILED", "can't allocate memory", "not enough memory")


def out_of_memory(error: BaseException) -> bool:
    """Whether something would have worked with more memory; torch's own error is one of these."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY)


def let_go(error: BaseException) -> None:
    """Free what an exception holds: the variables of every function that it came through.

    While somebody keeps the exception (a session its problem, a notebook its last
    traceback), tensors among them would stay in memory.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
    free_unused()


def free_unused() -> None:
    """Collect what is reachable no more, and give the GPU's memory back to the driver."""
    gc.collect()
    cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)
    if hasattr(cuda, "is_initialized") and cuda.is_initialized():
        cuda.empty_cache()
