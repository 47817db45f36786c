"""Pages: what a reader sees of a run, in a browser and in plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell

import workbench as wb
from workbench import pages
from workbench.engines.scripted import ScriptedEngine
from workbench.errors import InvalidInput
from workbench.evaluation.statistics import Estimate
from workbench.pages import numbers
from workbench.pages.cards import shortened
from workbench.printable import one_line, printable
from workbench.records import Expected, Finished, Mode, Problem, Started

ANSWERS = {
    ("What is 1+1?", Mode.ON): "<think>\n1 and 1 make 2.\n</think>\n\nSo \\boxed{2}",
    ("What is 1+1?", Mode.OFF): "\\boxed{3}",
    ("What is 2+2?", Mode.ON): "<think>\nhm, it never ends",
    ("What is 2+2?", Mode.OFF): "<think>a leak</think>\\boxed{4}",
}
PROBLEMS = (
    Problem("one", "What is 1+1?", "2", "easy"),
    Problem("two", "What is 2+2?", "4", "hard"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[wb.Run]:
    path = tmp_path_factory.mktemp("store") / "runs.sqlite"
    with (
        wb.Session(lambda: ScriptedEngine.answering(ANSWERS)) as session,
        wb.Store(path) as store,
    ):
        yield wb.execute(wb.compare(PROBLEMS, temperature=0.6), session=session, store=store)


class Shown(HTMLParser):
    """The text of a page, line by line, and its elements with their classes."""

    def __init__(self, page: pages.Page) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.elements: list[str] = []
        self._styled = False
        self.feed(page.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._styled = tag == "style"
        self.elements.append(f"{tag} {dict(attrs).get('class') or ''}".strip())
        self.elements += [f"{tag} open"] if "open" in dict(attrs) else []

    def handle_endtag(self, tag: str) -> None:
        self._styled = False

    def handle_data(self, data: str) -> None:
        if not self._styled and data.strip():
            self.lines.append(data.strip())


def test_the_arms_stand_side_by_side_with_thinking_folded(run: wb.Run) -> None:
    shown = Shown(pages.side_by_side(run, problem="one"))
    arms = [shown.lines.index(arm, 9) for arm in ("on", "off", "off_prefilled")]
    assert arms == sorted(arms)
    on, off, rest = (shown.lines[a:b] for a, b in zip(arms, [*arms[1:], None], strict=True))
    assert on[1] == "✓ correct"
    assert on[-3].startswith("Thinking · ")
    assert on[-2:] == ["1 and 1 make 2.", "So \\boxed{2}"]
    assert off[1] == "✗ wrong: 3"
    assert off[-1] == "\\boxed{3}"
    assert rest[1] == "failed"
    assert "The script has no answer" in rest[-1]
    assert shown.elements.count("details wb-thinking") == 1
    assert shown.elements.count("section wb-arm") == 3


def test_badges_say_what_is_unusual_and_what_it_took(run: wb.Run) -> None:
    lines = Shown(pages.side_by_side(run, problem="two")).lines
    assert "✗ wrong: thinking never closed" in lines
    assert "thinking never closed" in lines
    assert "thinking though it was off" in lines
    assert "no answer after the thinking" in lines
    leak = run.generations[4]
    assert f"{len(leak.ids)} tokens" in lines
    assert isinstance(leak.end, Finished)
    assert numbers.seconds(leak.end.t) in lines


def test_cut_off_and_unended_answers_are_marked() -> None:
    cell = wb.compare("?", modes=["on"]).cells[0]
    for end, badge in (
        ((Finished(1.0, "length"),), "cut off at its length"),
        ((Finished(1.0, "cancelled"),), "cancelled"),
        ((), "not ended"),
    ):
        one = wb.Generation(cell.request, cell.spec, (Started(0.1, 3), *end))
        shown = Shown(pages.side_by_side([(cell, one)]))
        assert badge in shown.lines
        assert "nothing was written" in shown.lines


def test_the_first_problem_is_open_and_the_rest_are_there(run: wb.Run) -> None:
    shown = Shown(pages.side_by_side(run))
    assert shown.elements.count("details wb-problem") == 2
    assert shown.elements.count("details open") == 1
    assert Shown(pages.side_by_side(run, unfolded=2)).elements.count("details open") == 2


def test_left_out_problems_are_counted(run: wb.Run) -> None:
    page = pages.side_by_side(run, most=1)
    assert Shown(page).lines[-1] == "1 more are not shown."
    assert repr(page) == "Side by side: 1 problem, 3 arms. 1 more are not shown."


def test_an_unknown_problem_is_refused(run: wb.Run) -> None:
    with pytest.raises(InvalidInput, match="no problem 'three'") as caught:
        pages.side_by_side(run, problem="three")
    assert caught.value.remedy == "There are one, two."


def test_pairs_are_graded_as_a_run_is(run: wb.Run) -> None:
    pairs = [(run.plan.cells[i], g) for i, g in run.generations.items()]
    assert pages.side_by_side(pairs).html == pages.side_by_side(run).html


def test_a_run_without_generations_is_shown_too() -> None:
    run = wb.Run("id", wb.compare("a question"), {}, {}, (), "interrupted")
    assert Shown(pages.side_by_side(run)).lines.count("not generated") == 3
    assert Shown(pages.arms_table(run)).lines
    assert "interrupted, 0 of 3 generations" in Shown(pages.manifest(run)).lines
    assert "There is no generation to show." in Shown(pages.side_by_side([])).lines


def test_pages_need_no_script_and_load_nothing(run: wb.Run) -> None:
    for page in (pages.side_by_side(run), pages.manifest(run), pages.arms_table(run)):
        assert "script" not in {element.split()[0] for element in Shown(page).elements}
        assert not re.search(r"https?:|url\(|@import|src=|href=", page.html)
        assert "mathjax_ignore" in page.html


def test_in_a_notebook_a_page_is_html_and_in_a_terminal_a_line(run: wb.Run) -> None:
    page = pages.manifest(run)
    formatter: DisplayFormatter = InteractiveShell.instance().display_formatter
    data, _ = formatter.format(page)
    assert data["text/html"] == page.html == page._repr_html_()
    assert data["text/plain"] == repr(page) == str(page)
    assert data["application/vnd.workbench.run+json"]["id"] == run.id


def test_the_manifest_names_what_a_repeat_needs(run: wb.Run) -> None:
    lines = Shown(pages.manifest(run)).lines
    facts = dict(zip(lines[::2], lines[1::2], strict=True))
    assert facts["run"] == run.id
    assert facts["engine"] == facts["model"] == "scripted"
    assert facts["device"] == "cpu"
    assert facts["sampling, on"] == "temperature 0.6, top-p 0.95"
    assert facts["sampling, off"] == "temperature 0.6"
    assert facts["requests at once"] == "1"
    assert facts["seeds"].startswith("2, one a problem and sample")
    assert re.search(r"exllamav2 \S+, torch \S+", facts["packages"])
    assert facts["python"].startswith("3.")


def test_what_was_asked_names_prompts_and_sampling() -> None:
    page = pages.asked(wb.compare(PROBLEMS, max_tokens=50))
    lines = Shown(page).lines
    assert lines[4:8] == [
        "on",
        "detailed thinking on",
        "–",
        "temperature 0.6, top-p 0.95, max-tokens 50",
    ]
    assert lines[-2] == "greedy, max-tokens 50"
    assert "<think>↵</think>" in lines
    assert lines[-1] == "6 requests to demo on exllama: 2 problems (easy 1, hard 1) in 3 arms."


SWEEP = {"mode": ["on", "off"], "temperature": [0, 0.6], "thinking_tokens": [16, None]}


def test_a_sweep_is_asked_with_its_axes_and_its_cost() -> None:
    plan = replace(wb.sweep(PROBLEMS, **SWEEP), expected=Expected(1234.0, 65.0, 20))
    page = pages.asked(plan)
    lines = Shown(page).lines
    assert (
        lines[lines.index("on") + 3] == "temperature 0 / 0.6, top-p 0.95, thinking-tokens 16 / none"
    )
    note = lines[-1]
    assert "16 requests to demo on exllama: 2 problems (easy 1, hard 1)" in note
    assert "in 8 combinations of settings." in note
    assert "Axes: mode on, off; temperature 0, 0.6; thinking-tokens 16, none." in note
    assert "By 20 earlier answers it was expected to take 1,234 tokens and 65.00 s." in note


def test_a_latency_plan_is_asked_by_its_prompts() -> None:
    plan = replace(wb.compare(PROBLEMS), kind="latency", axes={"cached": (False, True)})
    note = Shown(pages.asked(plan)).lines[-1]
    assert "6 requests to demo on exllama: 2 prompts, warm-ups among them." in note
    assert "Axes: cached no, yes." in note


def facts(run: wb.Run) -> dict[str, str]:
    lines = Shown(pages.manifest(run)).lines
    return dict(zip(lines[::2], lines[1::2], strict=True))


def test_the_manifest_of_a_sweep_names_every_setting(run: wb.Run) -> None:
    sweep = wb.sweep(PROBLEMS, **SWEEP)
    cells = [replace(cell, concurrency=n % 2 or None) for n, cell in enumerate(sweep.cells)]
    told = facts(replace(run, plan=replace(sweep, cells=tuple(cells)), generations={}, scores=()))
    assert told["axis, temperature"] == "0, 0.6"
    assert told["axis, thinking-tokens"] == "16, none"
    assert told["sampling, off"] == "temperature 0 / 0.6, thinking-tokens 16 / none"
    assert told["requests at once"] == "as many as fit, 1, stage by stage; at most 1"
    assert "axis, problem" not in told


def test_the_manifest_flags_what_a_reader_must_not_miss(run: wb.Run) -> None:
    (engine,) = run.environment["engines"]
    flagged = {
        "engines": [engine | {"synthetic": True, "attention": "sdpa"}],
        "resumed": ["2026-01-02T03:04:05+00:00"],
        "changed": {"packages: torch": ["2.6", "2.7"]},
    }
    told = facts(replace(run, environment=dict(run.environment) | flagged))
    assert told["synthetic weights"].startswith("yes: made for trying")
    assert told["attention"] == "sdpa"
    assert told["resumed"] == "2026-01-02T03:04:05+00:00"
    assert told["changed since, packages: torch"] == "2.6, then 2.7"
    same = dict(run.environment) | {"resumed": ["then"], "changed": {}}
    assert facts(replace(run, environment=same))["changed since"] == "nothing"
    trained = dict(run.environment) | {"engines": [engine | {"synthetic": False}]}
    plain = facts(replace(run, environment=trained))
    assert not {"synthetic weights", "resumed", "changed since"} & set(plain)


def test_the_table_of_arms_counts_what_went_wrong(run: wb.Run) -> None:
    rows = Shown(pages.arms_table(run)).lines
    assert rows[rows.index("on") + 1 : rows.index("off")][:3] == [
        "2",
        "1 incomplete",
        "50% (1–99%), n = 2",
    ]
    assert "2 failed" in rows


def test_tables_show_frames_and_rows_with_dashes_for_the_undefined() -> None:
    frame = pd.DataFrame({"a": [1.23456, None], "b": ["x", "y"], "c": [True, False]})
    lines = Shown(pages.table(frame)).lines
    assert lines == ["a", "b", "c", "1.23", "x", "yes", "–", "y", "no"]
    assert Shown(pages.table(frame, {"b": "letter"})).lines == ["letter", "x", "y"]
    assert Shown(pages.table([{"n": 1}] * 5, most=2)).lines[-1] == "3 more rows are not shown."
    assert Shown(pages.table([])).lines == []


def test_prose_is_paragraphs() -> None:
    shown = Shown(pages.prose("One.\n\nTwo & <three>.\n\n"))
    assert shown.lines == ["One.", "Two & <three>."]
    assert shown.elements.count("p wb-prose") == 2


def test_long_texts_keep_their_beginning_and_end() -> None:
    text = "a" * 5000 + "b" * 5000
    short = shortened(text, 1000)
    assert short.startswith("a" * 750)
    assert short.endswith("b" * 250)
    assert "9,000 characters left out" in short
    assert shortened(text, 10_000) == text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (0.0, "0 ms"),
        (0.0581, "58.1 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (59.994, "59.99 s"),
        (245.2, "4 min 05 s"),
    ],
)
def test_seconds(value: float | None, shown: str | None) -> None:
    assert numbers.seconds(value) == shown


def test_counts_and_intervals() -> None:
    assert numbers.count(1, "token") == "1 token"
    assert numbers.count(0.0, "token") == "0 tokens"
    assert numbers.count(1234.56, "token") == "1,234.6 tokens"
    assert numbers.count(None, "token") is None
    assert numbers.interval(Estimate(0.5, 0.25, 0.75, 8)) == "50% (25–75%), n = 8"
    assert numbers.interval(Estimate(0.5, None, None, 1)) == "50%, n = 1"
    assert numbers.interval(None) is None


def test_printable_leaves_writing_alone_and_shows_what_acts() -> None:
    for text in ("Grüße\n\ttab", "नमस्ते क्\u200dष", "👩\u200d💻", "שלום"):
        assert printable(text) == text
    assert printable("\x1b[31m\x00\x7f\x9b") == "␛[31m␀␡<U+009B>"
    assert printable("a\r\nb\rc") == "a\nb␍c"
    assert printable("\u202e\ud800") == "<U+202E>\ufffd"
    assert one_line("a\n b\t c", 10) == "a b c"
    assert one_line("abcdefghij", 5) == "abcd…"
