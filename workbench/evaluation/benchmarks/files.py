"""A benchmark's file as rows: JSON lines, CSV or Parquet; what is wrong is told with its row."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from workbench import codec
from workbench.errors import InvalidInput
from workbench.printable import one_line

T = TypeVar("T")

_LARGEST = 200_000_000  # bytes of a file: more is no benchmark of these


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file, with its number from 1 on."""

    number: int
    fields: Mapping[str, Any]

    def text(self, *names: str) -> str:
        """The text of the first of the named fields that the row has, exactly as it stands.

        Raises:
            ValueError: It has none of them, or it is empty or no text.
        """
        name = next((name for name in names if name in self.fields), None)
        if name is None:
            has = ", ".join(repr(one_line(str(key), 30)) for key in list(self.fields)[:8])
            raise ValueError(f"it has no {names[0]!r}; it has {has or 'nothing'}")
        value = self.fields[name]
        if not isinstance(value, str):
            raise ValueError(f"its {name!r} is no text")
        if not value.strip():
            raise ValueError(f"its {name!r} is empty")
        return value

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number, which may be written as text.

        Raises:
            ValueError: The row has none there, or it lies outside.
        """
        value = self.fields.get(name)
        digits = str(value).strip()[:20]
        known = isinstance(value, int | str) and not isinstance(value, bool)
        if not (known and digits.isascii() and digits.isdigit()) or not low <= int(digits) <= high:
            told = one_line(repr(value), 40)
            raise ValueError(f"its {name!r} is {told}, not a whole number from {low} to {high}")
        return int(digits)


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, by what its name ends with: ``.csv``, ``.parquet``, else JSON lines.

    Raises:
        InvalidInput: It cannot be read, or a row is none; with its number.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    text = decoded(path, bytes_of(path))
    return csv_rows(path, text) if suffix == ".csv" else list(_lines(path, text))


def bytes_of(path: Path) -> bytes:
    """What stands in a file.

    Raises:
        InvalidInput: There is none, it cannot be read, or it is beyond measure.
    """
    try:
        if path.is_file() and path.stat().st_size > _LARGEST:
            raise InvalidInput(
                f"{path} has {path.stat().st_size:,} bytes; at most {_LARGEST:,} are read.",
                remedy="Name the benchmark's own file.",
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(
            f"{path} cannot be read: {why}.", remedy="Name a file that is there with --data."
        ) from None


def decoded(path: Path, raw: bytes) -> str:
    """Text in UTF-8, with or without a byte order mark.

    Raises:
        InvalidInput: It is not UTF-8.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise refused(path, line, f"it is not UTF-8 (byte 0x{raw[error.start]:02x})") from None


def csv_rows(path: Path, text: str) -> list[Row]:
    """The records of a CSV text; the first row that is counted stands below the heads.

    Raises:
        InvalidInput: A record has fewer or more cells than heads: the file was cut off.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    rows: list[Row] = []
    try:
        for number, record in enumerate(reader, start=1):
            if None in record.values() or "" in record:
                raise refused(path, number, "it has not as many cells as the heads")
            rows.append(Row(number, record))
    except csv.Error as error:
        raise refused(path, len(rows) + 1, f"it is not CSV ({error})") from None
    return rows


def each(path: Path, rows: Sequence[Row], read: Callable[[Row], T]) -> list[T]:
    """What ``read`` makes of every row.

    Raises:
        InvalidInput: It raised ``ValueError``; with the row's number and the reason.
    """
    found = []
    for row in rows:
        try:
            found.append(read(row))
        except ValueError as error:
            raise refused(path, row.number, str(error)) from None
    return found


def complete(path: Path, rows: Sequence[Row], title: str, size: int) -> None:
    """Refuse a file that has not as many rows as the benchmark.

    Raises:
        InvalidInput: So it is: cut off, or another one.
    """
    if len(rows) != size:
        ends = f"it ends after row {len(rows):,}" if len(rows) < size else "it is another file"
        raise InvalidInput(
            f"{path} is not {title}: it has {len(rows):,} rows of {size:,}; {ends}.",
            remedy="Get the whole file; --limit asks only some of its problems.",
        )


def different(path: Path, names: Sequence[str]) -> None:
    """Refuse a file in which two rows have one name.

    Raises:
        InvalidInput: So it is; with the second row's number.
    """
    places: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if name in places:
            raise refused(path, number, f"it is row {places[name]} again ({one_line(name, 60)})")
        places[name] = number


def genuine(path: Path, title: str, found: str, expected: str, what: str) -> None:
    """Refuse a file whose content is not the benchmark's.

    Raises:
        InvalidInput: The digests differ.
    """
    if found != expected:
        raise InvalidInput(
            f"{path} is not {title}: the SHA-256 of its {what} is {found[:12]}…, "
            f"not {expected[:12]}….",
            remedy="Get the benchmark's own file; other problems are a suite: sweep takes them.",
        )


def refused(path: Path, number: int, why: str) -> InvalidInput:
    """The error of a row."""
    return InvalidInput(
        f"Row {number:,} of {path} is refused: {why}.",
        remedy="Get the benchmark's own file again, and name it with --data.",
    )


def _lines(path: Path, text: str) -> Iterator[Row]:
    number = 0
    for line in text.split("\n"):  # not at U+2028, which JSON allows
        if not line.strip():
            continue
        number += 1
        try:
            found = codec.loads(line)
        except InvalidInput as error:
            why = error.message.partition(": ")[2].rstrip(".")
            raise refused(path, number, f"it is not JSON ({why})") from None
        if not isinstance(found, Mapping):
            raise refused(path, number, "it is no JSON object")
        yield Row(number, found)


def _parquet(path: Path) -> list[Row]:
    import pyarrow as pa  # noqa: PLC0415  (heavy, and only the hub's files are Parquet)
    from pyarrow import parquet  # noqa: PLC0415

    try:
        records = parquet.read_table(pa.BufferReader(bytes_of(path))).to_pylist()
    except pa.ArrowException as error:
        raise InvalidInput(
            f"{path} is not Parquet: {one_line(str(error), 120)}.",
            remedy="Get the benchmark's own file again, and name it with --data.",
        ) from None
    return [Row(number, record) for number, record in enumerate(records, start=1)]
