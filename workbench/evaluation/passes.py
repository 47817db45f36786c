"""pass@1, pass@k and majority@k of several samples a problem, and how far each is to be trusted.

Three things are kept apart. A *score* says of one sample whether it is right. A *reducer*
makes one number of a problem's samples: their mean (pass@1), the chance that one of k is
right (pass@k), the chance that the most frequent answer of k is (majority@k). A *metric* is
the mean of that number over problems. Problems, not samples, are the independent draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, sqrt

import numpy as np

from workbench.errors import InvalidInput
from workbench.evaluation import statistics
from workbench.evaluation.grading import same_answer
from workbench.evaluation.statistics import Estimate
from workbench.evaluation.votes import Ballot, majority


@dataclass(frozen=True, slots=True)
class Sample:
    """One graded answer to a problem."""

    right: bool
    answer: str | None  # what was read as the answer; None: there was none


Samples = Mapping[str, Sequence[Sample]]  # by problem id, in the order they were drawn
Same = Callable[[str, str], bool]  # whether two answers are one


@dataclass(frozen=True, slots=True)
class Errors:
    """How far a pass@1 is to be trusted; ``None`` where it is undefined."""

    clustered: float | None  # standard error over problems: for problems like these
    sampling: float | None  # standard error of drawing the samples again on the same problems
    naive: float | None  # as if all samples were independent: too small, for comparison only
    interval: tuple[float, float] | None  # 95 %: bootstrap over problems, at 0 and 1 exact


@dataclass(frozen=True, slots=True)
class Passes:
    """The metrics of one arm; shares of 1. ``None`` is undefined."""

    problems: int
    samples: tuple[int, int]  # fewest and most of a problem
    average: Estimate  # pass@1, the mean over problems of the mean over samples
    errors: Errors
    passes: Mapping[int, float | None]  # k -> pass@k, for every k up to the most samples
    majorities: Mapping[int, float | None]  # k -> majority@k, the same
    no_answer: float  # share of samples from which no answer could be read
    deviation_of_runs: float | None  # SD of the accuracy of sample 0, 1, …; None unless all have n
    deviation_of_samples: float | None  # mean over problems of the SD of its samples

    def named(self) -> dict[str, float | None]:
        """Everything under NeMo-Skills' names, in per cent but for the ``…_statistics``.

        ``pass@1[avg-of-16]`` where every problem has 16 samples, ``pass@1[avg-of-12-16]``
        where they have 12 to 16. With one sample each it is ``pass@1``.
        """
        first = average_name(self.samples)
        table = {first: self.average.value, "no_answer": self.no_answer}
        shown = table | {f"pass@{k}": v for k, v in self.passes.items() if k > 1}
        shown |= {f"majority@{k}": v for k, v in self.majorities.items() if k > 1}
        runs = self.deviation_of_runs
        return {name: None if v is None else 100 * v for name, v in shown.items()} | {
            "avg": self.average.value,
            "std_dev_across_runs": runs,
            "std_err_across_runs": None if runs is None else runs / sqrt(self.samples[1]),
            "avg_sample_std_dev": self.deviation_of_samples,
        }


def measure(samples: Samples, *, same: Same = same_answer) -> Passes | None:
    """All metrics of one arm; ``None`` without a sample.

    Problems without samples are left out. Where problems have different numbers of samples,
    each counts the same in pass@1 with all of its own, and pass@k and majority@k exist for
    k up to the fewest: above that they are ``None``.

    Args:
        samples: What was graded; what failed or was cancelled is not among it.
        same: Whether two answers are one, for the votes.
    """
    asked = {problem: own for problem, own in samples.items() if own}
    if not asked:
        return None
    found = statistics.accuracy(_scores(asked))
    assert found is not None
    sizes = [len(own) for own in asked.values()]
    every = range(1, max(sizes) + 1)
    ballots = [_ballot(own, same) for own in asked.values()]
    return Passes(
        problems=len(asked),
        samples=(min(sizes), max(sizes)),
        average=found,
        errors=errors(asked),
        passes={k: pass_at(asked, k) for k in every},
        majorities={k: _majority_of(ballots, k) for k in every},
        no_answer=_mean([_mean([s.answer is None for s in own]) for own in asked.values()]),
        deviation_of_runs=_runs(asked),
        deviation_of_samples=_mean(
            [float(np.std([s.right for s in own], ddof=1)) for own in asked.values()]
        )
        if min(sizes) > 1
        else None,
    )


def average_name(samples: tuple[int, int]) -> str:
    """NeMo-Skills' name of pass@1, from the fewest and the most samples of a problem."""
    fewest, most = samples
    if most == 1:
        return "pass@1"
    return f"pass@1[avg-of-{most if fewest == most else f'{fewest}-{most}'}]"


def pass_at(samples: Samples, k: int) -> float | None:
    """The chance that at least one of k samples of a problem is right, mean over problems.

    Unbiased: 1 - C(n - c, k) / C(n, k) for c right ones of n (Chen et al. 2021), for each
    problem with its own n. ``None`` without problems, or when one has fewer than k samples:
    its chance is not known, and to leave it out would change the set of problems.

    Raises:
        InvalidInput: k is less than 1.
    """
    if k < 1:
        raise InvalidInput(f"pass@{k} has no meaning.", remedy="Take a k of at least 1.")
    asked = [own for own in samples.values() if own]
    if not asked or any(len(own) < k for own in asked):
        return None
    return _mean([_one_of(len(own), sum(s.right for s in own), k) for own in asked])


def majority_at(samples: Samples, k: int, *, same: Same = same_answer) -> float | None:
    """The chance that the most frequent of k answers is right, mean over problems.

    Exact over all ways to take k of a problem's samples, so that it does not depend on their
    order; with k = n it is the vote of all. Right samples are one answer, however they are
    spelled, since each equals the key; wrong ones are counted together where ``same`` says so.
    A sample without an answer has no vote; without any vote a problem counts as wrong. Of
    several most frequent answers one is drawn, so a tie of two counts a half.
    ``None`` as in ``pass_at``.

    Raises:
        InvalidInput: k is less than 1.
    """
    if k < 1:
        raise InvalidInput(f"majority@{k} has no meaning.", remedy="Take a k of at least 1.")
    return _majority_of([_ballot(own, same) for own in samples.values() if own], k)


def errors(samples: Samples) -> Errors:
    """The standard errors and the interval of pass@1.

    Clustered: SD of the problems' means / sqrt(P); it answers how good the model is on
    problems like these, and needs two of them. Sampling: sqrt(sum p (1 - p) / (n - 1)) / P;
    it answers whether running these problems again would agree, and needs two samples of
    each. Naive: the SD of all samples / sqrt of their number.
    """
    scores = _scores({problem: own for problem, own in samples.items() if own})
    found = statistics.accuracy(scores)
    means = np.array([np.mean(own) for own in scores.values()])
    flat = np.array([one for own in scores.values() for one in own])
    within = [_within(own) for own in scores.values()]
    known = [one for one in within if one is not None]
    return Errors(
        clustered=_standard_error(means),
        sampling=sqrt(sum(known)) / len(known) if known and len(known) == len(within) else None,
        naive=_standard_error(flat),
        interval=None
        if found is None or found.low is None or found.high is None
        else (found.low, found.high),
    )


def _scores(samples: Samples) -> dict[str, list[float]]:
    return {problem: [float(s.right) for s in own] for problem, own in samples.items()}


def _within(scores: Sequence[float]) -> float | None:
    """The variance of a problem's mean over draws of its samples; ``None`` with one."""
    count, mean = len(scores), _mean(scores)
    return mean * (1 - mean) / (count - 1) if count > 1 else None


def _standard_error(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    return float(values.std(ddof=1) / sqrt(len(values))) if len(values) > 1 else None


def _one_of(count: int, right: int, k: int) -> float:
    return 1 - comb(count - right, k) / comb(count, k)


def _ballot(samples: Sequence[Sample], same: Same) -> Ballot:
    """How many samples are right, how often each wrong answer was given, how many gave none."""
    wrong: dict[str, int] = {}
    silent = 0
    for one in samples:
        if one.right:
            continue
        if one.answer is None:
            silent += 1
            continue
        answer = one.answer
        known = next((other for other in wrong if same(answer, other)), answer)
        wrong[known] = wrong.get(known, 0) + 1
    right = sum(one.right for one in samples)
    return Ballot(right, tuple(sorted(wrong.values())), silent)


def _majority_of(ballots: Sequence[Ballot], k: int) -> float | None:
    if not ballots or any(ballot.count < k for ballot in ballots):
        return None
    known = {ballot: majority(ballot, k) for ballot in set(ballots)}
    return _mean([known[ballot] for ballot in ballots])


def _runs(samples: Samples) -> float | None:
    """The SD over j of the accuracy of everybody's sample j; NeMo-Skills calls each j a run."""
    rows = [[float(s.right) for s in own] for own in samples.values()]
    if len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
        return None
    return float(np.mean(rows, axis=0).std(ddof=1))


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
