"""Does this model, at its precision, do what its card says? Our figures beside the card's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.errors import InvalidInput
from workbench.evaluation.agreement import Gap, Published, gap
from workbench.evaluation.benchmarks import BENCHMARKS, Benchmark
from workbench.evaluation.passes import Passes, Sample, average_name, measure
from workbench.evaluation.statistics import Estimate, mean
from workbench.experiments.arms import arm_names
from workbench.experiments.ratings import arm_ratings, ratings
from workbench.experiments.run import Run
from workbench.experiments.wording import counted
from workbench.records import Cell

RUNS = 16  # samples a problem that the card averages where tokens are drawn
WIDEST = 0.15  # of an interval that may still be called agreement: 15 points from end to end

ArmSamples = dict[str, dict[str, list[Sample]]]  # arm -> problem id -> samples in their order


@dataclass(frozen=True, slots=True)
class Verdict:
    """One arm beside the card. Shares of 1, but for a judge's ratings, which are from 1 to 10."""

    arm: str
    mode: str
    metric: str  # pass@1[avg-of-16], or rating
    ours: Estimate | None  # for problems like these; None: nothing was graded
    published: float | None  # the card's; None: it has none
    gap: Gap | None  # ours minus the card's on its own problems; None: not compared
    problems: int  # that ours rests on
    whole: int | None  # of the benchmark; None: unknown
    words: str  # agrees, below by …, above by …, cannot tell …


def card_of(run: Run) -> Benchmark | None:
    """The benchmark that a run asked, with its published figures; ``None``: it is none of ours."""
    named = run.plan.axes.get("benchmark", ())
    return BENCHMARKS.get(str(named[0])) if named else None


def published_of(card: Benchmark | None) -> dict[str, Published]:
    """The card's figures by mode: with reasoning on the mean of 16 samples, greedy without.

    The card says up to 16; of fewer its own error would be larger. A rating, which is no
    share, is kept as it is.
    """
    if card is None or card.published is None:
        return {}
    return {
        str(mode): Published(value, card.size, RUNS if drawn else 1, drawn)
        for mode, value in card.published.items()
        for drawn in (mode.recommended.temperature > 0,)
    }


def verdicts(
    run: Run, published: Mapping[str, Published] | None = None, *, widest: float = WIDEST
) -> tuple[Verdict, ...]:
    """Every arm of a run beside what was published for its mode.

    An arm *agrees* when the 95 % interval of the difference holds 0 and is no wider than
    ``widest``, or when all problems were asked and the two are within one problem of each
    other. It is *below* or *above* when the interval does not hold 0. Otherwise one *cannot
    tell*. Also of a run that is not whole yet.

    Args:
        run: Of one benchmark.
        published: mode -> a published figure; a mode without one is shown without a verdict.
            Default: the card's, by the run's benchmark.
        widest: Of 1; 0.15 is 15 points.

    Raises:
        InvalidInput: ``widest`` is not positive.
    """
    if not widest > 0:
        raise InvalidInput(f"widest is {widest}; it must be above 0.", remedy="Try 0.15.")
    modes, rated = _modes(run), ratings(run)
    published = published_of(card_of(run)) if published is None else published
    if rated:
        alone = {one.arm for one in arm_ratings(run) if one.self_judged}
        return tuple(
            _rated(arm, modes[arm], own, published, arm in alone) for arm, own in rated.items()
        )
    return tuple(
        _graded(arm, modes[arm], own, published.get(modes[arm]), widest)
        for arm, own in samples_by_arm(run).items()
    )


def passes_by_arm(run: Run) -> dict[str, Passes]:
    """pass@1, pass@k, majority@k and errors of each arm of which something was graded."""
    found = {arm: measure(own) for arm, own in samples_by_arm(run).items()}
    return {arm: one for arm, one in found.items() if one is not None}


def samples_by_arm(run: Run) -> ArmSamples:
    """What is right or wrong, arm by arm; every arm of the plan is in it, also one without any."""
    cells, names = run.plan.cells, arm_names(run.plan.cells)
    found: ArmSamples = {name: {} for name in names}
    for score in sorted(run.scores, key=lambda score: cells[score.generation].sample):
        if score.value is not None and not _judged(cells[score.generation]):
            own = found[names[score.generation]].setdefault(score.problem, [])
            own.append(Sample(score.value > 0.5, score.extracted))
    return found


def _graded(
    arm: str,
    mode: str,
    own: Mapping[str, Sequence[Sample]],
    card: Published | None,
    widest: float,
) -> Verdict:
    passes = measure(own)
    between = None if card is None else gap(own, card)
    return Verdict(
        arm=arm,
        mode=mode,
        metric=average_name(passes.samples) if passes else "pass@1",
        ours=passes.average if passes else None,
        published=card.value if card else None,
        gap=between,
        problems=passes.problems if passes else 0,
        whole=card.problems if card else None,
        words=_words(between, passes.problems if passes else 0, card, widest),
    )


def _words(between: Gap | None, problems: int, card: Published | None, widest: float) -> str:
    if card is None:
        return "the card has no figure"
    if between is None:
        return "nothing was graded"
    near = between.whole and abs(between.value) <= 1 / problems + 1e-9
    if near or (between.low <= 0 <= between.high and between.width <= widest):
        return "agrees"
    if between.low <= 0 <= between.high:
        return f"cannot tell with {counted(problems, 'problem')}"
    low, high = sorted((abs(between.low), abs(between.high)))
    side = "above" if between.value > 0 else "below"
    return f"{side} by {_points(abs(between.value))} [{100 * low:.1f}, {100 * high:.1f}]"


def _rated(
    arm: str,
    mode: str,
    own: Mapping[str, Sequence[float]],
    published: Mapping[str, Published],
    alone: bool,
) -> Verdict:
    card = published.get(mode)
    words = "not compared: the card does not name its judge" if card else "the card has no figure"
    return Verdict(
        arm=arm,
        mode=mode,
        metric="rating",
        ours=mean(own),
        published=card.value if card else None,
        gap=None,
        problems=len(own),
        whole=card.problems if card else None,
        words=f"{words}; the model rated itself" if alone else words,
    )


def _judged(cell: Cell) -> bool:
    """A judge's ratings are from 1 to 10; right and wrong are 1 and 0."""
    return cell.problem is not None and cell.problem.grader == "judge"


def _modes(run: Run) -> dict[str, str]:
    names = arm_names(run.plan.cells)
    return {name: str(cell.request.mode) for name, cell in zip(names, run.plan.cells, strict=True)}


def _points(value: float) -> str:
    shown = f"{100 * value:.1f}"
    return f"{shown} point" if shown == "1.0" else f"{shown} points"
