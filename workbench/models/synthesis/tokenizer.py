"""A tokenizer of any size that reads and writes any text: byte-level BPE without training.

It has the control tokens of Llama 3 at the end of its ids, where they are in the real one.
Its pieces are pairs and triples of bytes in order, so a text has more tokens than by the real
tokenizer, and what a measurement means by a number of tokens is the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from workbench.errors import InvalidInput

_NAMED = (  # of Llama 3.1's control tokens those that have a use, by their place among them
    (0, "<|begin_of_text|>"),
    (1, "<|end_of_text|>"),
    (4, "<|finetune_right_pad_id|>"),
    (6, "<|start_header_id|>"),
    (7, "<|end_header_id|>"),
    (8, "<|eom_id|>"),
    (9, "<|eot_id|>"),
    (10, "<|python_tag|>"),
)
_CONTROLS = 256  # of a vocabulary of 128,256; a small one has fewer
_BYTES = 256
_FEW = 16  # control tokens of a small vocabulary
_SMALLEST = _BYTES + _FEW
_PIECES = r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+"


def controls(vocabulary: int) -> list[str]:
    """The control tokens of a vocabulary of that size; they are its last ids, in this order."""
    count = _CONTROLS if vocabulary > 8 * _CONTROLS else _FEW
    named = dict(_NAMED)
    return [named.get(i, f"<|reserved_special_token_{i}|>") for i in range(count)]


def control_id(name: str, vocabulary: int) -> int:
    """The id of a control token."""
    names = controls(vocabulary)
    return vocabulary - len(names) + names.index(name)


def build(vocabulary: int) -> Tokenizer:
    """A tokenizer of exactly so many ids.

    Raises:
        InvalidInput: Too few for the bytes and the control tokens.
    """
    if vocabulary < _SMALLEST:
        raise InvalidInput(
            f"A vocabulary of {vocabulary} is too small.", remedy=f"{_SMALLEST} is the least."
        )
    special = controls(vocabulary)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = list(islice(_merges(alphabet), vocabulary - len(special) - _BYTES))
    pieces = [*alphabet, *(left + right for left, right in merges)]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    return tokenizer


def save(vocabulary: int, template: str, folder: Path) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``."""
    build(vocabulary).save(str(folder / "tokenizer.json"))
    config = {
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|eot_id|>",
        "chat_template": template,
        "clean_up_tokenization_spaces": False,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def _merges(alphabet: list[str]) -> Iterator[tuple[str, str]]:
    """Pairs of bytes, then each pair with one byte more."""
    yield from product(alphabet, alphabet)
    for pair in product(alphabet, alphabet):
        yield from (("".join(pair), last) for last in alphabet)
