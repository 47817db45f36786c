"""How much ``bench gpu`` measures: everything, or a rehearsal's worth of it on a CPU."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.models.memory import Shape

LIKE = "nemotron-nano-8b"  # whose shape is measured
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
    tokens: int = 64  # that every request of a ratio generates
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
    shape: Shape | None = None  # of the models; None: that of the 8B


FULL = Sizes()

# Small models stand in for the 8B, so that all of the code runs; the figures mean nothing.
REHEARSAL = Sizes(
    batches=(1, 4),
    behind=160,
    steps=8,
    seconds=1.0,
    rounds=1,
    tokens=8,
    prompts=(160, 640),
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
    shape=Shape(
        layers=2,
        hidden=128,
        intermediate=256,
        heads=4,
        kv_heads=2,
        head_dim=32,
        vocabulary=1024,
        tied=False,
    ),
)
