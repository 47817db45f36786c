"""Tables as files for other programs: CSV, Parquet, JSONL; and back."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from workbench import chat
from workbench.errors import InvalidInput, StoreError

if TYPE_CHECKING:
    import pandas as pd

# What a spreadsheet would calculate: text that begins like a formula, also after white space
# and in the wide forms of East Asian keyboards; and our own mark, so that it can be taken off.
_FORMULA = re.compile(r"[\s\x00]*[=+\-@'\t\r＝＋－＠]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
_MARK = "'"


def save(frame: pd.DataFrame, path: str | Path) -> Path:
    r"""Write a table, such as ``run.frame()`` or ``run.cells()``, as its suffix says.

    The file appears whole or not at all; an older one of that name is replaced. UTF-8; half
    characters, which have no UTF-8, become U+FFFD.

    - ``.csv``: a missing value is empty, and so is an empty text. Text comes from models,
      and a spreadsheet calculates text that begins like a formula (``=`` ``+`` ``-`` ``@``),
      which can fetch and send: such a text, unless it is a plain number such as ``-5``, is
      written with an apostrophe before it, which spreadsheets read as "text"; and so is one
      that begins with an apostrophe. ``read`` takes it off again.
    - ``.parquet``: types are kept. A column of texts and numbers at once is written as texts.
    - ``.jsonl``: an object a line; a missing value is ``null``, numbers keep every digit.

    Returns:
        The path, absolute.

    Raises:
        InvalidInput: Another suffix.
        StoreError: The file cannot be written.
    """
    target = Path(path).expanduser().absolute()
    write = _WRITERS[_suffix(target)]
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(_cleaned(frame), part)
        part.replace(target)
    except OSError as error:
        raise StoreError(
            f"{target.name} cannot be written: {error.strerror or error}.",
            remedy="Choose another folder, or make room.",
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return target


def read(path: str | Path) -> pd.DataFrame:
    """A table that ``save`` wrote.

    CSV knows no types: a column of texts that look like numbers comes back as numbers.

    Raises:
        InvalidInput: There is no such file, it has another suffix, or it is not such a table.
    """
    import pandas as pd  # noqa: PLC0415

    source = Path(path).expanduser()
    suffix = _suffix(source)
    try:
        if suffix == ".parquet":
            return pd.read_parquet(source)
        if suffix == ".csv":
            return pd.read_csv(source, encoding="utf-8").map(_unmarked)
        lines = source.read_text(encoding="utf-8").split("\n")
        return pd.DataFrame([json.loads(line) for line in lines if line])
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{source.name} cannot be read as a table: {error}.", remedy="Export it again."
        ) from error


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise InvalidInput(
            f"A table cannot be kept in {path.name!r}.",
            remedy=f"Give a name that ends with {', '.join(_WRITERS)}.",
        )
    return suffix


def _to_csv(frame: pd.DataFrame, path: Path) -> None:
    # Lines end as RFC 4180 has them; a line break of either kind within a text is then quoted.
    marked = frame.map(_marked)
    marked.to_csv(path, index=False, encoding="utf-8", lineterminator="\r\n")


def _to_parquet(frame: pd.DataFrame, path: Path) -> None:
    mixed = [name for name in frame.columns if _mixed(frame[name])]
    texts = {name: frame[name].map(str, na_action="ignore") for name in mixed}
    frame.assign(**texts).to_parquet(path, engine="pyarrow", index=False)


def _to_jsonl(frame: pd.DataFrame, path: Path) -> None:
    columns = [(name, _known(frame[name])) for name in frame.columns]
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for number in range(len(frame)):
            row = {name: _plain(values[number]) for name, values in columns}
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False, default=str) + "\n")


_WRITERS: MappingProxyType[str, Callable[[pd.DataFrame, Path], None]] = MappingProxyType(
    {".csv": _to_csv, ".parquet": _to_parquet, ".jsonl": _to_jsonl}
)


def _cleaned(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.map(partial(_if_text, chat.clean))


def _marked(value: Any) -> Any:
    return _if_text(_apostrophe, value)


def _apostrophe(text: str) -> str:
    calculated = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return _MARK + text if calculated else text


def _unmarked(value: Any) -> Any:
    return _if_text(lambda text: text.removeprefix(_MARK), value)


def _if_text(change: Callable[[str], str], value: Any) -> Any:
    return change(value) if isinstance(value, str) else value


def _mixed(column: pd.Series[Any]) -> bool:
    """Values that Parquet has no common type for."""
    if column.dtype != object:
        return False
    kinds = {type(value) for value in column.dropna()}
    return len(kinds) > 1 and not kinds <= {int, float}


def _known(column: pd.Series[Any]) -> list[Any]:
    """The values, ``None`` for what pandas knows as missing."""
    values, missing = column.to_list(), column.isna().to_list()
    return [None if gone else value for value, gone in zip(values, missing, strict=True)]


def _plain(value: Any) -> Any:
    """For JSON, which does not know infinity: as text."""
    infinite = isinstance(value, float) and math.isinf(value)
    return str(value) if infinite else value
