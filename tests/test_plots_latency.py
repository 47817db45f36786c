"""The latency lab's figures show what they are given, each line told apart by more than colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.plots import latencies


@dataclass(frozen=True)
class Setting:
    side: str = ""
    prompt_tokens: int = 64
    output_tokens: int = 48
    concurrency: int = 1
    cached: bool = False

    def __str__(self) -> str:
        return f"{self.side}{self.prompt_tokens} at {self.concurrency}"


@dataclass(frozen=True)
class Stage:
    setting: Setting
    output_token_throughput: float | None = 100.0
    distributions: Mapping[str, tuple[float | None, float | None, float | None]] = field(
        default_factory=dict
    )

    def __getitem__(self, name: str) -> Mapping[str, float | None]:
        low, middle, high = self.distributions.get(name, (None, None, None))
        return {"p25": low, "p50": middle, "p75": high}


def stages() -> list[Stage]:
    """Two prompt lengths, three levels, cached and not; more of anything is slower."""
    found = []
    for prompt in (64, 512):
        for level in (1, 2, 4):
            for cached in (False, True):
                setting = Setting("", prompt, 48, level, cached)
                first = prompt * level / (10_000 if cached else 1000)
                rates = {
                    "time_to_first_token": (0.9 * first, first, 1.2 * first),
                    "prefill_throughput": (900.0, 1000.0 / level, 1100.0),
                    "output_token_throughput_per_user": (1.0, 200.0 / level, 3.0),
                }
                found.append(Stage(setting, 150.0 * level, rates))
    return found


def band(first: int, last: int, middle: float) -> Any:
    shares = {"p5": 0.5, "p25": 0.8, "p50": 1.0, "p75": 1.3, "p95": 4.0}
    return SimpleNamespace(
        first=first, last=last, count=9, **{name: middle * share for name, share in shares.items()}
    )


def named(figure: Any, name: str) -> Any:
    (found,) = [trace for trace in figure.data if trace.name == name]
    return found


def test_throughput_against_latency_has_a_point_a_concurrency() -> None:
    figure = latencies.throughput(list(reversed(stages())))
    line = named(figure, "64 tokens · uncached")
    assert list(line.x) == [200.0, 100.0, 50.0]
    assert list(line.y) == [150.0, 300.0, 600.0]
    assert list(line.customdata) == [1, 2, 4]  # the hover has all; beside several lines the ends
    assert [text.strip() for text in line.text] == ["1", "", "4"]
    assert len(figure.data) == 4


def test_first_token_by_concurrency_is_in_milliseconds_with_its_middle_half() -> None:
    figure = latencies.first_token(stages())
    line = named(figure, "64 tokens · uncached")
    assert list(line.x) == [1, 2, 4]
    assert list(line.y) == pytest.approx([64.0, 128.0, 256.0])
    assert list(line.error_y.array) == pytest.approx([0.2 * y for y in line.y])
    assert list(line.error_y.arrayminus) == pytest.approx([0.1 * y for y in line.y])
    assert list(figure.layout.xaxis.tickvals) == [1, 2, 4]
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.yaxis.type == "log"  # from 6 to 2,048


def test_by_length_only_the_lowest_concurrency_is_drawn() -> None:
    for figure in (
        latencies.prefill_rate(stages()),
        latencies.first_token(stages(), over="prompt_tokens"),
    ):
        assert {trace.name for trace in figure.data} == {"uncached", "cached"}
        assert list(named(figure, "cached").x) == [64, 512]
    assert list(named(latencies.prefill_rate(stages()), "cached").y) == [1000.0, 1000.0]


def test_lines_are_told_apart_without_colour() -> None:
    figure = latencies.first_token(stages())
    looks = {(trace.line.dash, trace.marker.symbol) for trace in figure.data}
    assert len(looks) == len(figure.data)
    pair = [named(figure, f"512 tokens · {state}") for state in ("uncached", "cached")]
    assert pair[0].line.color == pair[1].line.color
    assert [trace.line.dash for trace in pair] == ["solid", "dash"]


def test_goodput_shows_requests_a_second_and_how_many_of_how_many() -> None:
    found = [
        SimpleNamespace(setting=Setting(concurrency=level), good=level, requests=8, per_second=rate)
        for level, rate in ((4, 9.0), (1, 3.0))
    ]
    figure = latencies.goodput(found, "time to first token at most 500 ms")
    (line,) = figure.data
    assert (list(line.x), list(line.y)) == ([1, 4], [3.0, 9.0])
    assert [list(pair) for pair in line.customdata] == [[1, 8], [4, 8]]
    assert "time to first token at most 500 ms" in figure.layout.title.subtitle.text


def test_bands_by_position_are_a_panel_a_stage() -> None:
    given = {Setting(concurrency=n): [band(1, 4, 0.01), band(5, 8, 0.02)] for n in (1, 2)}
    figure = latencies.latency_by_position(given)
    medians = [trace for trace in figure.data if trace.name == "median"]
    assert [list(trace.x) for trace in medians] == [[2.5, 6.5]] * 2
    assert list(medians[0].y) == pytest.approx([10.0, 20.0])
    outer = next(trace for trace in figure.data if trace.name.startswith("5th"))
    assert max(outer.y) == pytest.approx(80.0)
    assert min(outer.y) == pytest.approx(5.0)
    assert [trace.showlegend for trace in medians] == [True, False]
    texts = [note.text for note in figure.layout.annotations]
    assert texts == ["64 at 1", "64 at 2"]


def test_of_many_stages_the_first_are_drawn_and_the_rest_counted() -> None:
    given = {Setting(concurrency=n): [band(1, 4, 0.01)] for n in range(1, 10)}
    figure = latencies.latency_by_position(given)
    assert sum(trace.name == "median" for trace in figure.data) == 6
    assert figure.layout.annotations[-1].text == "the first 6 of 9 stages"


def test_names_are_escaped() -> None:
    evil = [replace(s, setting=replace(s.setting, side="<b>$x$</b>")) for s in stages()]
    for figure in (
        latencies.throughput(evil),
        latencies.first_token(evil),
        latencies.prefill_rate(evil),
    ):
        assert "<b>$x" not in str(figure.to_dict())
        assert "&lt;b&gt;&#36;x" in figure.data[0].name
    given = {Setting(side="<i>$y$</i>"): [band(1, 4, 0.01)]}
    assert "<i>" not in str(latencies.latency_by_position(given).layout.annotations)


def test_nothing_to_show_is_said() -> None:
    unknown = [replace(stage, output_token_throughput=None, distributions={}) for stage in stages()]
    for figure in (
        latencies.throughput(unknown),
        latencies.throughput([]),
        latencies.first_token(unknown),
        latencies.prefill_rate([]),
        latencies.goodput([], ""),
        latencies.latency_by_position({Setting(): []}),
    ):
        assert not figure.data
        assert figure.layout.annotations[0].text
