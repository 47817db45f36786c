"""From a request to the body of ``POST /chat/completions``, and what cannot be asked there.

Always sent: messages (the mode's system turn first), temperature, top_p, the stream's options.
Only where set: max_tokens, stop, seed (where tokens are drawn), log-probabilities, and top_k,
min_p and repetition_penalty, which are not OpenAI's but known to vLLM, NIM, SGLang, TabbyAPI
and llama.cpp. What is not sent, the endpoint chooses by its own defaults.
"""

from __future__ import annotations

from typing import Any

from workbench import chat
from workbench.errors import InvalidInput
from workbench.records import EngineSpec, Message, Mode, Request

OPTIONAL = ("logprobs", "stream_options")  # may be left out where an endpoint refuses them

# Servers, by the owner that their /models names, whose documentation says that they go on with
# an assistant turn that ends the conversation. Others would open a new turn behind it.
_CONTINUING = ("vllm", "sglang")
_SEEDS = 2**31  # servers differ in how large a seed they take; all take these


def body(request: Request, spec: EngineSpec) -> dict[str, Any]:
    """What is sent, to be written as JSON.

    Args:
        request: What is asked.
        spec: Of the open engine.

    Raises:
        InvalidInput: The request has something that an endpoint cannot be asked for, or
            its conversation cannot be.
    """
    _refuse(request, spec)
    messages, prefill = chat.conversation(request)
    sampling = request.sampling
    told: dict[str, Any] = {
        "model": spec.model,
        "messages": [_turn(message) for message in messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if prefill:
        told["messages"].append({"role": "assistant", "content": prefill})
        told |= {"continue_final_message": True, "add_generation_prompt": False}
    wanted = {
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed % _SEEDS if sampling.temperature > 0 else None,
        "stop": [chat.clean(text) for text in sampling.stop] or None,
        "top_k": sampling.top_k or None,
        "min_p": sampling.min_p or None,
        "repetition_penalty": None
        if sampling.repetition_penalty == 1
        else sampling.repetition_penalty,
        "logprobs": request.logprobs or None,
    }
    return told | {name: value for name, value in wanted.items() if value is not None}


def continues(spec: EngineSpec) -> bool:
    """Whether the endpoint is known to go on with an answer that was begun for it."""
    owner = (spec.server or "").partition(",")[0]
    return owner.lower() in _CONTINUING


def _turn(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": chat.clean(message.text)}


def _refuse(request: Request, spec: EngineSpec) -> None:
    sampling, here = request.sampling, "or run the model here (--engine exllama)"
    if sampling.thinking_tokens is not None:
        raise InvalidInput(
            "A remote endpoint closes no thinking at a budget of ours.",
            remedy=f"Leave thinking-tokens out, {here}.",
        )
    if sampling.min_tokens:
        raise InvalidInput(
            "A remote endpoint cannot be held to a least number of tokens.",
            remedy=f"Leave min-tokens out, {here}.",
        )
    if request.opening:
        raise InvalidInput(
            "A remote endpoint cannot go on behind given tokens.",
            remedy=f"Leave the opening out, {here}.",
        )
    if request.alternatives:
        raise InvalidInput(
            "A remote endpoint names other candidates by their text, not by their ids.",
            remedy=f"Leave alternatives out, {here}.",
        )
    if request.mode is Mode.OFF_PREFILLED and not continues(spec):
        raise InvalidInput(
            "The endpoint is not known to continue an answer that was begun for it, "
            "as off_prefilled needs.",
            remedy=f"Ask with --mode on,off, use a server on vLLM or SGLang, {here}.",
        )
