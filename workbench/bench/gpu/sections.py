"""What ``bench gpu`` checks and measures, in the order in which it does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from workbench.bench.gpu import (
    ceiling,
    converted,
    footprint,
    library,
    parity,
    profile,
    prompts,
    ratios,
    repeats,
    speculating,
    speed,
    tests,
)
from workbench.bench.gpu.bed import Bed
from workbench.errors import InvalidInput

Values = Iterator[tuple[str, Any]]  # each as soon as it is known


@dataclass(frozen=True, slots=True)
class Section:
    """One of them."""

    what: str
    seconds: float  # at most
    measure: Callable[[Bed], Values]


SECTIONS: Mapping[str, Section] = MappingProxyType(
    {
        "library": Section("ExLlamaV2 and its extension", 600, library.library),
        "ceiling": Section("memory bandwidth of this card", 15, ceiling.ceiling),
        "parity": Section("the embedded model beside transformers", 60, parity.parity),
        "speed-exl2": Section("tokens/s, EXL2", 90, partial(speed.speed, "exl2")),
        "profile-exl2": Section("a decode step, EXL2", 30, partial(profile.profiled, "exl2")),
        "prompts": Section("time to the first token", 40, prompts.first_tokens),
        "repeats": Section("the same request again and again", 60, repeats.repeats),
        "bare": Section("beside ExLlamaV2's own loop", 60, ratios.bare),
        "sampler": Section("beside ExLlamaV2's own sampler", 60, ratios.sampler),
        "recording": Section("recording on and off", 40, ratios.recording),
        "memory": Section("memory at the longest context", 60, footprint.footprint),
        "speed-fp16": Section("tokens/s, fp16", 120, partial(speed.speed, "fp16")),
        "profile-fp16": Section("a decode step, fp16", 30, partial(profile.profiled, "fp16")),
        "transformers": Section("beside transformers", 60, ratios.transformers),
        "demo-exl2": Section("the embedded model as EXL2", 120, converted.converted),
        "speculation": Section("n-grams and a draft model", 60, speculating.speculation),
        "speed-gptq4": Section("tokens/s, GPTQ", 90, partial(speed.speed, "gptq4")),
        "tests": Section("pytest -m gpu", 120, tests.tests),
    }
)


def chosen(only: Iterable[str], skip: Iterable[str]) -> tuple[str, ...]:
    """Names of sections in their order.

    Args:
        only: These; none: all.
        skip: Not these.

    Raises:
        InvalidInput: There is no such section.
    """
    wanted, left_out = list(only), list(skip)
    unknown = [name for name in (*wanted, *left_out) if name not in SECTIONS]
    if unknown:
        raise InvalidInput(
            f"There is no section {unknown[0]!r}.", remedy=f"Choose from {', '.join(SECTIONS)}."
        )
    return tuple(n for n in SECTIONS if (not wanted or n in wanted) and n not in left_out)
