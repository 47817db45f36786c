"""The report notebooks: where they lie, and what parameters they take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill

from workbench import __file__ as package
from workbench import chat
from workbench.errors import InvalidInput
from workbench.printable import one_line

_PACKAGE = Path(package).resolve().parent
# What papermill lets through when a file is JSON of another kind.
_UNREADABLE = (ValueError, KeyError, AttributeError, TypeError, nbformat.ValidationError)
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")
_NOTHING = ("", "none", "null")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One line of a notebook's ``parameters`` cell."""

    name: str
    type: str  # str, int, float, bool, list[…] of them, Optional[…] of any of them
    default: str  # as Python writes it
    help: str

    def parse(self, raw: object) -> object:
        """A value for the notebook; a string is read as the parameter's type.

        Raises:
            InvalidInput: It is not one.
        """
        if not isinstance(raw, str):
            return [*raw] if isinstance(raw, list | tuple) else raw
        text = chat.clean(raw)
        try:
            return _read(self.type, text)
        except ValueError:
            raise InvalidInput(
                f"{self.name} is {one_line(repr(text), 200)}; it must be {self.type}.",
                remedy=f"The default is {self.default}: {self.help}.",
            ) from None


def checkout() -> Path | None:
    """The root of the source tree this package lies in; ``None`` when it was installed."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() else None


def names() -> tuple[str, ...]:
    """The reports there are."""
    return tuple(sorted(path.stem for path in _packaged()))


def find(name: str) -> Path:
    """The notebook of a report, or a notebook of the user's own, by its path.

    Raises:
        InvalidInput: There is none.
    """
    own = Path(name)
    if own.suffix == ".ipynb" and own.is_file():
        return own
    paths = [path for path in _packaged() if path.stem == name]
    if not paths:
        raise InvalidInput(
            f"There is no report {name!r}.",
            remedy=f"Choose from {', '.join(names())}, or give the path of a notebook.",
        )
    return paths[0]


def parameters_of(name: str) -> dict[str, Parameter]:
    """The parameters of a report, by name, in the notebook's order.

    Raises:
        InvalidInput: There is no such report, or it is not a Python notebook.
    """
    path = find(name)
    try:
        found = papermill.inspect_notebook(literal(path))
    except _UNREADABLE as error:
        raise InvalidInput(
            f"{path} cannot be read as a Python notebook: {one_line(str(error), 200)}",
            remedy="Open it in JupyterLab and save it again.",
        ) from error
    return {
        key: Parameter(key, entry["inferred_type_name"], entry["default"], entry["help"])
        for key, entry in found.items()
    }


def parsed(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given parameters as the notebook takes them.

    Raises:
        InvalidInput: An unknown parameter, or a value of another type.
    """
    known = parameters_of(name)
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        told = ", ".join(map(repr, unknown))
        raise InvalidInput(
            f"The report {name} has no parameter{'s' if len(unknown) > 1 else ''} {told}.",
            remedy=f"Known: {', '.join(known)}.",
        )
    return {key: known[key].parse(value) for key, value in given.items()}


def start() -> Path:
    """The notebook that shows the live workbench."""
    return (checkout() or _PACKAGE) / "notebooks" / "0_start.ipynb"


def _packaged() -> list[Path]:
    """The report notebooks, in the package or beside it in a checkout."""
    folder = (checkout() or _PACKAGE) / "notebooks" / "reports"
    return list(folder.glob("*.ipynb"))


def literal(path: Path) -> str:
    """The path for papermill, which reads braces in it as its own parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _read(kind: str, text: str) -> object:
    """A value of a type, as papermill names it."""
    if (inner := _inside("Optional", kind)) is not None:
        return None if text.strip().lower() in _NOTHING else _read(inner, text)
    if kind.startswith("list"):
        inner = _inside("list", kind) or "str"
        return [_item(inner, item) for item in _items(text)]
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text)
    if kind == "bool":
        return (*_NO, *_YES).index(text.strip().lower()) >= len(_NO)
    return text


def _inside(outer: str, kind: str) -> str | None:
    """``X`` of ``outer[X]``; ``None`` for any other type."""
    if not (kind.startswith(f"{outer}[") and kind.endswith("]")):
        return None
    return kind[len(outer) + 1 : -1]


def _items(text: str) -> list[Any]:
    """A JSON array, or values between commas."""
    if not text.strip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    items = json.loads(text)
    if not isinstance(items, list):
        raise ValueError
    return items


def _item(kind: str, item: object) -> object:
    """One value of a list; a JSON array may hold texts, numbers, true, false and null."""
    if item is None:
        return _read(kind, "none")
    if isinstance(item, dict | list):
        raise ValueError
    return _read(kind, item if isinstance(item, str) else json.dumps(item))
