"""ExLlamaV2's own sampler, for those who want it: ``EngineSpec.sampler="native"``.

It draws on the host, request by request, from a copy of every row of logits. It is not the
textbook's law (0.3.2, by its source): its nucleus drops the token that crosses ``top_p`` and
keeps smaller ones that still fit, a candidate more than min-p allows can stay, and a
temperature below 0.01 is greedy. A seed starts a generator of the request's own, which gives
one number an id, so an answer is the same alone and in a batch.

Every setting is given; none is left to ExLlamaV2's defaults, which are a temperature of 0.8
and a repetition penalty of 1.025. What is not the sampler's own stays the workbench's:
log-probabilities and alternatives are the model's, the thinking budget and ``min_tokens`` hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from random import Random
from typing import Any

import torch
from torch import Tensor

from workbench.engines.rows import Rows
from workbench.records import Sampling
from workbench.sampling import Drawn, Row, UndrawableLogits, draw


class NativeRows(Rows):
    """The hooks of ``generator.Generator``, by ExLlamaV2's sampler."""

    def drawn(self, logits: Tensor, rows: Sequence[Row], places: Sequence[Any]) -> Drawn:
        """See ``Rows.drawn``."""
        host = logits.float().cpu()
        _refuse_bad(host)
        pairs = zip(rows, places, strict=True)
        ids = [
            self._sampled(host[i : i + 1, None], row, job)
            for i, (row, (job, _)) in enumerate(pairs)
        ]
        if not any(row.logprobs or row.alternatives for row in rows):
            return Drawn(ids, [None] * len(ids), [None] * len(ids))
        given = [
            Row(r.sampling, r.position, logprobs=r.logprobs, alternatives=r.alternatives, forced=i)
            for r, i in zip(rows, ids, strict=True)
        ]
        return draw(logits, given)

    def _sampled(self, logits: Tensor, row: Row, job: Any) -> int:
        """One id from ``(1, 1, vocabulary)``, which the sampler may change."""
        number = _numbers(job, row).random()
        if row.forced is not None:
            return row.forced
        sampler = import_module("exllamav2.generator.sampler").ExLlamaV2Sampler
        token, *_ = sampler.sample(
            logits.clone(),
            settings(sampler.Settings, row.sampling),
            job.sequences[0].sequence_ids.torch(),
            number,
            job.generator.tokenizer,
            blocked_tokens=list(row.ruled_out) or None,
        )
        return int(token[0, 0])


def settings(kind: Any, sampling: Sampling) -> Any:
    """ExLlamaV2's settings, each of them told.

    Args:
        kind: ``ExLlamaV2Sampler.Settings``.
        sampling: What is asked for.
    """
    penalty = {"token_repetition_penalty": sampling.repetition_penalty}
    if sampling.temperature == 0:
        return kind.greedy(**penalty)
    return kind(
        **penalty,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
    )


def _numbers(job: Any, row: Row) -> Random:
    """The job's random numbers, behind those of ids that were given with the request."""
    if job.numbers is None:
        job.numbers = Random(row.sampling.seed)
        for _ in range(row.position - job.tokens):
            job.numbers.random()
    numbers: Random = job.numbers
    return numbers


def _refuse_bad(logits: Tensor) -> None:
    finite = torch.isfinite(logits.amax(-1))  # NaN and +inf are largest, and so is a lone -inf
    if bool(finite.all()):
        return
    bad = tuple((~finite).nonzero()[:, 0].tolist())
    raise UndrawableLogits(
        f"The model's output for row {', '.join(map(str, bad))} is not a distribution.",
        remedy="Check the model's weights, or load it with another number format.",
        rows=bad,
    )
