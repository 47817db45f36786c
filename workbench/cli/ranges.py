"""Numbers as options write them: ``0.5``, ``0.5,0.8,1``, ``0:1.5:0.25``, or a mixture of these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal, DecimalException

from workbench.errors import InvalidInput

MOST = 1_000_000  # values of one option
_NONE = "none"
_DIGITS = 20  # a whole number has no more


def numbers(
    text: str, option: str, *, whole: bool = False, none: bool = False
) -> list[int | float | None]:
    """The values of an option in their order.

    ``start:stop:step`` counts in exact decimals, the stop included where the steps meet it.

    Args:
        text: As it was typed.
        option: Its name, for the messages.
        whole: Only whole numbers.
        none: The word ``none``, no limit, is a value too.

    Raises:
        InvalidInput: No numbers, or a range that is empty, endless or beyond all measure.
    """
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    if not pieces:
        raise InvalidInput(f"{option} has no value.", remedy=f"Write for example {_form(whole)}.")
    found: list[int | float | None] = []
    for piece in pieces:
        if none and piece.lower() == _NONE:
            found.append(None)
        else:
            found += _plain(_piece(piece, option, whole, none), option, whole)
        if len(found) > MOST:
            raise _too_many(option, len(found))
    return found


def names(given: Iterable[str]) -> list[str]:
    """The names of an option that is repeated, or joins them with commas."""
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def _piece(piece: str, option: str, whole: bool, none: bool) -> list[Decimal]:
    """A number, or the numbers of a range."""
    try:
        values = [Decimal(part.strip()) for part in piece.split(":")]
        if not all(value.is_finite() for value in values) or len(values) not in (1, 3):
            raise ValueError
    except (DecimalException, ValueError):
        also = ", nor none" if none else ""
        raise InvalidInput(
            f"{option} has the value {piece[:80]!r}, which is neither a number nor a range{also}.",
            remedy=f"Write for example {_form(whole)}; a range is start:stop:step.",
        ) from None
    return values if len(values) == 1 else _range(piece, option, *values)


def _range(piece: str, option: str, start: Decimal, stop: Decimal, step: Decimal) -> list[Decimal]:
    if step <= 0:
        raise InvalidInput(
            f"{option}: the range {piece[:80]} has a step of {step}.",
            remedy="Give a step above 0, and the smaller end first.",
        )
    if start > stop:
        raise InvalidInput(
            f"{option}: the range {piece[:80]} is reversed.",
            remedy=f"Write {stop}:{start}:{step}.",
        )
    try:
        count = int((stop - start) / step) + 1
    except ArithmeticError:  # further apart than decimals go
        raise _too_many(option, None) from None
    if count > MOST:
        raise _too_many(option, count)
    return [start + step * place for place in range(count)]


def _plain(values: Iterable[Decimal], option: str, whole: bool) -> Iterator[int | float]:
    for value in values:
        if not whole:
            yield float(value)
        elif value.adjusted() < _DIGITS and value == value.to_integral_value():
            yield int(value)
        else:
            raise InvalidInput(
                f"{option} has the value {str(value)[:80]}, which is no whole number.",
                remedy=f"Write for example {_form(whole)}.",
            )


def _too_many(option: str, count: int | None) -> InvalidInput:
    known = f"{count:,}" if count is not None and count < 10**_DIGITS else "endlessly many"
    return InvalidInput(
        f"{option} has {known} values; at most {MOST:,} are taken.",
        remedy="Give a larger step, or fewer values.",
    )


def _form(whole: bool) -> str:
    return "16,64 or 16:128:16" if whole else "0.5,0.8 or 0:1.5:0.25"
