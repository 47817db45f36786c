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


def opened(
    prompt: list[int], request: Request, longest: int, vocabulary: int
) -> tuple[list[int], int]:
    """What is read before the first token is drawn, and how many tokens may be drawn.

    ``max_tokens`` and ``min_tokens`` are of the whole answer, the opening included.

    Args:
        prompt: Ids of the prompt.
        request: What is asked.
        longest: Most tokens, prompt included, that a request may take here.
        vocabulary: Ids that the model knows.

    Raises:
        InvalidInput: It does not fit, or the opening holds an id that there is not.
    """
    given, sampling = request.opening, request.sampling
    room = room_for(len(prompt), sampling.max_tokens, longest, sampling.min_tokens)
    unknown = [token for token in given if not 0 <= token < vocabulary]
    if unknown:
        raise InvalidInput(
            f"The opening holds the id {unknown[0]}; this model knows {vocabulary:,}, from 0.",
            remedy="Take the opening from an answer of the same model.",
        )
    if len(given) >= room:
        raise InvalidInput(
            f"The opening has {len(given):,} tokens, and the answer has room for {room:,}.",
            remedy="Begin earlier, or allow more tokens.",
        )
    return [*prompt, *given], room - len(given)


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
