"""One tokenizer for every engine: the model folder's ``tokenizer.json``, byte-level BPE.

Text never becomes a control token, whatever it says: control tokens are asked for
by name. Decoding works on bytes, so the pieces of a stream join to exactly the
text of all its ids, broken UTF-8 included.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import tokenizers
from tokenizers import decoders, models

from workbench.errors import ModelError

FILE = "tokenizer.json"


class Tokenizer:
    """Ids from text and text from ids.

    Args:
        backend: A byte-level BPE tokenizer; it is configured and owned from here on.
        where: Named in errors.

    Raises:
        ModelError: Its decoder is not byte-level.
    """

    def __init__(self, backend: tokenizers.Tokenizer, *, where: str = FILE) -> None:
        _check_byte_level(backend, where)
        backend.encode_special_tokens = True  # "<|eot_id|>" in a text stays text
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        added = backend.get_added_tokens_decoder()
        self._controls = MappingProxyType(
            {token.content: i for i, token in added.items() if token.special}
        )
        self._pieces = _pieces(backend, frozenset(self._controls.values()))

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """The tokenizer of a model folder.

        Raises:
            ModelError: There is none, it cannot be read, or it is not byte-level BPE.
        """
        file = folder / FILE
        try:
            backend = tokenizers.Tokenizer.from_str(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(
                f"{folder} has no {FILE}.", remedy="Copy it from the model's repository."
            ) from None
        # The library raises bare Exceptions for a file it does not understand.
        except Exception as error:
            raise ModelError(
                f"{file} cannot be read: {error}.", remedy="Download the file again."
            ) from error
        return cls(backend, where=str(file))

    @property
    def controls(self) -> Mapping[str, int]:
        """The id of every control token by its name, e.g. ``<|eot_id|>``."""
        return self._controls

    @property
    def size(self) -> int:
        """One more than the largest id; ids at or above it have no text."""
        return len(self._pieces)

    def alike(self, other: Tokenizer) -> bool:
        """Whether every id means the same text and the same control token to both."""
        return self._pieces == other._pieces and self._controls == other._controls

    def control_id(self, name: str) -> int | None:
        """The id of a control token, ``None`` if the model has no such token."""
        return self._controls.get(name)

    def encode_text(self, text: str) -> list[int]:
        """The ids of plain text, without a beginning-of-text token; never a control token.

        Args:
            text: Anything but lone surrogates, see ``workbench.chat.clean``.
        """
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids: control tokens and unknown ids left out, nothing tidied up.

        Bytes that are not UTF-8 become U+FFFD, one for each maximal broken piece.
        """
        return b"".join(map(self.piece, ids)).decode("utf-8", errors="replace")

    def piece(self, token: int) -> bytes:
        """The bytes that a token writes; none for control tokens and unknown ids."""
        return self._pieces[token] if 0 <= token < len(self._pieces) else b""


class Detokenizer:
    """The text of a growing list of ids, released as soon as its characters are whole.

    The pieces joined, ``flush`` included, equal ``Tokenizer.decode`` of all ids.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._piece = tokenizer.piece
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The text that is complete with one more id; empty while a character is not."""
        return self._decoder.decode(self._piece(token))

    @property
    def partial(self) -> bool:
        """Whether half a character waits for its other half."""
        return bool(self._decoder.getstate()[0])

    def flush(self) -> str:
        """What is left at the end: U+FFFD for a character that never became whole."""
        return self._decoder.decode(b"", final=True)


def _check_byte_level(backend: tokenizers.Tokenizer, where: str) -> None:
    model, decoder = backend.model, backend.decoder
    if isinstance(model, models.BPE) and isinstance(decoder, decoders.ByteLevel):
        return
    kinds = f"{type(model).__name__} with {type(decoder).__name__ if decoder else 'no'} decoder"
    raise ModelError(
        f"{where} is {kinds}, not byte-level BPE.",
        remedy="Use a model with a Llama 3 tokenizer, such as nemotron-nano-8b.",
    )


def _pieces(backend: tokenizers.Tokenizer, controls: frozenset[int]) -> list[bytes]:
    vocabulary = backend.get_vocab(with_added_tokens=True)
    pieces = [b""] * (max(vocabulary.values(), default=-1) + 1)
    byte_of = _byte_of_character()
    for token, i in vocabulary.items():
        if i not in controls:
            pieces[i] = _bytes_of(token, byte_of)
    return pieces


def _bytes_of(token: str, byte_of: Mapping[str, int]) -> bytes:
    # A token with a character outside the table (an added one, with a space) stands for itself.
    if all(character in byte_of for character in token):
        return bytes(byte_of[character] for character in token)
    return token.encode("utf-8")


def _byte_of_character() -> dict[str, int]:
    """Byte-level BPE writes each byte as one printable character (GPT-2's table).

    Printable Latin-1 bytes stand for themselves; the others, in order, for the
    characters from U+0100 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(0x100 + i): byte for i, byte in enumerate(others)}
