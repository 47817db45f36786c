"""Which speculation a specification asks for, and whether that can be had with its model."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import EngineError
from workbench.models.catalogue import locate
from workbench.models.folder import check
from workbench.models.tokenizer import Tokenizer
from workbench.records import EngineSpec

NGRAM = "ngram"
_TOKENS = 4  # proposed a step where no number is asked for


def draft_tokens(spec: EngineSpec, most: int) -> int | None:
    """Ids that are proposed a step and request; ``None`` without speculation.

    Args:
        spec: What is asked for.
        most: Ids that one forward pass takes.

    Raises:
        EngineError: A number without speculation, or one that cannot be.
    """
    if spec.speculation is None:
        if spec.draft_tokens:
            raise EngineError(
                "Draft tokens were asked for, and no speculation.",
                remedy=f"Add --speculate {NGRAM}, or a draft model.",
            )
        return None
    count = _TOKENS if spec.draft_tokens is None else spec.draft_tokens
    largest = most // spec.max_batch - 1
    if 1 <= count <= largest:
        return count
    raise EngineError(
        f"{count} draft tokens a step are not possible with {spec.max_batch} requests at once.",
        remedy=f"Choose 1 to {largest}; 2 to 8 pay.",
    )


def draft_folder(spec: EngineSpec, tokenizer: Tokenizer, context: int) -> Path | None:
    """The folder of the draft model; ``None`` where none is asked for.

    Args:
        spec: What is asked for.
        tokenizer: The model's.
        context: Tokens that the model will read.

    Raises:
        ModelError: There is no such model, or it cannot be loaded.
        EngineError: Its tokenizer is another, or it cannot read as much.
    """
    if spec.speculation in (None, NGRAM):
        return None
    folder = locate(spec.speculation or "")
    info = check(folder)
    if not Tokenizer.from_folder(folder).alike(tokenizer):
        raise EngineError(
            f"The draft model {spec.speculation} has another tokenizer than {spec.model}.",
            remedy=f"Choose a smaller model of the same family, or --speculate {NGRAM}.",
        )
    if info.context < context:
        raise EngineError(
            f"The draft model {spec.speculation} reads {info.context} tokens, not {context}.",
            remedy=f"Use --context {info.context}, or --speculate {NGRAM}.",
        )
    return folder
