"""Branch here: another way on from a token of an answer, with everything before it kept."""

from __future__ import annotations

from dataclasses import replace

from workbench import private
from workbench.errors import InvalidInput
from workbench.metrics import token_times
from workbench.models.catalogue import locate
from workbench.models.tokenizer import Tokenizer
from workbench.records import Cell, Channel, Generation, Plan
from workbench.thinking import CLOSE

ALTERNATIVES = 10  # candidates a token that a branch records at least


def branch(
    cell: Cell,
    generation: Generation,
    at: int,
    *,
    token: int | None = None,
    close: bool = False,
    seed: int | None = None,
) -> Plan:
    """A plan of one request that goes on from a token of an answer.

    Everything before the token is given to the model as the begin of its answer, so that its
    keys and values are found in the cache. Behind it the same seed draws by the same numbers
    at the same positions: with nothing changed the branch is the answer itself, and what
    differs comes of the change alone.

    Args:
        cell: Whose answer it is.
        generation: The answer; its ids must have been seen.
        at: Tokens that are kept, from 0 to all of them.
        token: The id that stands behind them, instead of the one that was drawn.
        close: End the thinking there, as a budget would.
        seed: Draw behind them by other numbers.

    Returns:
        A plan of kind ``branch`` with the one request, whose ``opening`` says what is kept.

    Raises:
        InvalidInput: There is no such token, nothing to close, or the ids were not seen.
        ModelError: The model, whose tokenizer is needed to close, is not here.
    """
    ids = generation.ids
    _check(cell, generation, at)
    opening = ids[:at]
    if close:
        opening += _closing(cell, generation, at)
    elif token is not None:
        opening += (token,)
    asked = cell.request
    drawn = asked.sampling if seed is None else replace(asked.sampling, seed=seed)
    changed = replace(
        asked,
        sampling=drawn,
        opening=opening,
        logprobs=True,
        alternatives=max(ALTERNATIVES, asked.alternatives),
        label=f"{asked.label} · from token {at}",
    )
    return Plan("branch", (replace(cell, request=changed, follows=None, concurrency=1),))


def _check(cell: Cell, generation: Generation, at: int) -> None:
    if private.hides(cell.problem):
        raise InvalidInput(
            "The texts of this problem are private.", remedy="Branch an answer to another one."
        )
    if generation.chunks() and not generation.ids:
        raise InvalidInput("The endpoint shows no token ids.", remedy="Ask a model that runs here.")
    if not 0 <= at <= len(generation.ids):
        raise InvalidInput(
            f"There is no token {at}; the answer has {len(generation.ids):,}.",
            remedy="Choose one of the text.",
        )


def _closing(cell: Cell, generation: Generation, at: int) -> tuple[int, ...]:
    """The ids that end the thinking, on a line of their own."""
    times = token_times(generation)[:at]
    if not times or times[-1].channel is not Channel.THINKING:
        raise InvalidInput(
            f"At token {at} it is not thinking.", remedy="Choose a token of the thinking."
        )
    tokenizer = Tokenizer.from_folder(locate(cell.spec.model, cell.spec.revision))
    line_ends = tokenizer.decode(generation.ids[:at]).endswith("\n")
    return tuple(tokenizer.encode_text(f"{'' if line_ends else chr(10)}{CLOSE}\n\n"))
