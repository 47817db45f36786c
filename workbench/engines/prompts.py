"""From a request to prompt ids and a length that fits; shared by engines that hold a model."""

from __future__ import annotations

from workbench import chat
from workbench.errors import InvalidInput
from workbench.models.template import ChatFormat
from workbench.records import Request


def prompt_ids(form: ChatFormat, request: Request) -> list[int]:
    """The prompt of a request, by its mode."""
    messages, prefill = chat.conversation(request)
    return form.encode(messages, prefill)


def room_for(prompt: int, asked: int | None, longest: int, least: int = 0) -> int:
    """How many tokens a request may generate.

    Args:
        prompt: Length of its prompt, tokens.
        asked: Its ``max_tokens``; ``None``: all that is left.
        longest: Most tokens, prompt included, that a request may take here.
        least: Its ``min_tokens``.

    Raises:
        InvalidInput: The prompt, or the prompt and ``asked``, do not fit,
            or what is left is less than ``least``.
    """
    room = longest - prompt
    if room < 1:
        raise InvalidInput(
            f"The prompt has {prompt:,} tokens; with this model and cache a request has room for "
            f"{longest:,}, prompt and answer together.",
            remedy="Shorten the prompt, or open the engine with a larger context.",
        )
    if asked is not None and asked > room:
        raise InvalidInput(
            f"The prompt has {prompt:,} tokens and {asked:,} more were asked for; "
            f"there is room for {longest:,}.",
            remedy=f"Ask for at most {room:,} tokens (--max-tokens {room}).",
        )
    if asked is None and least > room:
        raise InvalidInput(
            f"The prompt has {prompt:,} tokens and at least {least:,} more were asked for; "
            f"there is room for {longest:,}.",
            remedy=f"Lower min-tokens to {room:,}.",
        )
    return room if asked is None else asked
