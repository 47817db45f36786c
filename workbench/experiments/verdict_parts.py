"""An evaluation taken apart: by level and subject, where thinking pays, how long it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from workbench.evaluation.problems import DIFFICULTIES
from workbench.evaluation.statistics import Difference, Estimate, accuracy, difference, ratio
from workbench.experiments.arms import arm_names
from workbench.experiments.run import Run
from workbench.experiments.wording import number
from workbench.records import Mode, Problem

Part = Literal["group", "subject"]  # level or difficulty; subject
Row = Mapping[str, Any]  # a generation, as ``Run.rows`` describes it

_ENDED_WELL = ("stop", "length")


def accuracies_by(run: Run, part: Part = "group") -> dict[str, dict[str, Estimate]]:
    """Part -> arm -> share of right answers with its interval; empty with fewer than two parts."""
    found: dict[str, dict[str, Estimate]] = {}
    for name, rows in _parts(run, part).items():
        arms = {arm: accuracy(_values(own, "score")) for arm, own in _arms(rows).items()}
        known = {arm: one for arm, one in arms.items() if one is not None}
        if known:
            found[name] = known
    return found if len(found) > 1 else {}


def table(run: Run) -> list[dict[str, Any]]:
    """A row an arm: NeMo-Skills' columns, and what went wrong, as counts.

    ``avg_tokens`` are of all tokens, thinking included; ``gen_seconds`` is the mean time of a
    request, which in a batch it shares with others.
    """
    return [_arm(arm, own) for arm, own in _arms(_rows(run)).items()]


def thinking_pays(run: Run, part: Part = "group") -> list[dict[str, Any]]:
    """What thinking brings and what it takes: on the whole, then part by part.

    The arm with reasoning on minus the one with it off, on the problems that both have. A row
    has the difference in points with its interval, the tokens that an answer takes more, and
    what each further right answer costs in tokens. Empty where there is no such pair.
    """
    rows = _rows(run)
    pair = _pair(rows)
    if pair is None:
        return []
    parts = {"all": rows} | _parts(run, part)
    told = [_pays(name, own, pair) for name, own in parts.items()]
    found = [row for row in told if row is not None]
    return found[:1] if len(found) == 2 else found


def gains(run: Run, part: Part = "group") -> dict[str, Difference]:
    """Part -> on minus off in the share of right answers, for ``plots.differences``."""
    rows = _rows(run)
    pair = _pair(rows)
    parts = {"all": rows} | _parts(run, part)
    if pair is None:
        return {}
    found = {name: _difference(own, pair, "score", share=True) for name, own in parts.items()}
    return {name: one for name, one in found.items() if one is not None}


def turned(run: Run, most: int = 10) -> list[dict[str, Any]]:
    """The problems that thinking turns most: right with it and wrong without, then the reverse.

    Ids only, so that a benchmark whose text must not be shown is not shown.

    Args:
        run: With reasoning on and off.
        most: Problems of each of the two kinds.
    """
    rows = _rows(run)
    pair = _pair(rows)
    if pair is None:
        return []
    on, off = (_values(_arms(rows)[arm], "score") for arm in pair)
    spent, saved = (_values(_arms(rows)[arm], "output_tokens") for arm in pair)
    gaps = {one: _mean(on[one]) - _mean(off[one]) for one in on if one in off}
    paid = sorted((one for one in gaps if gaps[one] > 0), key=lambda one: -gaps[one])
    lost = sorted((one for one in gaps if gaps[one] < 0), key=lambda one: gaps[one])
    return [
        {
            "thinking": word,
            "problem": one,
            "right with": _mean(on[one]),
            "right without": _mean(off[one]),
            "tokens more": _mean(spent[one]) - _mean(saved[one]),
        }
        for word, listed in (("pays", paid), ("costs", lost))
        for one in listed[:most]
    ]


def longest(run: Run, most: int = 10) -> list[dict[str, Any]]:
    """The longest thoughts, each problem's longest: how long, whether right. No text of any."""
    rows = [row for row in _rows(run) if row["thinking_tokens"]]
    rows.sort(key=lambda row: (-row["thinking_tokens"], row["index"]))
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row["problem"], row)
    return [
        {
            "problem": row["problem"],
            "arm": row["arm"],
            "sample": row["sample"],
            "thinking tokens": row["thinking_tokens"],
            "answer tokens": row["answer_tokens"],
            "right": None if row["score"] is None else row["score"] > 0.5,
            "ended": "cut off" if row["finish_reason"] == "length" else "by itself",
        }
        for row in [*first.values()][:most]
    ]


def lengths(run: Run, column: str = "output_tokens") -> dict[str, dict[str, list[float]]]:
    """The tokens of every answer: arm -> right, wrong or not graded -> values."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in _rows(run):
        if row[column] is not None:
            score = row["score"]
            kind = "not graded" if score is None else "right" if score > 0.5 else "wrong"
            found.setdefault(row["arm"], {}).setdefault(kind, []).append(float(row[column]))
    return found


# --- rows -----------------------------------------------------------------------------------------


def _rows(run: Run) -> list[Row]:
    """The generations that ended well, each with its arm and its problem.

    A judge's rating is neither right nor wrong: its row has no score here.
    """
    names = arm_names(run.plan.cells)
    found: list[Row] = []
    for row in run.rows():
        problem = run.plan.cells[row["index"]].problem
        if row["finish_reason"] in _ENDED_WELL and problem is not None:
            score = None if problem.grader == "judge" else row["score"]
            found.append(row | {"arm": names[row["index"]], "asked": problem, "score": score})
    return found


def _parts(run: Run, part: Part) -> dict[str, list[Row]]:
    read: Callable[[Problem], str] = (
        (lambda problem: problem.group) if part == "group" else (lambda problem: problem.subject)
    )
    found: dict[str, list[Row]] = {}
    for row in _rows(run):
        if name := read(row["asked"]):
            found.setdefault(name, []).append(row)
    return {name: found[name] for name in sorted(found, key=_place)}


def _place(name: str) -> tuple[int, str]:
    """Difficulties from easy to hard, everything else by its name."""
    return DIFFICULTIES.index(name) if name in DIFFICULTIES else len(DIFFICULTIES), name


def _arms(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["arm"], []).append(row)
    return found


def _values(rows: Iterable[Row], column: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        if row[column] is not None:
            found.setdefault(row["problem"], []).append(float(row[column]))
    return found


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


# --- one arm, two arms ----------------------------------------------------------------------------


def _arm(arm: str, rows: list[Row]) -> dict[str, Any]:
    def average(column: str) -> float | None:
        own = _values(rows, column)
        return _mean([_mean(values) for values in own.values()]) if own else None

    return {
        "arm": arm,
        "num_entries": len({row["problem"] for row in rows}),
        "answers": len(rows),
        "avg_tokens": average("output_tokens"),
        "thinking": average("thinking_tokens"),
        "answer": average("answer_tokens"),
        "gen_seconds": average("request_latency"),
        "no answer": sum(row["score"] is not None and row["extracted"] is None for row in rows),
        "cut off": sum(row["finish_reason"] == "length" for row in rows),
        "thinking not closed": sum(bool(row["incomplete"]) for row in rows),
        "thought though off": sum(bool(row["leaked"]) for row in rows),
    }


def _pair(rows: Iterable[Row]) -> tuple[str, str] | None:
    """The first graded arm with reasoning on, and the first without."""
    modes = {row["arm"]: row["mode"] for row in rows if row["score"] is not None}
    on = [arm for arm, mode in modes.items() if mode == Mode.ON]
    off = [arm for arm, mode in modes.items() if mode != Mode.ON]
    return (on[0], off[0]) if on and off else None


def _both(
    rows: Iterable[Row], pair: tuple[str, str], column: str
) -> Iterator[dict[str, list[float]]]:
    arms = _arms(rows)
    yield from (_values(arms.get(arm, ()), column) for arm in pair)


def _difference(
    rows: list[Row], pair: tuple[str, str], column: str, *, share: bool = False
) -> Difference | None:
    on, off = _both(rows, pair, column)
    return difference(on, off, share=share)


def _pays(name: str, rows: list[Row], pair: tuple[str, str]) -> dict[str, Any] | None:
    gain = _difference(rows, pair, "score", share=True)
    tokens = _difference(rows, pair, "output_tokens")
    if gain is None or tokens is None:
        return None
    scores, spent = tuple(_both(rows, pair, "score")), tuple(_both(rows, pair, "output_tokens"))
    each = ratio((spent[0], spent[1]), (scores[0], scores[1])) if gain.sure else None
    priced = each is not None and gain.estimate.value > 0 and tokens.estimate.value > 0
    return {
        "part": name,
        "problems": gain.estimate.count,
        "points more right": _signed(gain.estimate, 100),
        "surely": "yes" if gain.sure else "chance can explain it",
        "tokens more": _signed(tokens.estimate, 1),
        "tokens for each further right answer": number(each[0].value) if each and priced else None,
    }


def _signed(found: Estimate, scale: float) -> str:
    def told(value: float) -> str:
        return f"{scale * value:+,.0f}".replace("-", "−")

    if found.low is None or found.high is None:
        return told(found.value)
    return f"{told(found.value)} [{told(found.low)}, {told(found.high)}]"
