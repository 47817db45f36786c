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
    needed, told = _in_words(of, spec, beside)
    if needed <= free:
        return
    raise EngineError(
        f"{of.name} would take {_gib(needed)} GiB on the GPU ({told}), and {_gib(free)} are free.",
        remedy=_remedy(of, spec, free),
    )


def ran_out(
    of: Subject, spec: EngineSpec, free: int | None, beside: Subject | None = None
) -> EngineError:
    """The refusal of a load that ran out of memory all the same, with its plan.

    Args:
        of: The model.
        spec: Resolved.
        free: Bytes that are free on the GPU now; ``None``: there is no GPU.
        beside: A draft model, with a cache as large.
    """
    needed, told = _in_words(of, spec, beside)
    where = "this machine" if free is None else "the GPU"
    now = "" if free is None else f", and {_gib(free)} are free now"
    return EngineError(
        f"The memory ran out while {of.name} was loaded: it was to take about {_gib(needed)} GiB "
        f"on {where} ({told}){now}.",
        remedy=_remedy(of, spec, free or 0),
    )


def _in_words(of: Subject, spec: EngineSpec, beside: Subject | None) -> tuple[int, str]:
    """Bytes in all, and the parts in GiB."""
    context, tokens = spec.context or of.context, spec.cache_tokens or PAGE
    use = Use(context, tokens, _planned(spec.cache), spec.max_batch)
    parts = of.plan(use).parts() | ({"draft model": beside.plan(use).loaded} if beside else {})
    told = ", ".join(f"{name} {_gib(size)}" for name, size in parts.items() if size)
    return sum(parts.values()), told


def _planned(cache: str) -> str:
    """The cache type that a plan knows; that of the portable natives is twice as wide."""
    return "fp16" if cache == "fp32" else cache


def _remedy(of: Subject, spec: EngineSpec, free: int) -> str:
    longest = of.largest(Use(PAGE, PAGE, _planned(spec.cache), 1), free)
    if longest is None:
        return "Free the GPU, or take weights with fewer bits: `workbench models fit` compares."
    return f"Use --context {longest} or less, or a smaller cache type; or free the GPU."


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
