"""Token X-ray: every token of an answer by latency, probability or entropy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import traitlets

from workbench.errors import InvalidInput, WorkbenchError
from workbench.metrics import TokenTime, token_times, trace
from workbench.models.catalogue import locate
from workbench.models.tokenizer import Tokenizer
from workbench.pages import prose
from workbench.pages.page import Page
from workbench.printable import printable
from workbench.records import Channel, Generation
from workbench_widgets.feed import LETTER, units
from workbench_widgets.modules import module, style
from workbench_widgets.part import Part, Told

_NUMBERS = MappingProxyType({one: "tam".index(LETTER(one)) for one in Channel})
_SEEDS = 2**32


class Branch(Protocol):
    """Goes on from a token in another way; see ``workbench.experiments.branch``."""

    def __call__(
        self,
        at: int,
        what: str,
        *,
        token: int | None = None,
        close: bool = False,
        seed: int | None = None,
    ) -> None: ...


class Xray(Part):
    """The tokens of one generation, one by one.

    Args:
        generation: Its request should have recorded log-probabilities and alternatives; without
            them only the latencies are shown.
        title: What it is of.
        branch: Asks for another way on from a token; default: nobody does. In a ``Compare``
            the branch opens beside its origin.
    """

    _esm = traitlets.Unicode(module("xray")).tag(sync=True)
    _css = traitlets.Unicode(style("base", "arm", "xray")).tag(sync=True)

    def __init__(
        self, generation: Generation, *, title: str = "", branch: Branch | None = None
    ) -> None:
        self.generation = generation
        self._branch = branch
        self._title = title or str(generation.request.mode)
        self._times = token_times(generation)
        super().__init__()

    def do_columns(self) -> None:
        """The tokens as columns, in one message of numbers."""
        columns = columns_of(self.generation, self._times)
        self.send(
            {"k": "columns", "names": [[name, str(own.dtype)] for name, own in columns.items()]},
            buffers=[own.tobytes() for own in columns.values()],
        )

    def do_token(self, index: int) -> None:
        """The alternatives of one token."""
        found = [
            {"id": own, "text": self._word(own), "logprob": logprob}
            for own, logprob in self._time(index).alternatives or ()
        ]
        self.say("token", index=index, alternatives=found)

    def do_take(self, index: int, token: int) -> None:
        """Branch: another token in the place of this one."""
        word = self._word(token)
        shown = f"id {token}" if word is None else repr(word)
        self._leave(index, f"takes {shown} there", token=token)

    def do_shut(self, index: int) -> None:
        """Branch: end the thinking behind this token."""
        self._leave(index + 1, "ends the thinking there", close=True)

    def do_redraw(self, index: int) -> None:
        """Branch: draw this token and all behind it by other numbers."""
        seed = (self.generation.request.sampling.seed + 1 + index) % _SEEDS
        self._leave(index, f"drawn anew with seed {seed}", seed=seed)

    def _leave(self, at: int, what: str, **how: Any) -> None:
        self._time(min(at, len(self._times) - 1))
        if self._branch is None:
            raise InvalidInput(
                "Nobody here asks for branches.", remedy="Open the answer in Compare.of(run)."
            )
        self._branch(at, what, **how)

    def _time(self, index: int) -> TokenTime:
        if not 0 <= index < len(self._times):
            raise InvalidInput("There is no such token.", remedy="Choose one of the text.")
        return self._times[index]

    def _word(self, own: int) -> str | None:
        """What a token writes; ``None``: nobody knows here."""
        return self._words.get(own) or self._piece(own)

    def _piece(self, own: int) -> str | None:
        return None if self._tokenizer is None else printable(self._tokenizer.decode([own]))

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        """The model's, where it is on this machine."""
        spec = self.generation.spec
        if spec.kind not in ("exllama", "reference"):
            return None
        try:
            return Tokenizer.from_folder(locate(spec.model, spec.revision))
        except WorkbenchError:
            return None

    @cached_property
    def _words(self) -> Mapping[int, str]:
        """What the tokens of the text wrote in it."""
        found: dict[int, str] = {}
        for chunk in self.generation.chunks():
            if len(chunk.ids) == 1 and chunk.text:
                found.setdefault(chunk.ids[0], printable(chunk.text))
        return found

    def tell(self) -> Told:
        read = trace(self.generation)
        return {
            "title": self._title,
            "text": "".join(printable(chunk.text) for chunk in self.generation.chunks()),
            "tokens": len(self._times),
            "prefill": read.first,
            "recorded": any(time.logprob is not None for time in self._times),
            "alternatives": any(time.alternatives for time in self._times),
            "branches": self._branch is not None,
            "drawn": self.generation.request.sampling.temperature > 0,
        }

    def still(self) -> Page:
        return prose(f"{self._title}: {len(self._times):,} tokens.")

    def __repr__(self) -> str:
        return f"Xray({self._title!r}, {len(self._times):,} tokens)"


def columns_of(
    generation: Generation, times: tuple[TokenTime, ...] | list[TokenTime]
) -> dict[str, npt.NDArray[Any]]:
    """A column a quantity, a row a token; what is undefined is NaN, which only the page sees.

    ``end`` is where the token's text ends in the whole text, in UTF-16 units: tokens whose text
    was held back end where the token before does.
    """
    ends = _ends(generation)
    return {
        "end": np.array(ends, np.uint32),
        "id": np.array([time.id for time in times], np.uint32),
        "channel": np.array([_NUMBERS[time.channel] for time in times], np.uint8),
        "t": np.array([time.t for time in times], np.float32),
        "gap": _floats(time.gap for time in times),
        "logprob": _floats(time.logprob for time in times),
        "entropy": _floats(_entropy(time) if time.alternatives else None for time in times),
    }


def _ends(generation: Generation) -> list[int]:
    """Where each token's text ends; a chunk's text is dealt to its ids in equal shares."""
    found: list[int] = []
    place = 0
    for chunk in generation.chunks():
        size = units(printable(chunk.text))
        if chunk.ids:
            count = len(chunk.ids)
            found += [place + size * (i + 1) // count for i in range(count)]
        elif found:
            found[-1] = place + size
        place += size
    return found


def _entropy(time: TokenTime) -> float | None:
    """Nats, of what was recorded; the rest counts as one candidate, so it is at least this."""
    if not time.alternatives:
        return None
    logs = np.array([logprob for _, logprob in time.alternatives])
    masses = np.exp(logs)
    rest = max(0.0, 1.0 - float(masses.sum()))
    tail = -rest * np.log(rest) if rest > 0 else 0.0
    return float(-(masses * logs).sum() + tail)


def _floats(values: Any) -> npt.NDArray[np.float32]:
    return np.array([np.nan if value is None else value for value in values], np.float32)
