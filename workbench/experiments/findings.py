"""What a sweep says, in a paragraph: computed from the run, and no more than it shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.errors import InvalidInput
from workbench.evaluation.statistics import Difference, difference
from workbench.experiments import parts
from workbench.experiments.effects import budget, effects
from workbench.experiments.grid import GridCell, grid_cells
from workbench.experiments.price import BATCHED, best, between, default_arms
from workbench.experiments.run import Run
from workbench.experiments.wording import (
    capital,
    counted,
    listed,
    number,
    share,
    title,
)

LEVEL = 0.05  # of every test
_FEW = 30  # problems below which a reader is warned
_MOST = 3  # settings that are named one by one


def findings(run: Run) -> str:
    """The best setting and its rivals, what each axis does, the price of thinking, caveats.

    A rival cannot be told from the best setting where its paired interval or test allows
    for no difference. That the best one is ahead is said without reserve only where the
    test holds at 5 % over all comparisons together (Bonferroni). Where problems are so few
    that no difference could hold, that is all that is said of differences.
    Plain text; the name of a model in it is as untrusted as ever.
    """
    cells = grid_cells(run)
    asked = [cell for cell in cells if len(cell.members) > cell.failed]
    if not asked:
        return "Nothing has been generated, so there is nothing to conclude."
    graded = [cell for cell in asked if cell.accuracy is not None]
    moved = () if _too_few(graded) else effects(graded)
    told = [*_right(graded), *moved, *budget(graded), *_price(graded), *_spent(asked)]
    return " ".join([*told, *_caveats(run, cells)])


def differences(run: Run, column: str = "score") -> dict[str, Difference]:
    """The most accurate grid cell minus each other one on the problems of both, by their names.

    For ``plots.differences``. Empty when nothing was graded.

    Args:
        run: Of whatever kind.
        column: ``score``, or a metric such as ``output_tokens`` or ``request_latency``.

    Raises:
        InvalidInput: The generations have no such column.
    """
    cells = grid_cells(run)
    graded = [cell for cell in cells if cell.accuracy is not None]
    if not graded:
        return {}
    if not all(column in row for cell in graded for row in cell.members[:1]):
        raise InvalidInput(
            f"Generations have no {column!r}.", remedy="Take a column of run.frame()."
        )
    first = best(graded)
    return {
        title(cell, cells): gap
        for cell in graded
        if cell is not first and (gap := _gap(first, cell, column)) is not None
    }


def _right(cells: Sequence[GridCell]) -> Iterator[str]:
    if not cells:
        yield "The prompts have no answer key, so nothing is said about right and wrong."
        return
    first = best(cells)
    assert first.accuracy is not None
    if len(cells) == 1:
        yield f"{share(first.accuracy)} were answered rightly."
        return
    equal = sum(_as_often(first, cell) for cell in cells) - 1
    if equal == len(cells) - 1:
        yield f"All {len(cells)} settings were right equally often: {share(first.accuracy)}."
    else:
        were = f"and {counted(equal, 'other')} were" if equal else "was"
        yield (
            f"Of {len(cells)} settings, {title(first, cells)} {were} right most often: "
            f"{share(first.accuracy)}."
        )
    if _too_few(cells):
        yield (
            f"{_are(_problems(cells))} too few to tell settings apart: even all right against "
            "none right can be chance."
        )
    elif equal < len(cells) - 1:
        yield (
            f"Having been picked as the best of {len(cells)} on these problems, it may do less "
            "well on others."
        )
        yield from _rivals(first, cells)


def _are(problems: int) -> str:
    return f"{counted(problems, 'problem')} {'is' if problems == 1 else 'are'}"


def _as_often(first: GridCell, other: GridCell) -> bool:
    ours, theirs = first.accuracy, other.accuracy
    return ours is not None and theirs is not None and abs(ours.value - theirs.value) < 1e-9


def _problems(cells: Sequence[GridCell]) -> int:
    """The most that a grid cell has a score for."""
    return max((cell.accuracy.count for cell in cells if cell.accuracy is not None), default=0)


def _too_few(cells: Sequence[GridCell]) -> bool:
    """Whether no paired difference can hold: of n problems the least p there is is 2^(1 - n)."""
    return len(cells) > 1 and 2.0 ** (1 - _problems(cells)) >= LEVEL


def _rivals(first: GridCell, cells: Sequence[GridCell]) -> Iterator[str]:
    others = [cell for cell in cells if cell is not first]
    gaps = [(cell, gap) for cell in others if (gap := _gap(first, cell, "score")) is not None]
    alike = [cell for cell, gap in gaps if not gap.sure]
    apart = sum(gap.sure and (gap.p_value or 0) * len(gaps) < LEVEL for _, gap in gaps)
    rest = len(gaps) - len(alike) - apart
    if apart:
        allowed = f", {len(gaps)} comparisons allowed for" if len(gaps) > 1 else ""
        yield f"It is ahead of {apart} of the others by more than chance explains{allowed}."
    if rest:
        yield (
            f"It is {'also ' if apart else ''}ahead of {rest}{' more' if apart else ''} if each is "
            f"taken by itself, which among {len(gaps)} comparisons chance brings about too."
        )
    if not alike:
        return
    few = listed([title(cell, cells) for cell in alike[:_MOST]])
    many = f"the {'remaining' if apart or rest else 'other'} {len(alike)}"
    told = few if len(alike) <= _MOST else many
    yield f"{capital(told)} cannot be told from it on these problems."
    cheapest = min((first, *alike), key=_tokens)
    if cheapest is not first and _tokens(cheapest) < _tokens(first):
        yield (
            f"The one of these with the fewest tokens is {title(cheapest, cells)}: "
            f"{number(_tokens(cheapest))} an answer instead of {number(_tokens(first))}."
        )


def _gap(first: GridCell, other: GridCell, column: str) -> Difference | None:
    return difference(first.values(column), other.values(column), share=column == "score")


def _tokens(cell: GridCell) -> float:
    return cell.output_tokens.value if cell.output_tokens else float("inf")


def _price(cells: Sequence[GridCell]) -> Iterator[str]:
    arms = default_arms(cells)
    found = between(*arms, cells) if arms else None
    if found is not None:
        yield str(found)


def _spent(cells: Sequence[GridCell]) -> Iterator[str]:
    """The span of tokens over the settings, and of seconds where they can be compared."""
    told = [cell for cell in cells if cell.output_tokens and cell.request_latency]
    if len(told) < 2:
        return
    low, high = min(told, key=_tokens), max(told, key=_tokens)
    alone = all(cell.alone for cell in told)
    if _size(low, alone) == _size(high, alone):
        yield f"An answer takes {_size(low, alone)} on average in every setting."
        return
    yield (
        f"The shortest answers are those of {title(low, cells)}, {_size(low, alone)} on average; "
        f"the longest those of {title(high, cells)}, {_size(high, alone)}."
    )


def _size(cell: GridCell, seconds: bool) -> str:
    tokens = f"{number(_tokens(cell))} tokens"
    if not seconds or cell.request_latency is None:
        return tokens
    return f"{tokens} and {number(cell.request_latency.value)} s"


def _caveats(run: Run, cells: Sequence[GridCell]) -> Iterator[str]:
    ended = sum(len(cell.members) for cell in cells)
    total = counted(ended, "answer")
    for count, what in (
        (sum(cell.failed for cell in cells), "failed"),
        (sum(cell.truncated for cell in cells), "ended at the length limit"),
        (sum(cell.incomplete for cell in cells), "never closed the thinking"),
        (sum(cell.leaked for cell in cells), "thought though it was off"),
    ):
        if count:
            yield f"{count:,} of {total} {what}."
    if ended < len(run.plan):
        yield (
            f"The run is not whole: {ended:,} of {len(run.plan):,} generations, which need "
            "not be like the rest."
        )
    yield from parts.told(run.environment)
    if not all(cell.alone for cell in cells):
        yield f"{capital(BATCHED)}: they are not compared."
    count = _problems(cells)
    if 0 < count < _FEW and not _too_few([cell for cell in cells if cell.accuracy]):
        yield f"{_are(count)} few: others may turn out otherwise."
