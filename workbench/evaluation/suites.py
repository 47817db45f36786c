"""Suites of problems by name: a benchmark, or a file of JSON lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench import codec
from workbench.errors import InvalidInput
from workbench.evaluation import benchmarks
from workbench.evaluation.problems import DIFFICULTIES, arithmetic_suite
from workbench.records import Problem

SUITES: tuple[str, ...] = ("arithmetic", *(n for n in benchmarks.BENCHMARKS if n != "arithmetic"))

_COUNT = 30  # problems of the embedded suite, where nobody says how many
_LARGEST = 100_000_000  # bytes of a file: more is not a list of questions
_FORM = '{"prompt": "…", "answer": "…"}'


def suite(
    name: str | Path,
    count: int | None = None,
    seed: int = 0,
    difficulties: tuple[str, ...] | None = None,
    *,
    data: str | Path | None = None,
    sample: int = 0,
) -> tuple[Problem, ...]:
    """The problems of a suite.

    A file holds an object a line: ``prompt`` (text), and where there are such ``answer``
    (text or a number), ``id`` (text or a whole number; default: ``line-7``), ``group``
    (text). Other keys and empty lines are passed over.

    Args:
        name: A benchmark, see ``benchmarks``, or a file in UTF-8.
        count: How many: of a file the first ones, default all; of ``arithmetic`` 30; of
            the other benchmarks spread evenly, default all.
        seed: Of ``arithmetic``: other seeds give other problems; of ``gpqa``: options
            in another order.
        difficulties: Only these groups; of ``arithmetic`` easy, medium, hard.
        data: The benchmark's own file, instead of the hub's.
        sample: Number of the repeat; in each the options of ``gpqa`` stand in another order.

    Raises:
        InvalidInput: No such suite or file, a line that is no problem (with its number
            and the reason), or fewer problems than were asked for.
    """
    if count is not None and count < 1:
        raise InvalidInput(f"{count} problems were asked for.", remedy="Ask for at least one.")
    if name == "arithmetic" and data is None:
        wanted = DIFFICULTIES if difficulties is None else tuple(difficulties)
        return arithmetic_suite(_COUNT if count is None else count, seed=seed, difficulties=wanted)
    if str(name) in SUITES or data is not None:
        return _benchmark(str(name), data, count, difficulties, seed, sample)
    path = Path(name).expanduser()
    problems = list(_problems(path, _text(path, _bytes(path))))
    if not problems:
        raise InvalidInput(f"{path} holds no problem.", remedy=f"Write a line like {_FORM}.")
    return _some(path, problems, count, difficulties)


def _benchmark(
    name: str,
    data: str | Path | None,
    count: int | None,
    groups: tuple[str, ...] | None,
    seed: int,
    sample: int,
) -> tuple[Problem, ...]:
    if groups is None:
        return benchmarks.load(name, data, count, seed, sample)
    every = benchmarks.load(name, data, None, seed, sample)
    return _some(name, list(every), count, groups)


def _bytes(path: Path) -> bytes:
    try:
        if path.is_file() and path.stat().st_size > _LARGEST:
            raise InvalidInput(
                f"{path} has {path.stat().st_size:,} bytes; at most {_LARGEST:,} are read.",
                remedy="Split it.",
            )
        return path.read_bytes()
    except (FileNotFoundError, ValueError):  # a name may hold what no file's name can
        named = not path.suffix and path.name == str(path)
        what = f"suite {str(path)!r}" if named else f"file {str(path)!r}"
        raise InvalidInput(
            f"There is no {what}.",
            remedy=f"Choose {', '.join(SUITES)}, or name a file with a line like {_FORM} "
            "for every problem.",
        ) from None
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror or error}.",
            remedy="Name a file with a JSON object a line, and see that it may be read.",
        ) from None


def _text(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _bad(path, line, f"it is not UTF-8 (byte 0x{raw[error.start]:02x})") from None


def _problems(path: Path, text: str) -> Iterator[Problem]:
    places: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):  # not at U+2028, which JSON allows
        if not line.strip():
            continue
        problem = _problem(path, number, line)
        if problem.id in places:
            why = f"its id {problem.id!r} is that of line {places[problem.id]} too"
            raise _bad(path, number, why)
        places[problem.id] = number
        yield problem


def _problem(path: Path, number: int, line: str) -> Problem:
    try:
        found = codec.loads(line)
    except InvalidInput as error:
        why = error.message.partition(": ")[2].rstrip(".")
        raise _bad(path, number, f"it is not JSON ({why})") from None
    try:
        return _of(found, f"line-{number}")
    except ValueError as error:
        raise _bad(path, number, str(error)) from None


def _of(found: Any, name: str) -> Problem:
    """The problem of a line's value.

    Raises:
        ValueError: It is none; why.
    """
    if not isinstance(found, Mapping):
        raise ValueError(f"it is {_kind(found)}, not an object like {_FORM}")
    if "prompt" not in found:
        has = ", ".join(map(repr, list(found)[:5])) or "nothing"
        raise ValueError(f'it has no "prompt"; it has {has}')
    if not isinstance(found["prompt"], str):
        raise ValueError(f'its "prompt" is {_kind(found["prompt"])}, not a text')
    if not found["prompt"].strip():
        raise ValueError('its "prompt" is empty')
    return Problem(
        id=_word(found, "id", numbers=int) or name,
        prompt=found["prompt"],
        answer=_word(found, "answer", numbers=int | float),
        group=_word(found, "group", numbers=None) or "",
    )


def _word(found: Mapping[str, Any], key: str, *, numbers: Any) -> str | None:
    """A text that may be left out, or be a number."""
    value = found.get(key)
    if value is None:
        return None
    if numbers is not None and isinstance(value, numbers) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError(f'its "{key}" is {value}, not a finite number')
        return str(value)
    if not isinstance(value, str):
        also = " or a number" if numbers is not None else ""
        raise ValueError(f'its "{key}" is {_kind(value)}, not a text{also}')
    if not value.strip() and key != "group":
        raise ValueError(f'its "{key}" is empty; leave it out')
    return value


def _kind(value: object) -> str:
    """A JSON value's kind, as its own language calls it."""
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case int() | float():
            return f"the number {str(value)[:20]}"
        case str():
            return "a text"
        case list():
            return "an array"
    return "an object"


def _some(
    name: object, problems: list[Problem], count: int | None, groups: tuple[str, ...] | None
) -> tuple[Problem, ...]:
    if groups is not None:
        there = list(dict.fromkeys(problem.group for problem in problems))
        unknown = [group for group in groups if group not in there]
        if unknown or not groups:
            raise InvalidInput(
                f"{name} has no group {', '.join(map(repr, unknown)) or 'given'}.",
                remedy=f"Choose from {', '.join(map(repr, there[:20]))}.",
            )
        problems = [problem for problem in problems if problem.group in groups]
    if count is not None and count > len(problems):
        raise InvalidInput(
            f"{name} has {len(problems)} of the {count} problems that were asked for.",
            remedy=f"Ask for at most {len(problems)}.",
        )
    return tuple(problems[:count])


def _bad(path: Path, line: int, why: str) -> InvalidInput:
    return InvalidInput(
        f"Line {line} of {path} is no problem: {why}.",
        remedy=f"Write one object a line in UTF-8, like {_FORM}.",
    )
