"""ExLlamaV2's dynamic generator, sampling all live requests in one call.

Its page table, prefix cache and job queue are used as they are. Replaced is:

- sampling: ExLlamaV2 copies the logits of every row to the host and samples job by
  job in Python threads. Here the rows stay where they are and one call of the
  sampling law draws for all of them;
- speculation: proposals of all jobs are verified in one forward pass and one such
  call. A job's pages only ever list ids that were drawn, so nothing has to be taken
  back where a proposal was wrong;
- the prefill's share of an iteration: ExLlamaV2 reads a piece of every new prompt
  in each, which stops the others' tokens for as long as there are new prompts.

Imported only after the natives stand in place (``natives.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from exllamav2.generator import ExLlamaV2DynamicGenerator
from torch import Tensor

from workbench.engines.caches import cache
from workbench.engines.drafting import Drafter, Guess, ModelDrafter, NgramDrafter
from workbench.engines.jobs import Job, NoPieces, Token, accepted
from workbench.sampling import Drawn

__all__ = ["Generator", "Job", "NoPieces", "cache"]

Place = tuple[Job, tuple[int, ...]]  # whose next id is drawn, behind which proposed ones
Draw = Callable[[Tensor, Sequence[Place]], tuple[Drawn, frozenset[int]]]


class Generator(ExLlamaV2DynamicGenerator):  # type: ignore[misc]
    """The dynamic generator with the sampling replaced.

    Args:
        draw: Called with logits ``(rows, vocabulary)`` and the place of each; gives what is
            drawn there, and the rows behind proposals whose logits cannot be drawn from.
        guess: Draws a draft model's proposals.
        free: How many ids of a job may come in one step without a look at those before.
        draft_tokens: Most ids that are proposed a step and job; 0: no speculation.
        clock: Seconds, monotonic.
        synchronize: Waits for the device, so that a time stamp means what it says.
        settings: Passed on to ``ExLlamaV2DynamicGenerator``.
    """

    max_chunk_size: int  # most tokens of a prompt that are read at once

    def __init__(
        self,
        *,
        draw: Draw,
        guess: Guess,
        free: Callable[[Job], int],
        draft_tokens: int,
        vocabulary: int,
        synchronize: Callable[[], None],
        clock: Callable[[], float] = time.perf_counter,
        **settings: Any,
    ) -> None:
        # One sampling thread keeps ExLlamaV2 from starting its pools; the law needs none.
        super().__init__(max_sampling_threads=1, filter_background_eval=False, **settings)
        self.draw = draw
        self.free = free
        self.draft_tokens = draft_tokens
        self.drafter: Drafter | None = None
        if draft_tokens:
            asked = ModelDrafter(self._draft, guess) if self.draft_model else NgramDrafter()
            self.drafter = asked
            self.num_draft_tokens = 0  # ExLlamaV2 would end its jobs so many tokens early
        self.vocabulary = vocabulary
        self.synchronize = synchronize
        self.clock = clock
        self.last: list[Token] = []
        self._table: Tensor | None = None
        self._table_of: list[tuple[Job, int, int]] = []  # whose pages it lists, and which

    @torch.inference_mode()
    def iterate(self) -> list[dict[str, Any]]:
        """One iteration: start jobs, read a piece of the new prompts, one step of the others.

        Returns:
            ExLlamaV2's dicts of the stages ``started`` and ``prefill``.
        """
        results: list[dict[str, Any]] = []
        self.iterate_start_jobs(results)
        self._prefill(results)
        self.iterate_gen(results)
        return results

    def iterate_gen(self, results: list[Any], draft_tokens: Tensor | None = None) -> None:
        """A token for every job whose prompt has been read, and more where proposals hold."""
        self.last = []
        ready: list[Job] = [job for job in self.active_jobs if job.is_prefill_done()]
        if not ready:
            return
        self._stamp_prefilled(ready)
        proposals = self._propose(ready)
        logits = self._forward(ready, proposals)[..., : self.vocabulary]
        places = [
            (job, tuple(own[:depth]))
            for job, own in zip(ready, proposals, strict=True)
            for depth in range(len(own) + 1)
        ]
        drawn, unusable = self.draw(_picked(logits, proposals), places)
        row = 0
        for job, own in zip(ready, proposals, strict=True):
            self.last += accepted(job, own, drawn, row, unusable)
            row += len(own) + 1

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
                for cache in filter(None, (self.cache, self.draft_cache)):
                    for tensor in cache.all_tensors():
                        tensor[:, first : first + self.page_size] = 0

    def reset(self) -> None:
        """Forget all jobs and all cached pages: after an exception the page table may be wrong."""
        self.pending_jobs.clear()
        self.active_jobs.clear()
        self.reset_page_table()
        self.last, self._table = [], None

    def _prefill(self, results: list[Any]) -> None:
        """Read prompts, the oldest request's first, one piece of tokens in all.

        Short prompts are read together; a long one goes on in the next iteration, after the
        others' tokens.
        """
        whole: int = self.max_chunk_size
        try:
            self._prefill_up_to(whole, results)
        finally:
            self.max_chunk_size = whole

    def _prefill_up_to(self, left: int, results: list[Any]) -> None:
        for job in self.active_jobs:
            sequence = job.sequences[0]
            if sequence.prefill_complete:
                continue
            self.max_chunk_size = left // self.page_size * self.page_size
            if not self.max_chunk_size:
                return
            before = sequence.kv_position - job.reused_tokens
            job.prefill(results)
            left -= sequence.kv_position - job.reused_tokens - before

    def _propose(self, jobs: list[Job]) -> list[list[int]]:
        """Proposals for each job, none of which can run past its pages, its end or the context."""
        if self.drafter is None:
            return [[] for _ in jobs]
        # All rows are as wide as the widest, so the one with the least room bounds them all.
        longest = self.model.config.max_seq_len
        room = min(min(j.allocated, longest) - j.sequences[0].kv_position - 1 for j in jobs)
        most = [
            max(0, min(self.draft_tokens, room, job.max_new_tokens - job.new_tokens - 1, free))
            for job in jobs
            for free in [self.free(job)]
        ]
        return self.drafter.propose(jobs, most)

    def _forward(self, jobs: list[Job], proposals: list[list[int]]) -> Tensor:
        """Logits ``(jobs, 1 + most proposals, padded vocabulary)`` behind newest and proposed ids.

        A row with fewer proposals is filled up; what stands there is never looked at.
        """
        width = max(map(len, proposals))
        params = self._params(jobs, 0, width + 1)
        rows = zip(jobs, proposals, strict=True)
        ids = [[job.feed(), *own, *[job.newest] * (width - len(own))] for job, own in rows]
        result = self.model.forward_chunk(
            input_ids=torch.tensor(ids), attn_params=params, cache=self.cache
        )
        logits: Tensor = result["logits"]
        return logits

    def _draft(self, ids: Tensor, jobs: Sequence[Job], depth: int, last: bool) -> Tensor | None:
        """The draft model's logits ``(jobs, 1, vocabulary)`` ``depth`` behind the newest ids."""
        result = self.draft_model.forward_chunk(
            input_ids=ids,
            attn_params=self._params(jobs, depth, 1),
            cache=self.draft_cache,
            preprocess_only=last,
        )
        return None if last else result["logits"][..., : self.vocabulary]

    def _params(self, jobs: Sequence[Job], depth: int, new: int) -> Any:
        """Where so many new tokens a job go, the first ``depth`` behind its newest."""
        positions = [job.sequences[0].kv_position + depth for job in jobs]
        lengths = torch.tensor(positions, dtype=torch.int32)
        table = self._page_table(jobs, depth + new)
        return self.get_paged_params(len(jobs), table, lengths, new)

    def _page_table(self, jobs: Sequence[Job], new: int) -> Tensor:
        """``(jobs, most pages of a job)`` page numbers, the shorter rows padded with 0.

        It stays the same until a job comes, goes, fills or begins a page: ExLlamaV2 moves
        pages only while no job is active, and exchanges one only when it is full.
        """
        size, positions = self.page_size, [job.sequences[0].kv_position for job in jobs]
        used = [
            (job, (at + new - 1) // size + 1, at // size)
            for job, at in zip(jobs, positions, strict=True)
        ]
        if self._table is None or used != self._table_of:
            self._table = torch.zeros((len(jobs), max(n for _, n, _ in used)), dtype=torch.int32)
            for row, (job, count, _) in zip(self._table, used, strict=True):
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


def _picked(logits: Tensor, proposals: list[list[int]]) -> Tensor:
    """Logits ``(jobs, width, vocabulary)`` as the rows that are drawn: newest and proposed ids."""
    width = logits.shape[1]
    if width == 1:
        return logits[:, 0]
    counts = [len(own) + 1 for own in proposals]
    flat = logits.flatten(0, 1)
    if all(count == width for count in counts):
        return flat
    wanted = [row * width + depth for row, n in enumerate(counts) for depth in range(n)]
    return flat[torch.tensor(wanted, device=logits.device)]
