"""What a latency run says, in a paragraph: computed from the run, and no more than it shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from workbench.experiments.latency_figures import (
    ANSWER_GAP,
    THINKING_GAP,
    StageFigures,
    figures,
    goodput,
    objectives_of,
)
from workbench.experiments.latency_stages import Lab, read
from workbench.experiments.latency_tokens import counted as gaps_counted
from workbench.experiments.latency_tokens import outliers
from workbench.experiments.run import Run
from workbench.experiments.wording import capital, counted
from workbench.metrics import TABLE

_FEW = 30  # requests of a stage below which a reader is warned of its tails
_CACHED = 0.9  # share of an uncached prompt in the cache above which it was not uncached


def conclusion(run: Run | Lab, objectives: Mapping[str, float] | None = None) -> str:
    """First token and pace alone, what more at once does, what the cache saves, caveats.

    Medians over the requests of a stage. Plain text; the name of a model in it is as
    untrusted as ever.

    Args:
        run: Of a latency plan.
        objectives: For goodput, see ``latency_figures.goodput``.
    """
    lab = read(run)
    found = [one for one in figures(lab) if one.requests]
    if not found:
        return "No request has ended as it should, so there is nothing to conclude."
    parts = [
        *_alone(found),
        *_together(found),
        *_cache(found),
        *_channels(found),
        *(_goodput(lab, objectives) if objectives else ()),
        *_outliers(lab),
        *_caveats(lab, found),
    ]
    return " ".join(parts)


def milliseconds(seconds: float | None) -> str:
    """``57.1 ms``; ``1.24 s`` from a second on."""
    if seconds is None:
        return "an unknown time"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def bounds(objectives: Mapping[str, float]) -> str:
    """``time to first token at most 500 ms, inter-token latency at most 50 ms``."""
    units = {metric.name: metric.unit for metric in TABLE}
    return ", ".join(
        f"{name.replace('_', ' ').replace('inter token', 'inter-token')} "
        + (f"at most {milliseconds(bound)}" if units[name] == "s" else f"{bound:g} {units[name]}")
        for name, bound in objectives_of(objectives).items()
    )


def _sides(found: Sequence[StageFigures]) -> dict[str, list[StageFigures]]:
    sides: dict[str, list[StageFigures]] = {}
    for one in found:
        sides.setdefault(one.setting.side, []).append(one)
    return sides


def _alone(found: Sequence[StageFigures]) -> Iterator[str]:
    """The lowest concurrency and the shortest prompt, side by side."""
    pace: dict[str, float] = {}
    for side, own in _sides(found).items():
        first = min(own, key=_order)
        setting, gap = first.setting, first["inter_token_latency"]["p50"]
        after = milliseconds(first["time_to_first_token"]["p50"])
        each = f", then one every {milliseconds(gap)} ({1 / gap:,.0f} a second)" if gap else ""
        yield _of(
            side,
            f"with a prompt of {setting.prompt_tokens:,} tokens and "
            f"{_requests(setting.concurrency)}, the first token came after {after}{each}.",
        )
        if gap:
            pace[side] = gap
    if len(pace) > 1:
        fast, slow = min(pace, key=pace.__getitem__), max(pace, key=pace.__getitem__)
        yield f"Tokens of {fast} come {_times(pace[slow] / pace[fast])} as fast as of {slow}."


def _together(found: Sequence[StageFigures]) -> Iterator[str]:
    """What the highest concurrency does to the whole and to each, at the shortest prompt."""
    for side, own in _sides(found).items():
        first = min(own, key=_order)
        same = [one for one in own if _but_concurrency(one) == _but_concurrency(first)]
        last = max(same, key=lambda one: one.setting.concurrency)
        all_first, all_last = first.output_token_throughput, last.output_token_throughput
        gap, later = first["inter_token_latency"]["p50"], last["inter_token_latency"]["p50"]
        if last is first or not (all_first and all_last and gap and later):
            continue
        yield _of(
            side,
            f"{_requests(last.setting.concurrency)} gave "
            f"{all_last:,.0f} tokens a second in all, {_times(all_last / all_first)} as many as "
            f"{_requests(first.setting.concurrency)}, and each one's tokens came "
            f"{_times(later / gap)} as far apart.",
        )


def _cache(found: Sequence[StageFigures]) -> Iterator[str]:
    """What asking the longest prompt again saved, alone."""
    for side, own in _sides(found).items():
        pairs = {_but_cached(one): one for one in own if not one.setting.cached}
        again = [one for one in own if one.setting.cached and _but_cached(one) in pairs]
        if not again:
            continue
        one = max(again, key=lambda a: (a.setting.prompt_tokens, -a.setting.concurrency))
        before = pairs[_but_cached(one)]
        held, length = one["cached_tokens"]["p50"], one["prompt_tokens"]["p50"]
        if not held or length is None:
            yield _of(side, "prompts that were asked again were not found in a cache.")
            continue
        yield _of(
            side,
            f"asked again, a prompt of {length:,.0f} tokens found "
            f"{held:,.0f} of them in the cache, and its first token came after "
            f"{milliseconds(one['time_to_first_token']['p50'])} instead of "
            f"{milliseconds(before['time_to_first_token']['p50'])}.",
        )


def _channels(found: Sequence[StageFigures]) -> Iterator[str]:
    """Thinking and answer apart, at the lowest concurrency and the shortest prompt."""
    for side, own in _sides(found).items():
        first = min(own, key=_order)
        thinks, answers = first[THINKING_GAP]["p50"], first[ANSWER_GAP]["p50"]
        output = first["time_to_first_output_token"]["p50"]
        if thinks and answers:
            waited = f", and the answer began after {milliseconds(output)}" if output else ""
            yield _of(
                side,
                f"tokens of the thinking were {milliseconds(thinks)} apart, those of the answer "
                f"{milliseconds(answers)}{waited}.",
            )
        elif thinks:
            yield _of(
                side, "all that was generated is thinking: no answer began within this length."
            )


def _goodput(lab: Lab, objectives: Mapping[str, float]) -> Iterator[str]:
    known = [one for one in goodput(lab, **objectives) if one.per_second is not None]
    if not known:
        return
    best = max(known, key=lambda one: one.per_second or 0.0)
    if not best.good:
        yield f"No request met the objectives ({bounds(objectives)})."
        return
    yield (
        f"Goodput ({bounds(objectives)}) was highest at {best.setting}, {best.per_second:.3g} "
        f"requests a second: {best.good} of its {counted(best.requests, 'request')} met "
        f"{'both' if len(objectives) == 2 else 'every objective' if len(objectives) > 2 else 'it'}."
    )


def _outliers(lab: Lab) -> Iterator[str]:
    long, every = gaps_counted(lab)
    if not every:
        return
    if not long:
        yield f"None of {every:,} gaps between tokens stood out."
        return
    worst = outliers(lab, most=1)[0]
    yield (
        f"{long:,} of {every:,} gaps between tokens stood out; the longest for its stage was "
        f"{milliseconds(worst.gap)} where the median is {milliseconds(worst.median)}."
    )


def _caveats(lab: Lab, found: Sequence[StageFigures]) -> Iterator[str]:
    every = figures(lab)
    total = counted(sum(one.requests + one.failed for one in every), "request")
    failed, short = sum(one.failed for one in every), sum(one.short for one in every)
    if failed:
        yield f"{failed} of {total} failed; they are in no figure."
    if short:
        yield f"{short} of {total} ended before the length asked for."
    if len(lab.run.generations) < len(lab.run.plan):
        done = f"{len(lab.run.generations)} of {len(lab.run.plan)}"
        yield f"The run is not whole: {done} requests were made."
    if any(_was_cached(one) for one in found):
        yield "Prompts that were to be new were in the cache already: ask with another seed."
    levels = max(one.setting.concurrency for one in every)
    really = lab.run.environment.get("concurrency")
    if really is not None and really < levels:
        yield f"The run was made with {really} at once, whatever its stages say."
    if lab.run.environment.get("resumed"):
        yield "The run was taken up again: a stage that was cut in two holds the pause."
    few = min(one.requests for one in found)
    if few < _FEW:
        requests = counted(few, "request")
        yield f"With {requests} a stage, medians are rough and the tails are single requests."


def _was_cached(one: StageFigures) -> bool:
    held, length = one["cached_tokens"]["p50"], one["prompt_tokens"]["p50"]
    return (
        not one.setting.cached and bool(held and length) and (held or 0) > _CACHED * (length or 1)
    )


def _of(side: str, said: str) -> str:
    """A sentence about one side; the name of a side keeps its letters."""
    return f"{side}: {said}" if side else capital(said)


def _order(one: StageFigures) -> tuple[int, ...]:
    setting = one.setting
    return (setting.cached, setting.concurrency, setting.prompt_tokens, setting.output_tokens)


def _but_concurrency(one: StageFigures) -> tuple[int, int, bool]:
    return one.setting.prompt_tokens, one.setting.output_tokens, one.setting.cached


def _but_cached(one: StageFigures) -> tuple[int, int, int]:
    setting = one.setting
    return setting.prompt_tokens, setting.output_tokens, setting.concurrency


def _requests(count: int) -> str:
    return "one request at a time" if count == 1 else f"{count} requests at once"


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"
