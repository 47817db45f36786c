"""Worked solutions: what the model writes between `<think>` and `</think>`.

Each line does one operation digit by digit, lowest digit first, and then writes the whole remaining
expression again, so that every next symbol can be copied from close by:

    Work out 47+38-12.
    47+38: 7+8=15, 4+3+1=8, so 85-12
    85-12: 5-2=3, 8-1=7, so 73
"""

from __future__ import annotations

from workbench.models.demo.arithmetic import terms

Term = tuple[str, tuple[int, ...]]


def thinking(expression: str) -> str:
    """The worked solution of an expression, without the tags; its last number is the value."""
    lines = [f"Work out {_written(terms(expression))}."]
    pending = terms(expression)
    while len(pending) > 1 or len(pending[0][1]) > 1:
        line, pending = _step(pending)
        lines.append(line)
    return "\n".join(lines)


def _step(pending: list[Term]) -> tuple[str, list[Term]]:
    """One line of work and the terms that are left after it: products first, then left to right."""
    for index, (sign, factors) in enumerate(pending):
        if len(factors) == 2:
            work, made = _multiply(*factors)
            rest = [*pending[:index], *((sign, part) for part in made), *pending[index + 1 :]]
            return _line(_body(factors), work, rest)
    (_, (left,)), (sign, (right,)) = pending[:2]
    work = _add(left, right) if sign == "+" else _subtract(left, right)
    total = left + right if sign == "+" else left - right
    return _line(f"{left}{sign}{right}", work, [("+", (total,)), *pending[2:]])


def _line(operation: str, work: str, rest: list[Term]) -> tuple[str, list[Term]]:
    return f"{operation}: {work}, so {_written(rest)}", rest


def _multiply(left: int, right: int) -> tuple[str, list[tuple[int, ...]]]:
    """The columns of a product, or its split into tens and ones if both factors are long."""
    if min(left, right) >= 10 and right % 10:
        return "split", [(left, right - right % 10), (left, right % 10)]
    if left < 10 <= right:
        return _scaled(right, left, left_first=False), [(left * right,)]
    factor = right // 10 if right >= 10 else right
    return _scaled(left, factor, left_first=True), [(left * right,)]


def _scaled(number: int, factor: int, *, left_first: bool) -> str:
    columns, carry = [], 0
    for digit in map(int, reversed(str(number))):
        product = f"{digit}×{factor}" if left_first else f"{factor}×{digit}"
        total = digit * factor + carry
        columns.append(f"{product}{_carried(carry)}={total}")
        carry = total // 10
    return ", ".join(columns)


def _add(left: int, right: int) -> str:
    columns, carry = [], 0
    for upper, lower in _pairs(left, right):
        total = upper + lower + carry
        columns.append(f"{upper}+{lower}{_carried(carry)}={total}")
        carry = total // 10
    return ", ".join(columns)


def _subtract(left: int, right: int) -> str:
    """Columns of a difference: a borrowed ten is put before the digit, a lent one is taken off."""
    columns, lent = [], 0
    for upper, lower in _pairs(left, right):
        borrowed = int(upper - lent < lower)
        written = f"{upper + 10 * borrowed}{'-1' if lent else ''}-{lower}"
        columns.append(f"{written}={upper + 10 * borrowed - lent - lower}")
        lent = borrowed
    return ", ".join(columns)


def _pairs(left: int, right: int) -> list[tuple[int, int]]:
    """The digits of both numbers, lowest first, the shorter one filled up with zeros."""
    width = max(len(str(left)), len(str(right)))
    upper, lower = str(left).zfill(width), str(right).zfill(width)
    return [(int(a), int(b)) for a, b in zip(reversed(upper), reversed(lower), strict=True)]


def _carried(carry: int) -> str:
    return f"+{carry}" if carry else ""


def _body(factors: tuple[int, ...]) -> str:
    return "×".join(map(str, factors))


def _written(pending: list[Term]) -> str:
    return "".join(f"{sign}{_body(factors)}" for sign, factors in pending).removeprefix("+")
