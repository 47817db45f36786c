"""Token X-ray: every token of an answer by latency, probability or entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import traitlets

from workbench.errors import InvalidInput, WorkbenchError
from workbench.metrics import trace
from workbench.models.catalogue import locate
from workbench.models.tokenizer import Tokenizer
from workbench.pages import prose, side_by_side
from workbench.pages.page import Page
from workbench.printable import printable
from workbench.records import Alternatives, Cell, Channel, Chunk, Generation
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
        super().__init__()

    def do_columns(self) -> None:
        """The tokens as columns, in one message of numbers."""
        columns = columns_of(self.generation, self._texts)
        self.send(
            {"k": "columns", "names": [[name, str(own.dtype)] for name, own in columns.items()]},
            buffers=[own.tobytes() for own in columns.values()],
        )

    def do_token(self, index: int) -> None:
        """The alternatives of one token."""
        found = [
            {"id": own, "text": self._word(own), "logprob": logprob}
            for own, logprob in self._alternatives[self._checked(index)] or ()
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
        self._checked(min(at, self._count - 1))
        if self._branch is None:
            raise InvalidInput(
                "Nobody here asks for branches.", remedy="Open the answer in Compare.of(run)."
            )
        self._branch(at, what, **how)

    def _checked(self, index: int) -> int:
        if not 0 <= index < self._count:
            raise InvalidInput("There is no such token.", remedy="Choose one of the text.")
        return index

    @cached_property
    def _chunks(self) -> Sequence[Chunk]:
        return tuple(self.generation.chunks())

    @cached_property
    def _texts(self) -> Sequence[str]:
        """Of every chunk, with every character that would act made visible."""
        return [printable(chunk.text) for chunk in self._chunks]

    @cached_property
    def _count(self) -> int:
        return len(self.generation.ids)

    @cached_property
    def _alternatives(self) -> Sequence[Alternatives | None]:
        """Of every token."""
        return _each([chunk for chunk in self._chunks if chunk.ids], "alternatives")

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
        for chunk in self._chunks:
            if len(chunk.ids) == 1 and chunk.text:
                found.setdefault(chunk.ids[0], printable(chunk.text))
        return found

    def tell(self) -> Told:
        read = trace(self.generation)
        return {
            "title": self._title,
            "text": "".join(self._texts),
            "tokens": self._count,
            "prefill": read.first,
            "recorded": any(chunk.logprobs for chunk in self._chunks),
            "alternatives": any(chunk.alternatives for chunk in self._chunks),
            "branches": self._branch is not None,
            "drawn": self.generation.request.sampling.temperature > 0,
        }

    def still(self) -> Page:
        whole = prose(f"{self._title}: {self._count:,} tokens.")
        read = side_by_side(
            [(Cell(self.generation.spec, self.generation.request), self.generation)]
        )
        return Page(html=whole.html + read.html, text=f"{whole.text}\n{read.text}")

    def __repr__(self) -> str:
        return f"Xray({self._title!r}, {self._count:,} tokens)"


def columns_of(
    generation: Generation, texts: Sequence[str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """A column a quantity, a row a token; what is undefined is NaN, which only the page sees.

    The same numbers as ``metrics.token_times``, without an object a token: 32,000 of them are
    waited for. ``end`` is where the token's text ends in the whole text, in UTF-16 units: tokens
    whose text was held back end where the token before does.

    Args:
        generation: Whose.
        texts: Of its chunks, as they are shown, where they are known.
    """
    every = tuple(generation.chunks())
    chunks = [chunk for chunk in every if chunk.ids]
    shown = [printable(chunk.text) for chunk in every] if texts is None else texts
    counts = np.array([len(chunk.ids) for chunk in chunks], np.int64)
    t = np.repeat(np.array([chunk.t for chunk in chunks], np.float64), counts)
    gap = np.diff(t, prepend=np.nan)
    gap[: len(generation.request.opening) + 1] = np.nan
    channels = np.array([_NUMBERS[chunk.channel] for chunk in chunks], np.uint8)
    return {
        "end": _ends(every, shown),
        "id": np.array(generation.ids, np.uint32),
        "channel": np.repeat(channels, counts),
        "t": t.astype(np.float32),
        "gap": gap.astype(np.float32),
        "logprob": np.array(_each(chunks, "logprobs", np.nan), np.float32),
        "entropy": np.array([_entropy(one) for one in _each(chunks, "alternatives")], np.float32),
    }


def _each(chunks: Sequence[Chunk], name: str, missing: Any = None) -> list[Any]:
    """What was recorded of every token, in order."""
    found: list[Any] = []
    for chunk in chunks:
        found += getattr(chunk, name) or (missing,) * len(chunk.ids)
    return found


def _ends(chunks: Sequence[Chunk], texts: Sequence[str]) -> npt.NDArray[np.uint32]:
    """Where each token's text ends; a chunk's text is dealt to its ids in equal shares."""
    sizes = [units(text) for text in texts]
    if all(len(chunk.ids) == 1 for chunk in chunks):
        return np.cumsum(sizes).astype(np.uint32)
    found: list[int] = []
    place = 0
    for chunk, size in zip(chunks, sizes, strict=True):
        if chunk.ids:
            count = len(chunk.ids)
            found += [place + size * (i + 1) // count for i in range(count)]
        elif found:
            found[-1] = place + size
        place += size
    return np.array(found, np.uint32)


def _entropy(alternatives: Alternatives | None) -> float:
    """Nats, of what was recorded; the rest counts as one candidate, so it is at least this."""
    if not alternatives:
        return float("nan")
    logs = np.array([logprob for _, logprob in alternatives])
    masses = np.exp(logs)
    rest = max(0.0, 1.0 - float(masses.sum()))
    tail = -rest * np.log(rest) if rest > 0 else 0.0
    return float(-(masses * logs).sum() + tail)
