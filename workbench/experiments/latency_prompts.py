"""Prompts of exactly so many tokens, different from their first words on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from random import Random

from workbench.engines.prompts import prompt_ids
from workbench.errors import InvalidInput
from workbench.models.catalogue import locate
from workbench.models.config import read_config
from workbench.models.template import chat_format
from workbench.models.tokenizer import Tokenizer
from workbench.records import EngineSpec, Message, Mode, Request

_WORDS = tuple(
    "air ant arm art ash bag bar bat bed bee bell bird boat bone book bow box bread bush cake "  # noqa: SIM905
    "camp cap car cat chain chair clay cliff cloud coal coat coin cold corn cow crow cup dawn "
    "day deer desk dog door dust ear east egg farm field fire fish flag fog fox frost fruit "
    "gate glass goat gold grain grass green hall hand hat hen hill horn horse hut ice inn ink "
    "iron ivy jar key king kite lake lamp land leaf light line lion map mill mist moon moss "
    "moth nest net night north nut oak oar owl path pea pear pen pine pit plum pond pot rain "
    "red reed ring road rock roof root rope rose salt sand sea seed sheep ship silk sky snow "
    "sock soil song soup south spoon star stone storm sun swan tail tea tent tin toad town "
    "tree vine wall wave well west wind wine wolf wood wool yard".split()
)
_FILLS = (".", "!", ",", "?", ";", "a", "7", " a", " I", " 7", " .", " !")
_TRIES = 200


class PromptWriter:
    """Writes prompts for one model and one mode, by the model's own tokenizer and chat format.

    A prompt is a list of words followed by a sum to work out, so that a model has
    something to think about and something to answer. The first two words are those of
    the prompt's number, which no other prompt has: a cache of prompts finds no more
    than what the chat format puts before every question.

    Args:
        spec: Whose model it is.
        mode: Its system prompt and prefill count as prompt.
        seed: Of the words and sums.

    Raises:
        ModelError: There is no such model, or its tokenizer cannot be read.
    """

    def __init__(self, spec: EngineSpec, mode: Mode, seed: int) -> None:
        self._folder = locate(spec.model, spec.revision)
        self._tokenizer = Tokenizer.from_folder(self._folder)
        self._format = chat_format(self._folder, self._tokenizer)
        self._mode = mode
        self._seed = seed

    @cached_property
    def context(self) -> int:
        """Most tokens of prompt and answer together, by the model's own configuration."""
        return read_config(self._folder).context

    @cached_property
    def least(self) -> int:
        """Tokens below which no prompt can be written, whatever its number and seed."""
        longest = max(_WORDS, key=self._size)
        return self.count(_joined([longest, longest], [], "", "What is 99 + 99 - 9?"))

    def count(self, text: str) -> int:
        """Tokens of the prompt that asks a text, the chat template included."""
        return len(prompt_ids(self._format, Request((Message("user", text),), self._mode)))

    def write(self, tokens: int, number: int) -> str:
        """The text whose prompt has exactly so many tokens.

        Args:
            tokens: At least ``least``.
            number: From 0; another number is another prompt.

        Raises:
            InvalidInput: No text comes out at this length with this tokenizer.
        """
        rng = Random(f"{self._seed} {number}")
        opening = _opening(number, self._seed)
        sum_ = f"What is {rng.randint(10, 99)} + {rng.randint(10, 99)} - {rng.randint(1, 9)}?"
        words: list[str] = []
        room = tokens - self.count(_joined(opening, words, "", sum_))
        while (word := rng.choice(_WORDS)) and room >= (size := self._size(word)):
            words.append(word)
            room -= size
        for _ in range(_TRIES):
            for fill in self._fills(tokens - self.count(_joined(opening, words, "", sum_))):
                text = _joined(opening, words, fill, sum_)
                if self.count(text) == tokens:
                    return text
            if not words:
                break
            words[-1:] = rng.choice(([], [rng.choice(_WORDS)]))
        raise InvalidInput(
            f"No prompt of exactly {tokens:,} tokens can be written for this model.",
            remedy=f"Ask for one of at least {self.least + 16:,} tokens.",
        )

    def _size(self, word: str) -> int:
        return len(self._tokenizer.encode_text(f" {word}"))

    def _fills(self, room: int) -> Iterator[str]:
        """What may stand behind the words to fill some room; nothing where it is too late."""
        if room == 0:
            yield ""
        if room > 0:
            yield from (fill * room for fill in _FILLS)
            yield from (f" {word}" for word in _WORDS if self._size(word) == room)


def _opening(number: int, seed: int) -> list[str]:
    """Two words, or three for a number beyond two: the number in base ``len(_WORDS)``."""
    base = len(_WORDS)
    digits = [number % base, number // base % base]
    digits += [number // base**2] if number >= base**2 else []
    return [_WORDS[(digit + seed) % base] for digit in digits]


def _joined(opening: Sequence[str], words: Sequence[str], fill: str, question: str) -> str:
    return f"{' '.join([*opening, *words])}{fill}\n{question}"
