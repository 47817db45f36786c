"""ExLlamaV2's dynamic generator, sampling all live requests in one call.

Its page table, prefix cache, chunked prefill and job queue are used as they
are. Replaced is one method: ExLlamaV2 copies the logits of every row to the
host and samples job by job in Python threads. Here the rows stay where they are
and one call of the sampling law draws for all of them.

Imported only after the natives stand in place (``natives.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from exllamav2.cache import (
    ExLlamaV2Cache,
    ExLlamaV2Cache_Q4,
    ExLlamaV2Cache_Q6,
    ExLlamaV2Cache_Q8,
    ExLlamaV2CacheBase,
)
from exllamav2.generator import ExLlamaV2DynamicGenerator, ExLlamaV2DynamicJob
from torch import Tensor

from workbench.sampling import Drawn

Draw = Callable[[Tensor, Sequence["Job"]], Drawn]


class Job(ExLlamaV2DynamicJob):  # type: ignore[misc]
    """One request inside the generator."""

    ticket: int
    prefilled_at: float | None  # perf_counter when the prompt had been read
    tokens: int  # sampled so far
    newest: int  # the id that is fed next

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
    def used_pages(self) -> int:
        """Pages of the cache that hold it, its newest id included."""
        return int(self.sequences[0].kv_position // self.generator.page_size) + 1

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


def cache(model: Any, tokens: int, kind: str) -> ExLlamaV2CacheBase:
    """A key/value cache for so many tokens, shared by all live requests.

    Args:
        model: A loaded ``ExLlamaV2``.
        tokens: A multiple of 256.
        kind: fp16, q8, q6, q4; fp32 is what the portable natives compute in.
    """
    if kind != "fp32":
        return _CACHES[kind](model, max_seq_len=tokens)
    wide = ExLlamaV2Cache.__new__(ExLlamaV2Cache)
    ExLlamaV2CacheBase.__init__(wide, model, 1, tokens, torch.float32, 1, 1, False, None, None)
    wide.create_state_tensors(None, False)
    return wide


_CACHES: Mapping[str, type[ExLlamaV2CacheBase]] = MappingProxyType(
    {
        "fp16": ExLlamaV2Cache,
        "q8": ExLlamaV2Cache_Q8,
        "q6": ExLlamaV2Cache_Q6,
        "q4": ExLlamaV2Cache_Q4,
    }
)


@dataclass(frozen=True, slots=True)
class Step:
    """What one decode iteration drew."""

    jobs: list[Job]
    drawn: Drawn
    ended: list[bool]


class Generator(ExLlamaV2DynamicGenerator):  # type: ignore[misc]
    """The dynamic generator with the sampling replaced.

    Args:
        draw: Called with logits ``(rows, vocabulary)`` and their jobs.
        clock: Seconds, monotonic.
        synchronize: Waits for the device, so that a time stamp means what it says.
        settings: Passed on to ``ExLlamaV2DynamicGenerator``.
    """

    def __init__(
        self,
        *,
        draw: Draw,
        vocabulary: int,
        synchronize: Callable[[], None],
        clock: Callable[[], float] = time.perf_counter,
        **settings: Any,
    ) -> None:
        # One sampling thread keeps ExLlamaV2 from starting its pools; the law needs none.
        super().__init__(max_sampling_threads=1, filter_background_eval=False, **settings)
        self.draw = draw
        self.vocabulary = vocabulary
        self.synchronize = synchronize
        self.clock = clock
        self.last: Step | None = None
        self._table: Tensor | None = None
        self._table_of: list[tuple[Job, int]] = []  # whose pages it lists, and how many

    def iterate_gen(self, results: list[Any], draft_tokens: Tensor | None = None) -> None:
        """One token for every job whose prompt has been read; leaves it in ``last``."""
        self.last = None
        ready: list[Job] = [job for job in self.active_jobs if job.is_prefill_done()]
        if not ready:
            return
        self._stamp_prefilled(ready)
        logits = self._forward(ready)[:, -1, : self.vocabulary]
        drawn = self.draw(logits, ready)
        tokens = torch.tensor(drawn.ids).view(-1, 1, 1)
        pairs = zip(ready, drawn.ids, strict=True)
        ended = [job.accept(tokens[i], token) for i, (job, token) in enumerate(pairs)]
        self.last = Step(ready, drawn, ended)

    def release(self, job: Job) -> None:
        """Take a job out, its pages kept for reuse by later prompts."""
        self.cancel(job)

    def discard(self, job: Job) -> None:
        """Take a job out and wipe what it alone wrote, which may be NaN.

        Attention over a batch reads past the end of the shorter rows, with weight 0,
        and 0 times NaN is NaN: left in the cache, it would spoil other requests.
        """
        pages = job.sequences[0].allocated_pages or ()
        written = [page for page in pages if page.kv_position]
        self.release(job)
        for page in written:
            if page.ref_count == 0:
                page.clear()
                first = page.page_index * self.page_size
                for tensor in self.cache.all_tensors():
                    tensor[:, first : first + self.page_size] = 0

    def reset(self) -> None:
        """Forget all jobs and all cached pages: after an exception the page table may be wrong."""
        self.pending_jobs.clear()
        self.active_jobs.clear()
        self.reset_page_table()
        self.last = self._table = None

    def _forward(self, jobs: list[Job]) -> Tensor:
        """Logits ``(jobs, 1, padded vocabulary)`` of each job's last token."""
        positions = [job.sequences[0].kv_position for job in jobs]
        lengths = torch.tensor(positions, dtype=torch.int32)
        table = self._page_table(jobs)
        ids = torch.tensor([[job.feed()] for job in jobs])
        params = self.get_paged_params(len(jobs), table, lengths, 1)
        result = self.model.forward_chunk(input_ids=ids, attn_params=params, cache=self.cache)
        logits: Tensor = result["logits"]
        return logits

    def _page_table(self, jobs: list[Job]) -> Tensor:
        """``(jobs, most pages of a job)`` page numbers, the shorter rows padded with 0.

        It stays the same until a job comes, goes or begins a page: ExLlamaV2 moves pages
        only while no job is active, and exchanges one only when it is full.
        """
        used = [(job, job.used_pages) for job in jobs]
        if self._table is None or used != self._table_of:
            self._table = torch.zeros((len(jobs), max(n for _, n in used)), dtype=torch.int32)
            for row, (job, count) in zip(self._table, used, strict=True):
                pages = job.sequences[0].allocated_pages[:count]
                row[:count] = torch.tensor([page.page_index for page in pages])
            self._table_of = used
        return self._table

    def _stamp_prefilled(self, jobs: list[Job]) -> None:
        fresh = [job for job in jobs if job.prefilled_at is None]
        if not fresh:
            return
        self.synchronize()
        now = self.clock()
        for job in fresh:
            job.prefilled_at = now
            job.time_first_token = time.time()  # ExLlamaV2's own end-of-job arithmetic needs it
