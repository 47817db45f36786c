"""What the latency lab's figures show, in a sentence or two computed from the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from workbench.experiments.latency_figures import Goodput, StageFigures
from workbench.experiments.latency_stages import Setting
from workbench.experiments.latency_tokens import Band
from workbench.experiments.wording import capital, listed, number
from workbench.pages.numbers import seconds
from workbench.pages.page import Page
from workbench.pages.tables import prose
from workbench.plots.latency_lines import at_once, by_line

_MOST = 4  # lines that are named one by one
_FIRST = "time_to_first_token"


def throughput(figures: Sequence[StageFigures]) -> Page:
    """Of ``latencies.throughput``: what the most at once give all and each, line by line."""
    told: list[str] = []
    for name, (first, last) in _ends(figures, over="concurrency").items():
        whole = first.output_token_throughput, last.output_token_throughput
        each = first["inter_token_latency"]["p50"], last["inter_token_latency"]["p50"]
        if whole[0] and whole[1] and each[0] and each[1]:
            more, later = _times(whole[1] / whole[0]), _times(each[1] / each[0])
            if told:
                told.append(f"{more} and {later} ({name})")
            else:
                told.append(
                    f"all together get {more} the tokens a second, and each waits {later} as long "
                    f"for a token ({name})"
                )
    return _of_lines(_span(figures), told)


def first_token(figures: Sequence[StageFigures], *, over: str = "concurrency") -> Page:
    """Of ``latencies.first_token``: its median at both ends of each line."""
    if over == "prompt_tokens":
        figures = _least(figures)
    told = [
        f"from {seconds(first[_FIRST]['p50'])} to {seconds(last[_FIRST]['p50'])} ({name})"
        for name, (first, last) in _ends(figures, over=over).items()
        if first[_FIRST]["p50"] is not None and last[_FIRST]["p50"] is not None
    ]
    return _of_lines(f"{_span(figures, over)}, the median time to the first token goes", told, " ")


def prefill_rate(figures: Sequence[StageFigures]) -> Page:
    """Of ``latencies.prefill_rate``: the rates of the prompts that are new."""
    alone = [one for one in _least(figures) if not one.setting.cached]
    told = [
        f"{one.setting.prompt_tokens:,} tokens at {number(rate)} a second"
        + (f" ({one.setting.side})" if one.setting.side else "")
        for one in alone
        if (rate := one["prefill_throughput"]["p50"]) is not None
    ]
    if not told:
        return prose("")
    return prose(f"New prompts, {at_once(alone[0].setting.concurrency)}: {listed(told)}.")


def goodput(found: Sequence[Goodput]) -> Page:
    """Of ``latencies.goodput``: in how many stages all requests met the objectives, or none."""
    known = [one for one in found if one.requests]
    every = sum(one.good == one.requests for one in known)
    none = sum(not one.good for one in known)
    return prose(
        f"Of {len(known)} stages, every request met the objectives in {every}, none in {none}."
        if known
        else ""
    )


def by_position(bands: Mapping[Setting, Sequence[Band]]) -> Page:
    """Of ``latencies.latency_by_position``: the median gap early and late in the answer."""
    told = []
    for setting, own in bands.items():
        half = len(own) // 2
        if half:
            early, late = (median(band.p50 for band in part) for part in (own[:half], own[half:]))
            told.append(f"{seconds(early)} and {seconds(late)} ({setting})")
    few = listed(told[:_MOST]) if told else ""
    return prose(f"The median gap in the first and the second half: {few}." if told else "")


def _of_lines(lead: str, told: Sequence[str], mark: str = ", ") -> Page:
    return prose(f"{capital(lead)}{mark}{'; '.join(told[:_MOST])}." if told else "")


def _ends(
    figures: Sequence[StageFigures], over: str
) -> dict[str, tuple[StageFigures, StageFigures]]:
    """The first and the last stage of every line that has two."""
    lines = by_line([one for one in figures if one.requests], over=over)
    return {name: (line[0], line[-1]) for name, line in lines.items() if len(line) > 1}


def _span(figures: Sequence[StageFigures], over: str = "concurrency") -> str:
    values = [getattr(one.setting, over) for one in figures]
    if over == "prompt_tokens":
        return f"from {min(values):,} to {max(values):,} tokens of prompt"
    return f"from {min(values)} to {max(values)} requests at once"


def _least(figures: Sequence[StageFigures]) -> list[StageFigures]:
    """Those of the lowest concurrency."""
    least = min((one.setting.concurrency for one in figures), default=1)
    return [one for one in figures if one.setting.concurrency == least]


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"
