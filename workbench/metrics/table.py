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

from collections.abc import Callable
from dataclasses import dataclass

from workbench.metrics.formulas import (
    Value,
    acceptance,
    answer_rate,
    answer_time,
    drawn,
    inter_token_latency,
    mean_logprob,
    minus,
    over,
    perplexity,
    prefill_throughput,
    second_token,
    step_tokens,
    thinking_time,
)
from workbench.metrics.trace import ANSWER, Trace, trace
from workbench.records import Channel, Generation


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
        lambda read: minus(read.prefilled, read.started.t if read.started else None),
    ),
    Metric(
        "first_decode_time",
        "s",
        "t[0] - end of the prefill",
        lambda read: minus(read.first, read.prefilled),
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
        second_token,
        aiperf="time_to_second_token",
    ),
    Metric(
        "inter_token_latency",
        "s",
        "(t[n-1] - t[0]) / (n - 1), one value a request; vLLM calls it TPOT",
        inter_token_latency,
        aiperf="inter_token_latency",
    ),
    Metric(
        "decode_duration",
        "s",
        "t[n-1] - t[0]",
        lambda read: minus(read.last, read.first),
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
        thinking_time,
    ),
    Metric(
        "answer_time",
        "s",
        "sum of t[i] - t[i-1] over the answer tokens that follow an answer token",
        answer_time,
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
        prefill_throughput,
        aiperf="prefill_throughput_per_user",
    ),
    Metric(
        "output_token_throughput_per_user",
        "tokens/s",
        "1 / inter_token_latency: without the time to the first token",
        lambda read: over(1.0, inter_token_latency(read)),
        aiperf="output_token_throughput_per_user",
    ),
    Metric(
        "e2e_output_token_throughput",
        "tokens/s",
        "n / request_latency: queue, prefill and end included",
        lambda read: over(drawn(read) or None, read.ended),
        aiperf="e2e_output_token_throughput",
    ),
    Metric(
        "answer_rate",
        "tokens/s",
        "answer tokens that follow an answer token / answer_time; all but one, in one stretch",
        answer_rate,
    ),
    Metric(
        "thinking_efficiency",
        "ratio",
        "thinking_tokens / answer_tokens",
        lambda read: over(read.count(Channel.THINKING), read.count(*ANSWER)),
        aiperf="thinking_efficiency",
    ),
    Metric(
        "draft_acceptance",
        "ratio",
        "ids drawn as speculation proposed them / proposals up to the first that was not, in each "
        "step (Leviathan et al. 2023, arXiv:2211.17192); None without speculation",
        acceptance(*Channel),
    ),
    Metric(
        "draft_acceptance_thinking",
        "ratio",
        "draft_acceptance of the thinking",
        acceptance(Channel.THINKING),
    ),
    Metric(
        "draft_acceptance_answer",
        "ratio",
        "draft_acceptance of the answer",
        acceptance(*ANSWER),
    ),
    Metric(
        "tokens_per_step",
        "tokens",
        "tokens that took time / decode iterations that brought them; None without speculation",
        step_tokens,
    ),
    Metric(
        "mean_logprob",
        "nats",
        "mean natural log-probability of the tokens that were drawn, in the model's own "
        "distribution; those that closed the thinking at its budget were not drawn",
        mean_logprob,
    ),
    Metric(
        "perplexity",
        "ratio",
        "exp(-mean_logprob)",
        perplexity,
    ),
)
