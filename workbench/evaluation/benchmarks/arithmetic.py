"""The embedded suite: arithmetic at three difficulties, made from a seed; nothing is downloaded."""

from __future__ import annotations

from workbench.errors import InvalidInput
from workbench.evaluation.benchmarks.benchmark import Asked, Benchmark
from workbench.evaluation.problems import arithmetic_suite
from workbench.records import Problem

_COUNT = 30  # problems, where nobody says how many


def load(asked: Asked) -> tuple[Problem, ...]:
    """``asked.limit`` problems of the suite that ``asked.seed`` makes; ``group`` is the difficulty.

    Raises:
        InvalidInput: A file was named, or fewer than one problem asked for.
    """
    if asked.data is not None:
        raise InvalidInput(
            "arithmetic is made from its seed: it takes no file.",
            remedy="Leave --data out, or name the benchmark that the file is of.",
        )
    return arithmetic_suite(_COUNT if asked.limit is None else asked.limit, seed=asked.seed)


ARITHMETIC = Benchmark(
    name="arithmetic",
    title="arithmetic",
    template="{question}",
    grader="boxed",
    load=load,
    size=None,
    note="The embedded model's own kind of problem; no other model has a published figure.",
)
