"""A judged run's result: the mean rating of each arm by turn and category, and what has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from workbench.cli.output import table
from workbench.cli.scores import benchmark_of
from workbench.evaluation.statistics import Estimate
from workbench.experiments import Run
from workbench.experiments.arms import arm_names
from workbench.experiments.ratings import ArmRatings, arm_ratings
from workbench.experiments.verdict import card_of, published_of
from workbench.experiments.wording import counted
from workbench.printable import one_line, printable
from workbench.records import Score

_SHOWN = 12  # answers without a rating in a table; --json has all
_LINE = 90  # characters of a reason


def show(run: Run, out: Console) -> None:
    """The arms, the categories, what has no rating, and what must be known beside."""
    found = arm_ratings(run)
    if not found:
        out.print(f"Run {run.id} has no answers that a judge rates.")
        return
    out.print(_arms(run, found))
    if any(one.groups for one in found):
        out.print("", _groups(found))
    missing = [(one.arm, score) for one in found for score in one.unread]
    if missing:
        out.print("", _missing(missing[:_SHOWN]))
        if len(missing) > _SHOWN:
            out.print(f"… and {len(missing) - _SHOWN:,} more; --json has all.")
    out.print(f"\n{printable(' '.join(_sentences(run, found)))}\n")


def document(run: Run, path: str) -> dict[str, Any]:
    """The ratings as one JSON document; a mean is from 1 to 10, what is undefined is null.

    Args:
        run: The judged run.
        path: The file that keeps it.
    """
    return {
        "run": run.id,
        "store": path,
        "benchmark": benchmark_of(run.plan),
        "arms": [_arm(run, one) for one in arm_ratings(run)],
    }


def _arms(run: Run, found: Sequence[ArmRatings]) -> Table:
    published = _published(run, found)
    turns = sorted({number for one in found for number in one.turns})
    flagged = any(one.unflagged for one in found)
    heads = ["", "mean", *(f"turn {number}" for number in turns)]
    heads += ["without wrong references"] * flagged + ["card", "rated", "without a rating", "judge"]
    rows: list[list[str | None]] = [
        [
            one.arm,
            _interval(one.both),
            *(_mean(one.turns.get(number)) for number in turns),
            *([_mean(one.unflagged)] * flagged),
            f"{card:g}" if (card := published.get(one.arm)) is not None else None,
            f"{one.rated:,} of {one.answers:,}",
            f"{len(one.unread):,}" if one.unread else None,
            "; ".join(one.judges) or None,
        ]
        for one in found
    ]
    told = [i for i in range(len(heads)) if i == 0 or any(row[i] is not None for row in rows)]
    return table(
        [heads[i] for i in told],
        [[row[i] for i in told] for row in rows],
        right=[place for place, i in enumerate(told) if 0 < i < len(heads) - 1],
    )


def _groups(found: Sequence[ArmRatings]) -> Table:
    names = list(dict.fromkeys(name for one in found for name in one.groups))
    rows = ((name, *(_interval(one.groups.get(name)) for one in found)) for name in names)
    heads = ("", *(one.arm for one in found))
    return table(heads, rows, right=range(1, len(heads)))


def _missing(missing: Sequence[tuple[str, Score]]) -> Table:
    rows = (
        (
            score.generation,
            score.problem,
            arm,
            one_line(score.extracted, _LINE) if score.extracted else None,
            one_line(score.reason.partition("; ")[2], _LINE),  # the problem tells the turn
        )
        for arm, score in missing
    )
    return table(("index", "without a rating", "arm", "written", "why"), rows, right=(0,))


def _sentences(run: Run, found: Sequence[ArmRatings]) -> Iterator[str]:
    asks = f"`workbench runs judge {run.id} --judge MODEL`"
    unread = sum(len(one.unread) for one in found)
    if not any(one.rated for one in found):
        yield "The judge gave no rating that counts." if unread else "No answer has a rating yet."
        yield f"{asks} asks {'another' if unread else 'a judge'}; --sheet FILE asks people."
        return
    yield (
        "Ratings are from 1 to 10, means over questions of their turns and samples "
        "(95% interval over questions)."
    )
    judges = {name for one in found for name in one.judges}
    if len(judges) > 1:
        yield f"They were given in {len(judges)} ways, which are not to be compared."
    if any(one.self_judged for one in found):
        yield "The model rated itself (self-judging): models favour what they wrote."
    if any(one.unflagged for one in found):
        yield "References that are known to be wrong are kept, as others have been judged by them."
    if _published(run, found):
        yield "The card does not name its judge: its figure is no yardstick for another's."
    if unread:
        have, are = ("has", "is") if unread == 1 else ("have", "are")
        yield f"{counted(unread, 'judgment')} {have} no rating that counts and {are} left out;"
        yield f"{asks} --unrated asks again about what has none."


def _arm(run: Run, one: ArmRatings) -> dict[str, Any]:
    return {
        "arm": one.arm,
        **_told("rating", one.both),
        "questions": one.both.count if one.both else 0,
        "turns": {str(number): _told("rating", found) for number, found in one.turns.items()},
        "categories": {name: _told("rating", found) for name, found in one.groups.items()},
        **_told("rating_without_wrong_references", one.unflagged),
        "published": _published(run, [one]).get(one.arm),
        "answers": one.answers,
        "rated": one.rated,
        "unrated": [
            {
                "index": score.generation,
                "problem": score.problem,
                "written": score.extracted,
                "reason": score.reason,
                "by": score.by,
            }
            for score in one.missing
        ],
        "judges": list(one.judges),
        "self_judging": one.self_judged,
    }


def _published(run: Run, found: Sequence[ArmRatings]) -> dict[str, float]:
    card = published_of(card_of(run))
    names = arm_names(run.plan.cells)
    modes = {name: str(cell.request.mode) for name, cell in zip(names, run.plan.cells, strict=True)}
    return {one.arm: card[modes[one.arm]].value for one in found if modes[one.arm] in card}


def _told(name: str, found: Estimate | None) -> dict[str, float | None]:
    ends = (found.value, found.low, found.high) if found else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def _mean(found: Estimate | None) -> str | None:
    return None if found is None else f"{found.value:.2f}"


def _interval(found: Estimate | None) -> str | None:
    if found is None or found.low is None or found.high is None:
        return _mean(found)
    return f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f})"
