"""Scripts for ``scripted.ScriptedEngine``: what they are, which answers a request, and as ids."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import tokenizers
from tokenizers import decoders, pre_tokenizers

from workbench import chat
from workbench.errors import InvalidInput
from workbench.models.tokenizer import Tokenizer
from workbench.records import Event, Failed, Finished, Generation, Mode, Request, Started
from workbench.thinking import CLOSE

Script = str | Sequence[Event]
Find = Callable[[Request], Script | None]
Key = str | tuple[str, Mode] | Request  # the last user message, that in one mode, or everything
Answers = str | Mapping[Key, Script] | Sequence[Script] | Find

_CONTROLS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
)


def byte_tokenizer() -> Tokenizer:
    """A tokenizer without a model: every byte is a token, and the chat format's control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: i for i, character in enumerate(alphabet)}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(
        [tokenizers.AddedToken(name, special=True, normalized=False) for name in _CONTROLS]
    )
    return Tokenizer(backend)


class Reading:
    """The ids of a text one after the other, as if they were drawn.

    Args:
        text: Of the script.
        tokenizer: Makes its ids.
    """

    def __init__(self, text: str, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._begin(chat.clean(text))

    def next(self) -> int | None:
        """The next id; ``None`` where the text ends."""
        if not self._ids:
            return None
        token = self._ids.popleft()
        self._read += len(self._tokenizer.piece(token))
        return token

    def skip_thinking(self) -> None:
        """Go on behind the next closing tag and its line ends; to the end if there is none."""
        tag = CLOSE.encode()
        place = self._bytes.find(tag, max(0, self._read - len(tag) + 1))  # half of it may be read
        rest = self._bytes[place + len(tag) :] if place >= 0 else b""
        self._begin(rest.decode().lstrip("\r\n"))

    def _begin(self, text: str) -> None:
        self._bytes, self._read = text.encode(), 0
        self._ids = deque(self._tokenizer.encode_text(text))


def finder(answers: Answers) -> Find:
    """A function that finds the script of a request; ``None`` where there is none."""
    if callable(answers):
        return answers
    if isinstance(answers, str):
        return lambda _: answers
    if isinstance(answers, Mapping):
        return lambda request: _closest(answers, request)
    rest = iter(answers)
    return lambda _: next(rest, None)


def _closest(answers: Mapping[Key, Script], request: Request) -> Script | None:
    asked = _question(request)
    keys: tuple[Key, ...] = (request, (asked, request.mode), asked)
    return next((answers[key] for key in keys if key in answers), None)


def _question(request: Request) -> str:
    return [message.text for message in request.messages if message.role == "user"][-1]


def unknown(t: float, request: Request) -> Failed:
    """The end of a request that no script answers."""
    asked = _question(request)
    shown = asked if len(asked) <= 60 else f"{asked[:60]}…"
    return Failed(
        t,
        f"The script has no answer to {shown!r} ({request.mode}).",
        "Add one; a key is the last user message, it and a mode, or a whole request.",
    )


def checked(script: Sequence[Event]) -> Sequence[Event]:
    """The events of one request.

    Raises:
        InvalidInput: They are not.
    """
    ends = [isinstance(event, Finished | Failed) for event in script]
    if not ends or not isinstance(script[0], Started | Failed):
        raise InvalidInput("A script does not begin with Started.", remedy="Put it first.")
    if sum(ends) != 1 or not ends[-1]:
        raise InvalidInput(
            "A script does not end with its one Finished or Failed.", remedy="Put it last."
        )
    times = [event.t for event in script]
    if times != sorted(times):
        raise InvalidInput("The times in a script fall.", remedy="Put its events in order.")
    return script


def ended(generation: Generation) -> Sequence[Event]:
    """The events of a stored generation, with an end if it was cut off."""
    events = generation.events
    if generation.end is not None:
        return events
    t = events[-1].t if events else 0.0
    return (*events, Failed(t, "The recording ends here.", "It was cut off while it ran."))
