"""Does what is to be loaded fit into what is free on the GPU? Asked before anything is loaded."""

from __future__ import annotations

from workbench.errors import EngineError
from workbench.models.fitting import Subject
from workbench.models.memory import PAGE, Use, cache_bytes
from workbench.records import EngineSpec

_SPARE = 2**28  # bytes left to others and to what the allocator cannot fill


def affordable_tokens(
    of: Subject, spec: EngineSpec, free: int, beside: Subject | None = None
) -> int:
    """Tokens that the cache may hold beside everything else, in whole pages; 0: none.

    Args:
        of: The model.
        spec: With its context, cache type and batch resolved.
        free: Bytes that are free on the GPU.
        beside: A draft model, with a cache as large.
    """
    use = Use(spec.context or of.context, PAGE, spec.cache, spec.max_batch)
    page = sum(cache_bytes(one.shape, spec.cache, PAGE) for one in (of, beside) if one)
    rest = of.plan(use).total + (beside.plan(use).loaded if beside else 0) - page
    return max(0, (free - _SPARE - rest) // page) * PAGE


def refuse_too_large(
    of: Subject, spec: EngineSpec, free: int, beside: Subject | None = None
) -> None:
    """Refuse a load that would run out of memory, with its plan.

    Args:
        of: The model.
        spec: Resolved.
        free: Bytes that are free on the GPU.
        beside: A draft model, with a cache as large.

    Raises:
        EngineError: It does not fit; the remedy names the longest context that does.
    """
    context, tokens = spec.context or of.context, spec.cache_tokens or PAGE
    use = Use(context, tokens, spec.cache, spec.max_batch)
    parts = of.plan(use).parts() | ({"draft model": beside.plan(use).loaded} if beside else {})
    needed = sum(parts.values())
    if needed <= free:
        return
    told = ", ".join(f"{name} {_gib(size)}" for name, size in parts.items() if size)
    raise EngineError(
        f"{of.name} would take {_gib(needed)} GiB on the GPU ({told}), and {_gib(free)} are free.",
        remedy=_remedy(of, spec, free),
    )


def _remedy(of: Subject, spec: EngineSpec, free: int) -> str:
    longest = of.largest(Use(PAGE, PAGE, spec.cache, 1), free)
    if longest is None:
        return "Free the GPU, or take weights with fewer bits: `workbench models fit` compares."
    return f"Use --context {longest} or less, or a smaller cache type; or free the GPU."


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
