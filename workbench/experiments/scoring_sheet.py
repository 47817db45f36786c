"""A sheet for people to rate answers on, blind to the arms; and the ratings read from it."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

from workbench.errors import InvalidInput
from workbench.evaluation.benchmarks.mtbench import wrong_reference
from workbench.evaluation.grading import NOT_JUDGED
from workbench.evaluation.judging.prompts import role
from workbench.evaluation.judging.rating import HIGHEST, LOWEST
from workbench.experiments.exporting import save
from workbench.experiments.judging import Shown, to_judge
from workbench.experiments.ratings import turn
from workbench.experiments.run import Run
from workbench.printable import one_line
from workbench.records import Score

COLUMNS = ("item", "question_id", "turn", "question", "answer", "reference", "rating")

_NUMBER = re.compile(r"[0-9]{1,2}(?:[.,][0-9]{1,4})?")


def write_sheet(run: Run, path: str | Path, *, seed: int = 0) -> Path:
    """Write every answer that is to be rated to a CSV file, in a random order, arms unnamed.

    The turns of a conversation stand one after the other, as the second cannot be read without
    the first. ``rating`` is to be filled in, with numbers from 1 to 10; ``item`` is how an
    answer is found again.

    Args:
        run: Whose answers.
        path: The file, ``.csv``; it must not be there yet.
        seed: Of the order.

    Returns:
        The path, absolute.

    Raises:
        InvalidInput: There is nothing to rate, a problem is private, another suffix, or there
            is such a file.
        StoreError: The file cannot be written.
    """
    target = Path(path).expanduser().absolute()
    if target.suffix.lower() != ".csv":
        raise InvalidInput(f"A sheet is a CSV file, not {target.name!r}.", remedy="Call it ….csv.")
    if target.exists():
        raise InvalidInput(
            f"{target} is there already, perhaps with ratings.", remedy="Choose another name."
        )
    if any(cell.problem is not None and cell.problem.private for cell in run.plan.cells):
        raise InvalidInput(
            f"Run {run.id} has private problems, whose texts are written to no file.",
            remedy="Have a model that runs here rate them (--judge).",
        )
    conversations: dict[int, list[int]] = {}
    for index in to_judge(run):
        conversations.setdefault(_first(run, index), []).append(index)
    if not conversations:
        raise InvalidInput(
            f"Run {run.id} has no answer to rate.", remedy="Name a run of `workbench eval mtbench`."
        )
    order = list(conversations.values())
    Random(seed).shuffle(order)
    shown = Shown(run)
    frame = import_module("pandas").DataFrame(
        [_line(run, shown, index) for indices in order for index in indices], columns=list(COLUMNS)
    )
    return save(frame, target)


def read_sheet(run: Run, path: str | Path, *, rater: str = "") -> list[Score]:
    """The scores that a filled-in sheet gives a run, for ``Store.add_scores``.

    What has no rating in the sheet has no value, whoever rated it before: one run has one judge.

    Args:
        run: The one that the sheet was written of.
        path: The file, as a spreadsheet saves it: commas or semicolons between, ``7.5`` or
            ``7,5``.
        rater: Who rated.

    Raises:
        InvalidInput: The file cannot be read, a row is wrong (with its number), it is of another
            run, or it has no ratings.
    """
    source = Path(path).expanduser()
    items = {_item(run, index): index for index in to_judge(run)}
    given: dict[int, str] = {}
    seen: set[str] = set()
    for number, row in _rows(source):
        item = row["item"].strip()
        if item not in items:
            raise _refused(source, number, f"there is no item {one_line(item, 40)!r} in {run.id}")
        if item in seen:
            raise _refused(source, number, f"item {item} is there twice")
        seen.add(item)
        if written := row["rating"].strip():
            if _value(written) is None:
                told = one_line(written, 40)
                raise _refused(source, number, f"{told!r} is no number from 1 to 10")
            given[items[item]] = written
    if not given:
        raise InvalidInput(f"{source} has no ratings.", remedy="Fill in its column 'rating'.")
    by = f"human {one_line(rater, 80)}".strip()
    shown = Shown(run)
    return [_score(run, shown, index, given.get(index), by) for index in items.values()]


def _first(run: Run, index: int) -> int:
    """The generation that a conversation began with."""
    while (before := run.plan.cells[index].follows) is not None:
        index = before
    return index


def _line(run: Run, shown: Shown, index: int) -> tuple[Any, ...]:
    cells, last = run.plan.cells, shown.turns(index)[-1]
    problem = cells[index].problem
    name = problem.id.partition("/")[0] if problem else ""
    texts = (last.question, last.answer, last.reference or "")
    return (_item(run, index), name, turn(cells, index), *texts, "")


def _item(run: Run, index: int) -> str:
    """Tells an answer apart, and tells a reader nothing about it."""
    told = hashlib.blake2b(f"{run.id}\x00{index}".encode(), digest_size=5).hexdigest()
    return f"i{told}"  # without a letter before it, a spreadsheet reads 12e4567890 as a number


def _score(run: Run, shown: Shown, index: int, written: str | None, by: str) -> Score:
    problem = run.plan.cells[index].problem
    assert problem is not None
    if written is None:
        return Score(problem.id, index, None, None, NOT_JUDGED)
    about = [role(shown.turns(index))]
    if wrong := wrong_reference(problem.id):
        about.append(f"its reference is known to be wrong: {wrong}")
    return Score(problem.id, index, _value(written), written, "; ".join(about), by)


def _value(written: str) -> float | None:
    if not _NUMBER.fullmatch(written):
        return None
    value = float(written.replace(",", "."))
    return value if LOWEST <= value <= HIGHEST else None


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    pandas = import_module("pandas")
    try:
        text = path.read_text(encoding="utf-8-sig")
        heads = text.partition("\n")[0]
        comma = ";" if heads.count(";") > heads.count(",") else ","
        frame = pandas.read_csv(io.StringIO(text), sep=comma, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or one_line(str(error), 120)
        raise InvalidInput(
            f"{path} cannot be read as a sheet: {why}.", remedy="Save it as CSV in UTF-8."
        ) from None
    if not {"item", "rating"} <= set(frame.columns):
        raise InvalidInput(
            f"{path} is no scoring sheet: it has no columns 'item' and 'rating'.",
            remedy="Write one with --sheet, and fill in its ratings.",
        )
    yield from enumerate(frame[["item", "rating"]].to_dict("records"), start=1)


def _refused(path: Path, number: int, why: str) -> InvalidInput:
    return InvalidInput(
        f"Row {number:,} of {path} is refused: {why}.",
        remedy="Correct it; nothing was stored.",
    )
