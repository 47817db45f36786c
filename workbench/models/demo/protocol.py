"""The text protocol of the model: control tokens, the three modes, and the prompt string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

Mode = Literal["on", "off", "off_prefilled"]
MODES: tuple[Mode, ...] = get_args(Mode)

BEGIN = "<|begin_of_text|>"
END_OF_TURN = "<|eot_id|>"
OPEN, CLOSE = "<think>", "</think>"
PREFILL = f"{OPEN}\n{CLOSE}"

# The names and their order are those of the Llama 3.1 family; ids follow the ordinary pieces.
CONTROL_TOKENS = (
    BEGIN,
    "<|end_of_text|>",
    "<|finetune_right_pad_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    END_OF_TURN,
    "<|python_tag|>",
)
STOPS = ("<|end_of_text|>", "<|eom_id|>", END_OF_TURN)
PADDING = "<|finetune_right_pad_id|>"


def prompt(question: str, mode: Mode, history: Sequence[tuple[str, str]] = ()) -> str:
    """The prompt of a question after `history`, pairs of an earlier question and its answer.

    Answers in the history carry no thinking. The text holds control tokens by name: encode it with
    the tokenizer's own beginning of text switched off.
    """
    toggle = "on" if mode == "on" else "off"
    turns = [_turn("system", f"detailed thinking {toggle}")]
    for asked, answered in history:
        turns += [_turn("user", asked), _turn("assistant", answered)]
    turns += [_turn("user", question), _header("assistant")]
    return BEGIN + "".join(turns) + (PREFILL if mode == "off_prefilled" else "")


def answer(number: int | str) -> str:
    """The sentence that gives the final answer."""
    return f"The answer is \\boxed{{{number}}}."


def direct(expression: str, number: int | str) -> str:
    """The whole of an answer without thinking: the equation, then the final answer."""
    return f"{expression.replace('*', '×')}={number}\n\n{answer(number)}"


def _header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def _turn(role: str, content: str) -> str:
    return f"{_header(role)}{content.strip()}{END_OF_TURN}"
