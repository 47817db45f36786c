"""Have answers rated by a judge, any engine: a plan of its own, run, stored, and read strictly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.errors import InvalidInput
from workbench.evaluation.benchmarks.mtbench import wrong_reference
from workbench.evaluation.grading import NOT_JUDGED, answered
from workbench.evaluation.judging.prompts import VERSION, Turn, judge_prompt, role
from workbench.evaluation.judging.rating import rating
from workbench.experiments import axes as axis
from workbench.experiments.arms import arm_names
from workbench.experiments.execution import execute, kept_in
from workbench.experiments.expectation import expected
from workbench.experiments.judges import judge_name, judge_spec, same_model
from workbench.experiments.lengths import fitted
from workbench.experiments.plans import seed_for
from workbench.experiments.ratings import SELF
from workbench.experiments.run import Run, load
from workbench.records import (
    Cell,
    EngineSpec,
    Failed,
    Generation,
    Message,
    Mode,
    Plan,
    Problem,
    Request,
    Sampling,
    Score,
)
from workbench.store import Store

KIND = "judgment"
MAX_TOKENS = 2048  # new tokens of a judgment, as in FastChat

_SHOWN = 2  # turns of a conversation that a judge is shown: the last ones


def judgment(
    run: Run,
    judge: EngineSpec,
    *,
    mode: Mode | str = Mode.OFF,
    temperature: float = 0.0,
    max_tokens: int | None = MAX_TOKENS,
    seed: int = 0,
    unrated: bool = False,
    store: Store | None = None,
) -> Plan:
    """Every answer of a run that a judge is to rate, put to a judge, as a plan.

    An answer is shown as the text after its thinking, with the turn before it and, where the
    problems have them, their references. What failed or was cancelled is not shown.

    Args:
        run: Whose answers; each sample is rated by itself.
        judge: Who rates.
        mode: Of the judge, with its system turn, as of every request. With reasoning on, its
            thinking counts as new tokens too.
        temperature: Of the judge.
        max_tokens: Most new tokens of a judgment; ``None``: what the context leaves, as also
            where so many do not fit beside the prompt.
        seed: Of the draws, where the temperature is above 0.
        unrated: Only what has no rating yet.
        store: Earlier runs, from which the cost is expected.

    Returns:
        A plan of kind ``judgment``. Its axes name the judged run, the version of the prompts,
        the judged generations in the order of the cells, and a digest of their answers.

    Raises:
        InvalidInput: There is nothing to rate, or a value that cannot be.
    """
    run = run.unveiled()  # the prompts are as private as the problems, and marked so
    (arm,) = axis.modes([mode])
    rated = {score.generation for score in run.scores if score.value is not None}
    chosen = [index for index in to_judge(run) if not (unrated and index in rated)]
    if not chosen:
        raise InvalidInput(
            f"Run {run.id} has no answer that a judge is to rate"
            + (" and that has no rating yet." if unrated and rated else "."),
            remedy="Name a run of `workbench eval mtbench`; ratings are shown without a judge.",
        )
    shown, names = Shown(run), arm_names(run.plan.cells)
    drawn = Sampling(temperature=temperature, max_tokens=max_tokens, seed=seed)

    def put(index: int) -> Cell:
        """An answer as a request of the judge."""
        cell, prompt = run.plan.cells[index], judge_prompt(shown.turns(index))
        assert cell.problem is not None
        name = f"{cell.problem.id} · {names[index]}"
        problem = Problem(name, prompt, group=cell.problem.group, private=cell.problem.private)
        own = replace(drawn, seed=seed_for(seed, name, cell.sample))
        request = Request((Message("user", prompt),), arm, own, label=f"rating of {name}")
        return Cell(judge, request, problem, cell.sample)

    fits = fitted(map(put, chosen))
    axes: dict[str, tuple[Any, ...]] = {
        "judged": (run.id,),
        "mode": (str(arm),),
        "prompts": (VERSION,),
        "answers": (shown.digest(chosen),),
        "generation": tuple(chosen),
    }
    return Plan(KIND, fits, axes, expected(fits, store))


def judge(
    run_id: str,
    by: EngineSpec | str,
    *,
    store: Store | None = None,
    unrated: bool = False,
    **how: Any,
) -> Run:
    """Have a judge rate the answers of a stored run, and store the ratings with them.

    Args:
        run_id: The judged run's id, or the beginning of it.
        by: Who rates; a name or an endpoint is what ``judges.judge_spec`` makes of it.
        store: Keeps the run and the judgment; default: the store of this folder.
        unrated: Only what has no rating yet.
        how: ``mode``, ``temperature``, ``max_tokens``, ``seed`` as ``judgment`` takes them, the
            rest as ``execute``.

    Returns:
        The judged run, with its ratings.

    Raises:
        InvalidInput: There is nothing to rate, or a value that cannot be.
        WorkbenchError: As ``execute``; ``resume`` and ``rate`` go on with the judgment.
    """
    asked = {name: how.pop(name) for name in _HOW if name in how}
    with kept_in(store) as keeper:
        run = load(run_id, keeper)
        rater = judge_spec(by) if isinstance(by, str) else by
        plan = judgment(run, rater, unrated=unrated, store=keeper, **asked)
        done = execute(plan, store=keeper, **how)
        return rate(done.id, store=keeper)


_HOW = ("mode", "temperature", "max_tokens", "seed")


def rate(judgment_id: str, *, store: Store | None = None) -> Run:
    """Read the ratings of a stored judgment, again or for the first time; no model is asked.

    They take the place of the judged run's earlier ones. What a judgment gives no rating for,
    or had not come to, has no value afterwards, so that one run has one judge.

    Args:
        judgment_id: Of the judgment, or the beginning of it.
        store: Keeps both runs; default: the store of this folder.

    Returns:
        The judged run, with its ratings.

    Raises:
        InvalidInput: It is no judgment, the judged run is gone or still running, or its
            answers are others than those that were rated.
        StoreError: The runs cannot be read, or the scores cannot be kept.
    """
    with kept_in(store) as keeper:
        done = load(judgment_id, keeper).unveiled()
        run = load(judged_run(done.plan), keeper).unveiled()
        if run.status == "running":
            raise InvalidInput(
                f"Run {run.id} is still running.", remedy="Stop it, or wait until it has ended."
            )
        shown, indices = Shown(run), done.plan.axes["generation"]
        if done.plan.axes["answers"] != (shown.digest(indices),):
            raise InvalidInput(
                f"The answers of run {run.id} are others than those that were judged.",
                remedy="Have it judged again.",
            )
        keeper.add_scores(run.id, list(_scores(run, done, shown, indices)))
        return load(run.id, keeper)


def judged_run(plan: Plan) -> str:
    """The id of the run that a judgment is of.

    Raises:
        InvalidInput: The plan is no judgment's.
    """
    if plan.kind != KIND or "judged" not in plan.axes:
        raise InvalidInput(
            f"A run of kind {plan.kind!r} is no judgment.",
            remedy="`workbench runs list` names them; a judgment is of kind 'judgment'.",
        )
    return str(plan.axes["judged"][0])


class Shown:
    """The answers of a run as a judge is shown them; each is read once.

    Args:
        run: Whose.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._texts: dict[int, str] = {}

    def turns(self, index: int) -> tuple[Turn, ...]:
        """The conversation that ends with a generation, the last two turns of it."""
        cells = self._run.plan.cells
        places: list[int] = []
        place: int | None = index
        while place is not None and len(places) < _SHOWN:
            places.insert(0, place)
            place = cells[place].follows
        return tuple(map(self._turn, places))

    def digest(self, indices: Iterable[int]) -> str:
        """Of the answers there; 16 hexadecimal digits."""
        known = hashlib.blake2b(digest_size=8)
        for index in indices:
            for turn in self.turns(index):
                data = turn.answer.encode(errors="surrogatepass")
                known.update(index.to_bytes(8, "big") + len(data).to_bytes(8, "big") + data)
        return known.hexdigest()

    def _turn(self, index: int) -> Turn:
        cell = self._run.plan.cells[index]
        if index not in self._texts:
            self._texts[index] = answered(self._run.generations[index])
        said = [message.text for message in cell.request.messages if message.role == "user"]
        return Turn(said[-1], self._texts[index], cell.problem.answer if cell.problem else None)


# --- the plan -------------------------------------------------------------------------------------


def to_judge(run: Run) -> list[int]:
    """The generations that a judge is to rate: all that ended well, by index."""
    cells = run.plan.cells
    ended = (row["index"] for row in run.rows() if row["finish_reason"] in ("stop", "length"))
    return [index for index in ended if (own := cells[index].problem) and own.judged]


# --- the ratings ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Read:
    """What a judgment says of one generation."""

    value: float | None
    written: str | None
    why: tuple[str, ...]


def _scores(run: Run, done: Run, shown: Shown, indices: Sequence[int]) -> Iterator[Score]:
    for place, index in enumerate(indices):
        said = done.generations.get(place)
        problem = run.plan.cells[index].problem
        assert problem is not None
        if said is None or said.end is None or said.finish_reason == "cancelled":
            yield Score(problem.id, index, None, None, NOT_JUDGED)
            continue
        found = _read(said)
        own = same_model(said.spec, run.generations[index].spec)
        about = [role(shown.turns(index)), *found.why]
        if wrong := wrong_reference(problem.id):
            about.append(f"its reference is known to be wrong: {wrong}")
        about += [SELF] if own else []
        by = "; ".join([_by(done, place, said), *([SELF] if own else [])])
        yield Score(problem.id, index, found.value, found.written, "; ".join(about), by)


def _read(said: Generation) -> _Read:
    """The rating in a judge's answer, or why there is none."""
    if isinstance(said.end, Failed):
        return _Read(None, None, (f"the judge failed: {said.end.error}",))
    found = rating(answered(said))
    cut = ("the judge was cut off",) if said.finish_reason == "length" else ()
    return _Read(found.value, found.written, (*((found.reason,) if found.reason else ()), *cut))


def _by(done: Run, place: int, said: Generation) -> str:
    cell = done.plan.cells[place]
    told = [f"judge {judge_name(said.spec)}"]
    told += [f"reasoning {cell.request.mode}"] if cell.request.mode is not Mode.OFF else []
    told += [f"temperature {t:g}"] if (t := cell.request.sampling.temperature) else []
    return "; ".join([*told, f"prompts {done.plan.axes['prompts'][0]}", f"judgment {done.id}"])
