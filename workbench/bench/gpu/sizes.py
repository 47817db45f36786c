"""How much ``bench gpu`` measures: everything, or a rehearsal's worth of it on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

FORMATS = ("exl2", "gptq4", "fp16")  # of the synthesised 8B
MAIN = FORMATS[0]  # of what is measured of one format only


@dataclass(frozen=True, slots=True)
class Sizes:
    """The lengths, counts and repeats of every section."""

    batches: tuple[int, ...] = (1, 4, 16, 64, 200)  # requests decoded together
    behind: int = 256  # tokens of prompt before the decode steps that are timed
    steps: int = 128  # such steps at most …
    seconds: float = 4.0  # … and no more of them after so long
    rounds: int = 5  # of a ratio
    tokens: int = 96  # that every request of a ratio generates
    prompts: tuple[int, ...] = (128, 2_048, 32_768)  # tokens, for the time to the first token
    prompt_rounds: int = 3
    context: int = 131_072  # of the memory section, tokens
    caches: tuple[str, ...] = ("fp16", "q8", "q6", "q4")
    texts: int = 24  # of the parity section …
    answer: int = 160  # … and tokens that each is gone on with
    repeats: int = 20  # of the same greedy request
    profiled: int = 12  # decode steps
    several: int = 16  # requests together, where a section takes one batch beside a single one
    copied: int = 2**31  # bytes, of the bandwidth section
    tests: str = "tests"  # folder or file whose tests are run
    law: float = 0.02  # seconds a figure of the sampling law
    models: Mapping[str, str] = field(default_factory=dict)  # that stand in for synthesised ones


FULL = Sizes()

# The demo stands in for every format, so that all of the code runs; its figures mean nothing.
REHEARSAL = Sizes(
    batches=(1, 4),
    behind=64,
    steps=8,
    seconds=1.0,
    rounds=1,
    tokens=8,
    prompts=(64, 512),
    prompt_rounds=2,
    context=2_048,
    caches=("fp16", "q4"),
    texts=4,
    answer=24,
    repeats=3,
    profiled=2,
    several=4,
    copied=2**22,
    tests="tests/engines/test_attention_gpu.py",
    law=0.0,
    models=MappingProxyType(dict.fromkeys(FORMATS, "demo")),
)
