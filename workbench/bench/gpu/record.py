"""The record of ``bench gpu``: one JSON file, whole after every value that is written to it.

::

    record      "workbench bench gpu"     what kind of file it is
    layout      1
    rehearsal   true on a CPU: it shows that the code runs, and its figures mean nothing
    facts       the GPU, its driver, versions, the date in UTC, the commit
    calls       the command line and date of every call that wrote to it
    sizes       how much was measured
    sections    name -> status, reason, seconds, values
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from workbench.errors import InvalidInput

KIND = "workbench bench gpu"
LAYOUT = 1

Status = Literal["done", "failed", "out of time", "not run"]

_SAME = ("rehearsal", "gpu", "driver", "torch", "exllamav2")  # facts of one record


class Record:
    """A record that is being written.

    Args:
        path: Of the file; it is replaced as a whole, never written in place.
        document: As above.
    """

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self.path = path
        self.document = document

    def begin(self, section: str) -> None:
        """A section starts, anew if it is there."""
        self._sections[section] = {"status": "not run", "reason": "it was cut off", "values": {}}
        self.save()

    def put(self, section: str, name: str, value: Any) -> None:
        """One value of a section that runs."""
        self._sections[section]["values"][name] = value
        self.save()

    def end(self, section: str, status: Status, reason: str | None, seconds: float) -> None:
        """How a section ended; what it measured until then stays."""
        told = {"status": status, "reason": reason, "seconds": round(seconds, 2)}
        values = self._sections.get(section, {}).get("values", {})
        self._sections[section] = told | {"values": values}
        self.save()

    def done(self) -> tuple[str, ...]:
        """Sections that need not be run again."""
        return tuple(name for name, one in self._sections.items() if one["status"] == "done")

    def save(self) -> None:
        """Write the file, in one piece.

        Raises:
            OSError: It cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        written = self.path.with_name(f"{self.path.name}.new")
        written.write_text(dumps(self.document), encoding="utf-8")
        os.replace(written, self.path)

    @property
    def _sections(self) -> dict[str, Any]:
        sections: dict[str, Any] = self.document["sections"]
        return sections


def dumps(document: Mapping[str, Any]) -> str:
    """The file's text. What is no number for JSON (NaN, infinity) is written as null."""
    return json.dumps(_finite(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def begun(
    path: Path, facts: Mapping[str, Any], sizes: Mapping[str, Any], call: Mapping[str, Any]
) -> Record:
    """A new record, or the one that the file holds, to be gone on with.

    Args:
        path: Of the file.
        facts: Of this machine; ``rehearsal`` among them.
        sizes: Of this call.
        call: Its command line and date.

    Raises:
        InvalidInput: The file holds something else, or was made on another machine.
    """
    if not path.exists():
        head = {"record": KIND, "layout": LAYOUT, "rehearsal": facts["rehearsal"]}
        rest = {"facts": dict(facts), "calls": [dict(call)], "sizes": dict(sizes), "sections": {}}
        return Record(path, head | rest)
    document = read(path)
    unlike = [name for name in _SAME if document["facts"].get(name) != facts.get(name)]
    if unlike or document["sizes"] != json.loads(json.dumps(_finite(sizes))):
        raise InvalidInput(
            f"{path} was measured with another {unlike[0] if unlike else 'amount of work'}.",
            remedy="Give another file: figures of one record are of one machine.",
        )
    document["calls"].append(dict(call))
    return Record(path, document)


def read(path: Path) -> dict[str, Any]:
    """A record from its file.

    Raises:
        InvalidInput: It is none.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{path} cannot be read: {error}.", remedy="Give a file that `bench gpu` wrote."
        ) from error
    if not isinstance(document, dict) or document.get("record") != KIND:
        raise InvalidInput(
            f"{path} is no record of `bench gpu`.", remedy="Give a file that it wrote."
        )
    if document.get("layout") != LAYOUT:
        raise InvalidInput(
            f"{path} has layout {document.get('layout')}, and {LAYOUT} is what is read here.",
            remedy="Read it with the version that wrote it.",
        )
    return document


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
