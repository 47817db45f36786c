"""The chat template of a model folder, and whether it writes what the workbench writes.

The template is a Jinja program by the model's authors. It is run in a sandbox, and
control tokens in a message are hidden from it and put back as plain text afterwards,
so that a prompt made by it is as safe as one of ``workbench.chat``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import chat
from workbench.chat import Control, Segment
from workbench.errors import ModelError
from workbench.models.config import read_json
from workbench.models.sandbox import compiled
from workbench.models.tokenizer import Tokenizer
from workbench.records import Message

_PRIVATE_USE = range(0xE000, 0x10FFFE)  # searched for a character that no message holds
_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")

# Plain chats on which the two ways of writing a prompt are compared.
PROBES: tuple[tuple[Message, ...], ...] = tuple(
    (Message("system", system), *turns)
    for system, turns in [
        ("detailed thinking on", [Message("user", "What is 12 * 34?")]),
        ("detailed thinking off", [Message("user", "  Grüße, 今日は 🙂\n\nनमस्ते\t\n")]),
        (
            "detailed thinking on",
            [
                Message("user", "Is <think> a tag? {{ x }} {% y %}"),
                Message("assistant", "\nYes: it is.\n\n"),
                Message("user", "def f(x):\n    return x  # 'so' \"it\" is"),
            ],
        ),
    ]
)


@dataclass(frozen=True, slots=True)
class Template:
    """A model's own chat template.

    Args:
        source: The Jinja text.
        tokens: The special tokens it may name, e.g. ``bos_token``.
        controls: The names of the model's control tokens.
    """

    source: str
    tokens: Mapping[str, str]
    controls: tuple[str, ...]

    @classmethod
    def from_folder(cls, folder: Path, tokenizer: Tokenizer) -> Template | None:
        """The template of ``chat_template.jinja`` or ``tokenizer_config.json``, if there is one.

        Raises:
            ModelError: A file that is there cannot be read.
        """
        config, source = _read_source(folder)
        tokens = {name: _token(config.get(name)) for name in _TOKENS}
        return cls(source, tokens, tuple(tokenizer.controls)) if source else None

    @property
    def sha256(self) -> str:
        return _sha256(self.source)

    def segments(self, messages: Sequence[Message], prefill: str = "") -> list[Segment]:
        """The prompt with an open assistant turn, as ``workbench.chat.segments`` gives it.

        Raises:
            ModelError: The template fails on these messages.
        """
        texts = [chat.clean(message.text) for message in messages]
        hidden = _Hidden(self.controls, [self.source, *texts])
        turns = [
            {"role": message.role, "content": hidden.hide(text)}
            for message, text in zip(messages, texts, strict=True)
        ]
        prompt = hidden.segments(self._render(turns))
        return _continued(prompt, chat.clean(prefill))

    def _render(self, turns: list[dict[str, str]]) -> str:
        # The template is somebody else's program: whatever it raises is its failure.
        try:
            return compiled(self.source).render(
                **self.tokens,
                messages=turns,
                add_generation_prompt=True,
                tools=None,
                documents=None,
            )
        except Exception as error:
            raise ModelError(
                f"The model's chat template fails: {error}.",
                remedy="Repair or remove the template in the model folder.",
            ) from error


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """How prompts are written for one model; made by ``chat_format``."""

    tokenizer: Tokenizer
    template: Template | None  # None: the workbench's own format
    label: str  # for EngineSpec.template
    sha256: str | None  # for EngineSpec.template_sha256

    def segments(self, messages: Sequence[Message], prefill: str = "") -> list[Segment]:
        """The prompt of a conversation, for ``workbench.chat.shown``."""
        write = self.template.segments if self.template else chat.segments
        return write(messages, prefill)

    def encode(self, messages: Sequence[Message], prefill: str = "") -> list[int]:
        """The prompt's ids: what ``Engine.encode`` returns."""
        return chat.encode(self.segments(messages, prefill), self.tokenizer)


def chat_format(folder: Path, tokenizer: Tokenizer) -> ChatFormat:
    """The format of a model folder: the workbench's own, unless the model's template differs.

    Raises:
        ModelError: Neither can write a prompt with the control tokens of this model.
    """
    template = Template.from_folder(folder, tokenizer)
    if template is None:
        chat.encode(chat.segments(PROBES[0]), tokenizer)  # refuses a model of another format
        return ChatFormat(tokenizer, None, "workbench (the model has none)", None)
    try:
        theirs = [chat.encode(template.segments(probe), tokenizer) for probe in PROBES]
    except ModelError as error:
        label = f"workbench ({error.message.rstrip('.')})"
        return ChatFormat(tokenizer, None, label, template.sha256)
    if theirs == _ours(tokenizer):
        return ChatFormat(tokenizer, None, "workbench (equal to the model's)", template.sha256)
    label = "the model's (differs from the workbench's)"
    return ChatFormat(tokenizer, template, label, template.sha256)


def _ours(tokenizer: Tokenizer) -> list[list[int]] | None:
    """The probes in the workbench's format; ``None`` if the model lacks its control tokens."""
    try:
        return [chat.encode(chat.segments(probe), tokenizer) for probe in PROBES]
    except ModelError:
        return None


def _continued(prompt: list[Segment], text: str) -> list[Segment]:
    """The prompt with text behind it; one piece with the text before, as BPE must see it."""
    *before, last = prompt or [""]
    if not text:
        return prompt
    return [*before, last + text] if isinstance(last, str) else [*prompt, text]


class _Hidden:
    """Control tokens in messages, replaced by placeholders while a template runs."""

    def __init__(self, controls: Iterable[str], texts: Iterable[str]) -> None:
        self._names = sorted(controls, key=len, reverse=True)  # a name may begin another
        everything = "".join(texts)
        self._fence = next(c for c in map(chr, _PRIVATE_USE) if c not in everything)
        self._control = re.compile(f"({'|'.join(map(re.escape, self._names)) or '(?!)'})")
        self._placeholder = re.compile(f"{self._fence}(\\d+){self._fence}")

    def hide(self, text: str) -> str:
        return self._control.sub(
            lambda found: f"{self._fence}{self._names.index(found[0])}{self._fence}", text
        )

    def segments(self, rendered: str) -> list[Segment]:
        parts = self._control.split(rendered)
        return [
            Control(part) if i % 2 else self._show(part) for i, part in enumerate(parts) if part
        ]

    def _show(self, text: str) -> str:
        return self._placeholder.sub(lambda found: self._names[int(found[1])], text)


def template_sha256(folder: Path) -> str | None:
    """Of a folder's chat template, without running it; ``None`` if there is none.

    Raises:
        ModelError: ``tokenizer_config.json`` cannot be read.
    """
    _, source = _read_source(folder)
    return _sha256(source) if source else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _read_source(folder: Path) -> tuple[Mapping[str, Any], str | None]:
    """``tokenizer_config.json``, and the template from there or from its own file."""
    file = folder / "tokenizer_config.json"
    config = read_json(file) if file.is_file() else {}
    own = folder / "chat_template.jinja"
    if own.is_file():
        return config, own.read_text(encoding="utf-8", errors="replace")
    source = config.get("chat_template")
    if isinstance(source, list):  # several by name, of which "default" is for chats
        entries = [entry for entry in source if isinstance(entry, dict)]
        source = next((e.get("template") for e in entries if e.get("name") == "default"), None)
    return config, source if isinstance(source, str) else None


def _token(value: Any) -> str:
    """A special token, which tokenizer_config.json gives as text or as an object with it."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else ""
