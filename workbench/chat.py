"""A conversation and a reasoning mode as prompt ids, in the Llama 3 format.

A prompt is a list of *segments*: control tokens, asked for by name, and plain text,
which can never become a control token whatever it says::

    <|begin_of_text|>
    <|start_header_id|>system<|end_header_id|>\\n\\n{system prompt of the mode}<|eot_id|>
    <|start_header_id|>user<|end_header_id|>\\n\\n{text}<|eot_id|>
    <|start_header_id|>assistant<|end_header_id|>\\n\\n{prefill}

(without the line breaks between the lines). ``conversation`` decides what is said,
``segments`` how it is written, ``encode`` makes ids of it. A model folder with a
template of its own is ``workbench.models.template``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Protocol

from workbench.errors import InvalidInput, ModelError
from workbench.records import Message, Request
from workbench.thinking import CLOSE, OPEN

_SURROGATE = re.compile("[\ud800-\udfff]")


class TextTokenizer(Protocol):
    """What a prompt needs of a tokenizer; ``workbench.models.tokenizer`` is one."""

    def encode_text(self, text: str) -> list[int]:
        """The ids of plain text, never a control token."""

    def control_id(self, name: str) -> int | None:
        """The id of a control token, ``None`` if the model has no such token."""


@dataclass(frozen=True, slots=True)
class Control:
    """A control token of the prompt, e.g. ``<|eot_id|>``."""

    name: str


Segment = Control | str


def clean(text: str) -> str:
    """The text with every lone surrogate replaced by U+FFFD.

    A lone surrogate is half a character: it has no UTF-8, so no tokenizer takes it.
    Everything else, null bytes and the names of control tokens included, is kept.
    """
    return _SURROGATE.sub("\ufffd", text)


def conversation(request: Request) -> tuple[tuple[Message, ...], str]:
    """The turns a request is asked with, system turn first, and the prefill of the answer.

    - The system turn is the mode's system prompt and nothing else. The model card
      wants all instructions in the user's prompt, so system messages of the request
      go in front of its first user turn.
    - Consecutive messages of one side are one turn, a blank line between them.
    - Of an earlier answer only what follows its thinking is kept.

    Raises:
        InvalidInput: The last message is not the user's, or one has an unknown role.
    """
    instructions = [message for message in request.messages if message.role == "system"]
    spoken = [message for message in request.messages if message.role != "system"]
    _check(spoken)
    first = next(i for i, message in enumerate(spoken) if message.role == "user")
    turns = _merge([*spoken[:first], *_as_user(instructions), *spoken[first:]])
    system = Message("system", request.mode.system_prompt)
    return (system, *turns), request.mode.prefill


def segments(messages: Iterable[Message], prefill: str = "") -> list[Segment]:
    """The prompt in the Llama 3 format: every turn closed, then an open assistant turn.

    Args:
        messages: The turns, as ``conversation`` gives them; white space around a
            text is left out, as Llama 3.1's own template does.
        prefill: Text that opens the answer, kept as it is.
    """
    prompt: list[Segment] = [Control("<|begin_of_text|>")]
    for message in messages:
        prompt += [*_header(message.role), f"\n\n{clean(message.text).strip()}"]
        prompt.append(Control("<|eot_id|>"))
    return [*prompt, *_header("assistant"), f"\n\n{clean(prefill)}"]


def encode(prompt: Iterable[Segment], tokenizer: TextTokenizer) -> list[int]:
    """The prompt's ids; every text segment is encoded as one piece.

    Raises:
        ModelError: The tokenizer lacks a control token of the prompt.
    """
    ids: list[int] = []
    for segment in prompt:
        if isinstance(segment, Control):
            ids.append(_control_id(segment, tokenizer))
        else:
            ids += tokenizer.encode_text(segment)
    return ids


def shown(prompt: Iterable[Segment]) -> str:
    """The prompt as one string, for reading. Ids made of it would not be safe."""
    return "".join(part.name if isinstance(part, Control) else part for part in prompt)


def _check(spoken: Sequence[Message]) -> None:
    if unknown := {message.role for message in spoken} - {"user", "assistant"}:
        raise InvalidInput(
            f"No such role: {', '.join(sorted(map(repr, unknown)))}.",
            remedy="Use system, user or assistant.",
        )
    if spoken[-1].role != "user":
        raise InvalidInput(
            "The conversation ends with the assistant's turn.",
            remedy="Add the user's next message, or leave the last one out.",
        )


def _header(role: str) -> list[Segment]:
    return [Control("<|start_header_id|>"), role, Control("<|end_header_id|>")]


def _control_id(control: Control, tokenizer: TextTokenizer) -> int:
    i = tokenizer.control_id(control.name)
    if i is None:
        raise ModelError(
            f"The tokenizer has no control token {control.name}.",
            remedy="Use a model with the Llama 3 chat format.",
        )
    return i


def _as_user(instructions: Iterable[Message]) -> list[Message]:
    return [Message("user", message.text) for message in instructions]


def _merge(messages: Sequence[Message]) -> list[Message]:
    """One turn for each run of messages of one side, earlier thinking left out."""
    turns = []
    for role, run in groupby(messages, key=attrgetter("role")):
        texts = (_without_thinking(m.text) if role == "assistant" else m.text for m in run)
        turns.append(Message(role, "\n\n".join(text.strip() for text in texts if text.strip())))
    return turns


def _without_thinking(text: str) -> str:
    """What follows the last closing tag, up to an opening tag that nothing closes."""
    return text.rpartition(CLOSE)[2].partition(OPEN)[0]
