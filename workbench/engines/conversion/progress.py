"""What the converter prints, read as progress: which pass, which module of how many, how long yet.

Its lines are untrusted text: names of tensors and files stand in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from workbench.printable import one_line

BUILDING = "Building"  # ours; the other passes are the converter's
PASSES = MappingProxyType(
    {
        BUILDING: "building ExLlamaV2's extension",
        "Tokenizing (1)": "reading texts to measure on",
        "Embeddings": "embedding the texts",
        "Measuring": "measuring what each choice of bits costs",
        "Optimizing": "choosing the bits of each layer",
        "Tokenizing (2)": "reading texts to quantise on",
        "Quantizing": "quantising",
        "Compiling": "writing the model",
    }
)
_COUNTED = ("Measuring", "Quantizing")  # passes that go through the modules
_STATUS = re.compile(r"\[STATUS\](\{.*\})\[/STATUS\]")
_LAYER = re.compile(r"^ -- Layer: (\S+)")
_FRAME = re.compile(r'^(  |Traceback |\s*File "|\s*[~^]+\s*$)')
_LONGEST = 200  # characters of a line that is shown


@dataclass(frozen=True, slots=True)
class Step:
    """How far a conversion is."""

    name: str  # of the pass, for people
    done: float  # share of the pass, 0 to 1
    module: int | None  # the one being worked on, from 1; None: the pass has no modules
    modules: int
    at: str  # its name, or nothing
    left_s: float | None  # seconds until this pass ends; None: not known yet

    def __str__(self) -> str:
        where = "" if self.module is None else f", module {self.module} of {self.modules}"
        left = "" if self.left_s is None else f", about {_duration(self.left_s)} left of it"
        return f"{self.name}{where}{f' ({self.at})' if self.at else ''}{left}"


@dataclass(slots=True)
class Reader:
    """Lines in, steps out."""

    modules: int
    clock: Callable[[], float]
    _stage: str = ""
    _begun: tuple[float, float] = (0.0, 0.0)  # clock and share when the pass was first seen
    _done: float = 0.0
    _at: str = ""
    said: list[str] = field(default_factory=list)  # the last lines, for when it fails

    def read(self, line: str) -> Step | None:
        """What a line says of the progress, if anything."""
        if match := _STATUS.search(line):
            return self._status(match[1])
        if line.strip():
            self.said = [*self.said[-29:], line]
        if match := _LAYER.match(line):
            self._at = one_line(match[1], _LONGEST)
            return self._step()
        return None

    def _status(self, text: str) -> Step | None:
        try:
            status = json.loads(text)
            stage, done = str(status["stage"]), float(status["completion"])
        except (ValueError, KeyError, TypeError):
            return None
        if stage not in PASSES:
            return None
        if stage != self._stage:
            self._stage, self._begun = stage, (self.clock(), done)
        self._done, self._at = min(max(done, 0.0), 1.0), ""
        return self._step()

    def _step(self) -> Step | None:
        if not self._stage:
            return None
        counted = self._stage in _COUNTED
        # ExLlamaV2 counts the embedding as done when a pass begins, and starts with the next.
        module = min(round(self._done * self.modules) + 2, self.modules) if counted else None
        name = PASSES[self._stage]
        return Step(name, self._done, module, self.modules, self._at, self._left())

    def _left(self) -> float | None:
        at, share = self._begun
        gone = self._done - share
        return (
            (self.clock() - at) / gone * (1 - self._done) if gone > 0 and self._done < 1 else None
        )


def status(stage: str, done: float) -> str:
    """A line as the converter tells its progress."""
    return f"[STATUS]{json.dumps({'stage': stage, 'completion': done})}[/STATUS]"


def last_word(lines: Sequence[str]) -> str:
    """The line that says best why the converter ended: its own complaint, else an exception's."""
    complaints = [line for line in lines if line.lstrip().startswith(("##", "** Error"))]
    plain = [line for line in lines if not _FRAME.match(line)]
    chosen = (complaints or plain or ["it said nothing"])[-1]
    return one_line(chosen.strip().lstrip("#* "), _LONGEST)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
