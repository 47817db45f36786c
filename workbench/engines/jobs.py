"""One request inside ExLlamaV2's generator, and the ids that a decode iteration brings it.

Imported only after the natives stand in place (``natives.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from exllamav2.generator import ExLlamaV2DynamicJob
from torch import Tensor

from workbench.engines.drafting import Lookup
from workbench.records import Alternatives
from workbench.sampling import Drawn


class Job(ExLlamaV2DynamicJob):  # type: ignore[misc]
    """One request inside the generator."""

    ticket: int
    prefilled_at: float | None  # perf_counter when the prompt had been read
    tokens: int  # sampled so far
    newest: int  # the id that is fed next
    lookup: Lookup | None  # of the n-gram drafter
    numbers: Random | None  # of ExLlamaV2's own sampler

    def __init__(self, ticket: int, ids: Sequence[int], max_tokens: int, stop_ids: Sequence[int]):
        super().__init__(
            input_ids=torch.tensor([list(ids)], dtype=torch.long),
            max_new_tokens=max_tokens,
            stop_conditions=list(stop_ids),
            gen_settings=None,  # a fresh object per job: ExLlamaV2 keeps state in it
            identifier=ticket,
            seed=0,
        )
        self.ticket = ticket
        self.prefilled_at = None
        self.tokens = 0
        self.newest = int(ids[-1])
        self.lookup = None
        self.numbers = None

    @property
    def prompt_ids(self) -> Tensor:
        """``(1, n)``"""
        ids: Tensor = self.sequences[0].input_ids.torch()
        return ids

    @property
    def reused_tokens(self) -> int:
        """Prompt tokens that were found in the cache."""
        return int(self.cached_pages * self.generator.page_size + self.cached_tokens)

    def feed(self) -> int:
        """The newest id, and a note in its page that the cache will hold it from now on.

        What ExLlamaV2's ``get_input_ids_list`` does for any number of ids, for one.
        """
        sequence = self.sequences[0]
        page = sequence.allocated_pages[sequence.kv_position // self.generator.page_size]
        page.sequence[0, page.kv_position] = self.newest
        page.kv_position += 1
        page.can_revert = False
        return self.newest

    @property
    def allocated(self) -> int:
        """Tokens that its pages hold."""
        return len(self.sequences[0].allocated_pages) * int(self.generator.page_size)

    def accept(self, token: Tensor, token_id: int) -> bool:
        """Append a sampled token ``(1, 1)``; whether the job ended with it.

        ExLlamaV2's own ``receive_sample`` does much more than an ordinary token
        needs (text, string matching, result dicts), so it is called only where its
        page bookkeeping matters: at a page's end and at the job's.
        """
        self.tokens += 1
        self.newest = token_id
        sequence = self.sequences[0]
        page_full = (sequence.kv_position + 1) % self.generator.page_size == 0
        last = self.new_tokens + 1 >= self.max_new_tokens
        if page_full or last or token_id in self.stop_tokens:
            ended, _ = self.receive_sample(None, token, None, None, None, False, [])
            return bool(ended)
        self.new_tokens += 1
        sequence.sequence_ids.append(token)
        sequence.kv_position += 1
        return False


class NoPieces:
    """What ``receive_sample`` wants of a tokenizer, without any text.

    Text is made from ids by the engine's own detokenizer; ExLlamaV2's would cost a
    table of the whole vocabulary and string work on every token.
    """

    def __init__(self, vocabulary: int) -> None:
        self._pieces = [""] * vocabulary

    def get_id_to_piece_list(self, include_special_tokens: bool = False) -> list[str]:
        """One empty string an id."""
        return self._pieces

    def get_vocab_size(self) -> int:
        """Ids that can be sampled."""
        return len(self._pieces)


@dataclass(frozen=True, slots=True)
class Token:
    """One id that a decode iteration brought."""

    job: Job
    id: int
    logprob: float | None
    alternatives: Alternatives | None
    ended: bool  # the job ends with it
    draft: bool | None  # see ``Chunk.draft``


def accepted(
    job: Job, proposed: list[int], drawn: Drawn, row: int, unusable: frozenset[int]
) -> Iterator[Token]:
    """The job's new tokens: as long as they are what was proposed, and the one behind that.

    Args:
        job: Its newest id has been fed.
        proposed: For the places behind.
        drawn: Of all jobs.
        row: The job's first.
        unusable: Rows behind proposals that have no draw: in the next step they are first.
    """
    for depth in range(len(proposed) + 1):
        at = row + depth
        if depth and at in unusable:
            return
        if depth:
            job.feed()
        token = drawn.ids[at]
        draft = proposed[depth] == token if depth < len(proposed) else None
        ended = job.accept(torch.tensor([[token]]), token)
        yield Token(job, token, drawn.logprobs[at], drawn.alternatives[at], ended, draft)
        if ended or not draft:
            return
