"""The formulas of metrics, as functions of a trace; what is undefined stays ``None``."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from workbench.metrics.trace import ANSWER, Trace
from workbench.records import Channel

Value = float | None

# --- arithmetic that knows what is undefined ----------------------------------------------------


def minus(end: Value, start: Value) -> Value:
    """``end - start``, where both are known."""
    return None if end is None or start is None else end - start


def over(part: Value, whole: Value) -> Value:
    """``part / whole``; ``None`` for nothing, for a whole of 0, and beyond a float's range."""
    if part is None or not whole:
        return None
    value = part / whole
    return value if math.isfinite(value) else None


# --- functions of more than one line ------------------------------------------------------------


def second_token(read: Trace) -> Value:
    """Seconds from the first drawn token to the second; 0 where one iteration brought both."""
    stamps = [chunk.t for chunk in read.drawn[:2] for _ in chunk.ids][:2]
    return stamps[1] - stamps[0] if len(stamps) == 2 else None


def inter_token_latency(read: Trace) -> Value:
    """Seconds a token, over the tokens behind the first drawn one."""
    return over(minus(read.last, read.first), (drawn(read) or 1) - 1)


def drawn(read: Trace) -> int | None:
    """Tokens that took time."""
    known = read.count(*Channel)
    given = sum(len(chunk.ids) for chunk in read.chunks[: read.given])
    return None if known is None else known - given


def thinking_time(read: Trace) -> Value:
    """Seconds from the first drawn token to the last of the thinking."""
    stamps = [chunk.t for chunk in read.drawn if chunk.channel is Channel.THINKING]
    return minus(stamps[-1], read.first) if stamps else None


def answer_steps(read: Trace) -> tuple[Value, Value]:
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


def answer_time(read: Trace) -> Value:
    """Seconds that the answer tokens took which follow an answer token."""
    return answer_steps(read)[1]


def answer_rate(read: Trace) -> Value:
    """Those tokens a second."""
    return over(*answer_steps(read))


def acceptance(*channels: Channel) -> Callable[[Trace], Value]:
    """Of the ids that were proposed, and looked at, the share that was drawn."""

    def of(read: Trace) -> Value:
        looked_at = [c.draft for c in read.drawn if c.channel in channels and c.draft is not None]
        return over(sum(looked_at), len(looked_at))

    return of


def step_tokens(read: Trace) -> Value:
    """Tokens a decode iteration, which one stamp tells; ``None`` where nothing was proposed."""
    if not any(chunk.draft is not None for chunk in read.drawn):
        return None
    return over(drawn(read), len({chunk.t for chunk in read.drawn}))


def prefill_throughput(read: Trace) -> Value:
    """Prompt tokens a second that were computed, none of them cached."""
    if read.prompt is None or read.cached is None:
        return None
    computed = read.prompt - read.cached
    return over(computed, read.first) if computed > 0 else None


def mean_logprob(read: Trace) -> Value:
    """Mean log-probability in nats of the drawn tokens; ``None`` where one has none recorded."""
    drawn = [chunk for chunk in read.chunks if not chunk.forced]
    if not read.exact:  # tags that the endpoint took out were put back without one
        drawn = [one for one in drawn if one.logprobs or one.channel is not Channel.MARKER]
    recorded = [chunk.logprobs for chunk in drawn if chunk.logprobs is not None]
    if not recorded or len(recorded) < len(drawn):
        return None
    values = [value for logprobs in recorded for value in logprobs]
    return over(math.fsum(values), len(values))


def perplexity(read: Trace) -> Value:
    """``exp`` of the negative mean log-probability."""
    mean = mean_logprob(read)
    try:
        return None if mean is None else math.exp(-mean)
    except OverflowError:
        return None
