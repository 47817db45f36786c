"""Every metric of a generation: name, unit, formula, function.

In the formulas ``n`` is the number of new tokens, those that the engine wrote to close the
thinking at its budget included, and ``t[i]`` the stamp of token i, taken at the end of the
iteration that brought it; tokens of one iteration share theirs. Of an answer whose begin was
given (``Request.opening``) token counts are of the whole; times and rates are of the rest.
``t[first answer]`` and the like are stamps of the first and last token of a channel.

Of a remote endpoint's answer only pieces of text are seen: ``t[0]`` and ``t[n-1]`` are then
the stamps of the first and last piece, on the clock of this side of the network, and tokens
are what the endpoint counted. What it does not tell is ``None``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from workbench.metrics.trace import ANSWER, Trace, trace
from workbench.records import Channel, Generation

Value = float | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One number about one generation; ``None`` where it is undefined, never NaN."""

    name: str
    unit: str
    formula: str
    of: Callable[[Trace], Value]
    aiperf: str | None = None  # AIPerf's tag, where it measures the same thing

    def __call__(self, generation: Generation) -> Value:
        return self.of(trace(generation))


def measure(generation: Generation) -> dict[str, Value]:
    """All metrics of a generation by name; counts are whole numbers."""
    read = trace(generation)
    return {metric.name: metric.of(read) for metric in TABLE}


# --- arithmetic that knows what is undefined ----------------------------------------------------


def _minus(end: Value, start: Value) -> Value:
    return None if end is None or start is None else end - start


def _over(part: Value, whole: Value) -> Value:
    if part is None or not whole:
        return None
    value = part / whole
    return value if math.isfinite(value) else None


# --- functions of more than one line ------------------------------------------------------------


def _second_token(read: Trace) -> Value:
    stamps = [chunk.t for chunk in read.drawn[:2] for _ in chunk.ids][:2]
    return stamps[1] - stamps[0] if len(stamps) == 2 else None


def _inter_token_latency(read: Trace) -> Value:
    return _over(_minus(read.last, read.first), (_drawn(read) or 1) - 1)


def _drawn(read: Trace) -> int | None:
    """Tokens that took time."""
    known = read.count(*Channel)
    given = sum(len(chunk.ids) for chunk in read.chunks[: read.given])
    return None if known is None else known - given


def _thinking_time(read: Trace) -> Value:
    stamps = [chunk.t for chunk in read.drawn if chunk.channel is Channel.THINKING]
    return _minus(stamps[-1], read.first) if stamps else None


def _answer_steps(read: Trace) -> tuple[Value, Value]:
    """Answer tokens that follow an answer token, and the seconds that they took."""
    chunks = [chunk for chunk in read.drawn if chunk.channel in ANSWER]
    follows = [
        (len(after.ids), after.t - before.t)
        for before, after in pairwise(read.drawn)
        if before.channel in ANSWER and after.channel in ANSWER
    ]
    together = sum(len(chunk.ids) - 1 for chunk in chunks)
    seconds = sum(gap for _, gap in follows) if chunks else None
    return together + len(follows) if read.exact else None, seconds


def _answer_time(read: Trace) -> Value:
    return _answer_steps(read)[1]


def _answer_rate(read: Trace) -> Value:
    return _over(*_answer_steps(read))


def _acceptance(*channels: Channel) -> Callable[[Trace], Value]:
    """Of the ids that were proposed, and looked at, the share that was drawn."""

    def of(read: Trace) -> Value:
        looked_at = [c.draft for c in read.drawn if c.channel in channels and c.draft is not None]
        return _over(sum(looked_at), len(looked_at))

    return of


def _step_tokens(read: Trace) -> Value:
    if not any(chunk.draft is not None for chunk in read.drawn):
        return None
    return _over(_drawn(read), len({chunk.t for chunk in read.drawn}))


def _prefill_throughput(read: Trace) -> Value:
    if read.prompt is None or read.cached is None:
        return None
    computed = read.prompt - read.cached
    return _over(computed, read.first) if computed > 0 else None


def _mean_logprob(read: Trace) -> Value:
    drawn = [chunk for chunk in read.chunks if not chunk.forced]
    if not read.exact:  # tags that the endpoint took out were put back without one
        drawn = [one for one in drawn if one.logprobs or one.channel is not Channel.MARKER]
    recorded = [chunk.logprobs for chunk in drawn if chunk.logprobs is not None]
    if not recorded or len(recorded) < len(drawn):
        return None
    values = [value for logprobs in recorded for value in logprobs]
    return _over(math.fsum(values), len(values))


def _perplexity(read: Trace) -> Value:
    mean = _mean_logprob(read)
    try:
        return None if mean is None else math.exp(-mean)
    except OverflowError:
        return None


TABLE: tuple[Metric, ...] = (
    Metric(
        "queue_time",
        "s",
        "started",
        lambda read: read.started.t if read.started else None,
    ),
    Metric(
        "prefill_time",
        "s",
        "end of the prefill - started",
        lambda read: _minus(read.prefilled, read.started.t if read.started else None),
    ),
    Metric(
        "first_decode_time",
        "s",
        "t[0] - end of the prefill",
        lambda read: _minus(read.first, read.prefilled),
    ),
    Metric(
        "time_to_first_token",
        "s",
        "t[0], of whatever channel; queue_time + prefill_time + first_decode_time",
        lambda read: read.first,
        aiperf="time_to_first_token",
    ),
    Metric(
        "time_to_first_output_token",
        "s",
        "stamp of the first answer text that is not white space (AIPerf counts white space)",
        lambda read: read.answered,
        aiperf="time_to_first_output_token",
    ),
    Metric(
        "time_to_second_token",
        "s",
        "t[1] - t[0] (AIPerf: of responses, which may hold several tokens)",
        _second_token,
        aiperf="time_to_second_token",
    ),
    Metric(
        "inter_token_latency",
        "s",
        "(t[n-1] - t[0]) / (n - 1), one value a request; vLLM calls it TPOT",
        _inter_token_latency,
        aiperf="inter_token_latency",
    ),
    Metric(
        "decode_duration",
        "s",
        "t[n-1] - t[0]",
        lambda read: _minus(read.last, read.first),
        aiperf="decode_duration",
    ),
    Metric(
        "request_latency",
        "s",
        "end of the request, the iteration of the stop token included (AIPerf: last text)",
        lambda read: read.ended,
        aiperf="request_latency",
    ),
    Metric(
        "thinking_time",
        "s",
        "t[last thinking] - t[0]",
        _thinking_time,
    ),
    Metric(
        "answer_time",
        "s",
        "sum of t[i] - t[i-1] over the answer tokens that follow an answer token",
        _answer_time,
    ),
    Metric(
        "prompt_tokens",
        "tokens",
        "ids of the prompt, template included (AIPerf: the text re-tokenised)",
        lambda read: read.prompt,
        aiperf="input_sequence_length",
    ),
    Metric(
        "cached_tokens",
        "tokens",
        "ids of the prompt found in the key/value cache",
        lambda read: read.cached,
        aiperf="usage_prompt_cache_read_tokens",
    ),
    Metric(
        "output_tokens",
        "tokens",
        "n = thinking_tokens + marker_tokens + answer_tokens (AIPerf: without the think tags)",
        lambda read: read.count(*Channel),
        aiperf="output_sequence_length",
    ),
    Metric(
        "thinking_tokens",
        "tokens",
        "tokens between the think tags",
        lambda read: read.count(Channel.THINKING),
        aiperf="reasoning_token_count",
    ),
    Metric(
        "marker_tokens",
        "tokens",
        "tokens that carry any part of a think tag",
        lambda read: read.count(Channel.MARKER),
    ),
    Metric(
        "answer_tokens",
        "tokens",
        "tokens of the answer, white space included",
        lambda read: read.count(*ANSWER),
        aiperf="output_token_count",
    ),
    Metric(
        "prefill_throughput",
        "tokens/s",
        "(prompt_tokens - cached_tokens) / t[0] (AIPerf: cached tokens count too)",
        _prefill_throughput,
        aiperf="prefill_throughput_per_user",
    ),
    Metric(
        "output_token_throughput_per_user",
        "tokens/s",
        "1 / inter_token_latency: without the time to the first token",
        lambda read: _over(1.0, _inter_token_latency(read)),
        aiperf="output_token_throughput_per_user",
    ),
    Metric(
        "e2e_output_token_throughput",
        "tokens/s",
        "n / request_latency: queue, prefill and end included",
        lambda read: _over(_drawn(read) or None, read.ended),
        aiperf="e2e_output_token_throughput",
    ),
    Metric(
        "answer_rate",
        "tokens/s",
        "answer tokens that follow an answer token / answer_time; all but one, in one stretch",
        _answer_rate,
    ),
    Metric(
        "thinking_efficiency",
        "ratio",
        "thinking_tokens / answer_tokens",
        lambda read: _over(read.count(Channel.THINKING), read.count(*ANSWER)),
        aiperf="thinking_efficiency",
    ),
    Metric(
        "draft_acceptance",
        "ratio",
        "ids drawn as speculation proposed them / proposals up to the first that was not, in each "
        "step (Leviathan et al. 2023, arXiv:2211.17192); None without speculation",
        _acceptance(*Channel),
    ),
    Metric(
        "draft_acceptance_thinking",
        "ratio",
        "draft_acceptance of the thinking",
        _acceptance(Channel.THINKING),
    ),
    Metric(
        "draft_acceptance_answer",
        "ratio",
        "draft_acceptance of the answer",
        _acceptance(*ANSWER),
    ),
    Metric(
        "tokens_per_step",
        "tokens",
        "tokens that took time / decode iterations that brought them; None without speculation",
        _step_tokens,
    ),
    Metric(
        "mean_logprob",
        "nats",
        "mean natural log-probability of the tokens that were drawn, in the model's own "
        "distribution; those that closed the thinking at its budget were not drawn",
        _mean_logprob,
    ),
    Metric(
        "perplexity",
        "ratio",
        "exp(-mean_logprob)",
        _perplexity,
    ),
)
