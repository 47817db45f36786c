"""Run again what a report shows, and measure how far it comes out the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from workbench import private
from workbench.errors import InvalidInput, ModelError
from workbench.experiments import Run, execute
from workbench.experiments.arms import arm_names
from workbench.experiments.evidence import Evidence, Recorded, answer_digest, digest
from workbench.experiments.follow_ups import part
from workbench.models.catalogue import locate
from workbench.records import Cell, EngineSpec, Generation, Plan
from workbench.report.changes import Change, changes, weights
from workbench.session import Session
from workbench.store import Store

Progress = Callable[[int, int], None]

_LATENCY = "request_latency"


@dataclass(frozen=True, slots=True)
class Divergence:
    """A generation whose ids are not the same."""

    index: int  # of its cell in the plan
    problem: str | None
    arm: str
    sample: int
    position: int | None  # of the first id that differs; None: behind those that are recorded
    then: int | None  # the id there; None: it had ended
    now: int | None
    failed: bool  # it did not end by itself this time

    def __str__(self) -> str:
        where = " · ".join(part for part in (self.problem, self.arm) if part)
        sample = f" · sample {self.sample}" if self.sample else ""
        return f"{where}{sample}: {self._how()}"

    def _how(self) -> str:
        if self.failed:
            return "it failed this time"
        if self.position is None:
            return "the ids differ behind those that the report keeps"
        ids = ["the end" if one is None else f"id {one}" for one in (self.then, self.now)]
        return f"token {self.position + 1} was {ids[0]}, now {ids[1]}"


@dataclass(frozen=True, slots=True)
class Verification:
    """How far a run came out the same."""

    recorded: Evidence
    run: str  # id of the run made for it
    compared: int  # generations asked again
    left_out: int  # that had failed, were cancelled or never reached: nothing to compare with
    divergences: tuple[Divergence, ...]
    same_answers: int
    graded: int  # compared generations that had a score
    same_scores: int
    latency_ratio: float | None  # median of now over then, request by request
    changes: tuple[Change, ...]  # of weights, engine, versions, machine

    @property
    def same_ids(self) -> int:
        return self.compared - len(self.divergences)

    @property
    def same(self) -> bool:
        """The ids of every compared generation are the same."""
        return not self.divergences


def at_hand(
    recorded: Evidence, *, model: str | None = None, device: str | None = None
) -> tuple[Plan, tuple[Change, ...]]:
    """The plan as it can be run here, and whether its weights are those of the report.

    Args:
        recorded: What the report tells.
        model: Name or folder to take instead of the report's, which may lie elsewhere.
        device: To run on instead of the report's.

    Raises:
        ModelError: A model is not on this machine.
        InvalidInput: One model is given, and the report has several; or its questions are
            private, and are not in the store here.
    """
    plan = recorded.plan
    if private.withheld(plan.cells):
        raise InvalidInput(
            "The report leaves out its questions, which must not be published.",
            remedy="Verify it where it was made: the run store there has them.",
        )
    models = dict.fromkeys(cell.spec.model for cell in plan.cells)
    if model is not None and len(models) > 1:
        raise InvalidInput(
            f"The report has {len(models)} models, and one was given.",
            remedy="Verify it where all of its models can be found by their names.",
        )
    specs = {cell.spec: _spec_here(cell.spec, model, device) for cell in plan.cells}
    cells = tuple(replace(cell, spec=specs[cell.spec]) for cell in plan.cells)
    return replace(plan, cells=cells), tuple(weights(recorded.environment, specs))


def verify(
    recorded: Evidence,
    plan: Plan,
    *,
    limit: int | None = None,
    session: Session | None = None,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Run the plan again, as many requests at once as then, and compare.

    Args:
        recorded: What the report tells.
        plan: Its plan, as ``at_hand`` found it.
        limit: Ask only so many generations, spread evenly over the plan, and the turns
            before those that are follow-ups. Others are then
            in a batch together than in the report, which is told apart from it only
            where an engine's arithmetic depends on the batch.
        session: Answers every request, whatever engine it names.
        store: Keeps the new run.
        progress: Called with (generations ended, generations in all).

    Raises:
        InvalidInput: Nothing in the report can be compared.
        WorkbenchError: As ``execute``.
    """
    known = [index for index, one in sorted(recorded.generations.items()) if one.ok]
    chosen, cells = part(plan.cells, _spread(known, limit))
    again = Plan("verify", cells)
    run = execute(
        again,
        session=session,
        store=store,
        concurrency=_concurrency(recorded),
        progress=progress,
    )
    return _compared(recorded, run, chosen, len(plan) - len(known))


# --- before it is run -----------------------------------------------------------------------------


def _spec_here(spec: EngineSpec, model: str | None, device: str | None) -> EngineSpec:
    here = replace(spec, model=model or spec.model, device=device or spec.device)
    try:
        locate(here.model, here.revision)
    except ModelError as error:
        raise ModelError(
            f"The report's model {spec.model!r} is not on this machine.",
            remedy=f"Give its folder with --model, or get it: {error.remedy}",
        ) from None
    return here


def _spread(known: Sequence[int], limit: int | None) -> list[int]:
    if not known:
        raise InvalidInput(
            "The report has no generation that ended by itself: there is nothing to compare.",
            remedy="Verify a report of a run that has some.",
        )
    if limit is not None and limit < 1:
        raise InvalidInput(f"The limit is {limit}.", remedy="It must be at least 1.")
    number = min(limit or len(known), len(known))
    return [known[place * len(known) // number] for place in range(number)]


def _concurrency(recorded: Evidence) -> int | None:
    """What ``execute`` was told, where the cells do not differ; else they say it themselves."""
    asked = {cell.concurrency for cell in recorded.plan.cells}
    told = recorded.environment.get("concurrency")
    return told if len(asked) == 1 and isinstance(told, int) and told > 0 else None


# --- what came of it ------------------------------------------------------------------------------


def _compared(recorded: Evidence, run: Run, chosen: Sequence[int], left_out: int) -> Verification:
    arms, whole = arm_names(recorded.plan.cells), run.unveiled()
    scores = {score.generation: score.value for score in run.scores}
    divergences, ratios = [], []
    answers = graded = same_scores = 0
    for place, index in enumerate(chosen):
        then, now = recorded.generations[index], whole.generations[place]
        if digest(now.ids) != then.digest or not now.ok:
            divergences.append(_divergence(recorded.plan.cells[index], arms[index], then, now))
        answers += answer_digest(now) == then.answer
        graded += then.score is not None
        same_scores += then.score is not None and scores.get(place) == then.score
        ratios += _ratio(then, now)
    return Verification(
        recorded=recorded,
        run=run.id,
        compared=len(chosen),
        left_out=left_out,
        divergences=tuple(divergences),
        same_answers=answers,
        graded=graded,
        same_scores=same_scores,
        latency_ratio=median(ratios) if ratios else None,
        changes=tuple(changes(recorded.environment, run.environment)),
    )


def _divergence(cell: Cell, arm: str, then: Recorded, now: Generation) -> Divergence:
    ids = now.ids
    ended = len(then.ids) == then.count
    pairs = enumerate(zip(then.ids, ids, strict=False))
    position = next((place for place, (before, after) in pairs if before != after), None)
    if position is None and (ended or len(ids) < len(then.ids)):
        position = min(len(then.ids), len(ids))
    return Divergence(
        index=then.index,
        problem=cell.problem.id if cell.problem else None,
        arm=arm,
        sample=cell.sample,
        position=position,
        then=_at(then.ids, position),
        now=_at(ids, position),
        failed=not now.ok,
    )


def _at(ids: Sequence[int], position: int | None) -> int | None:
    return ids[position] if position is not None and position < len(ids) else None


def _ratio(then: Recorded, now: Generation) -> list[float]:
    before, end = then.metrics.get(_LATENCY), now.end
    return [end.t / before] if before and end is not None and now.ok else []
