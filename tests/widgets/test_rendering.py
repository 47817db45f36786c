"""Markdown and mathematics by an allow-list: what is kept, and that nothing acts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from workbench_widgets.rendering import tree

from .hostile import HOSTILE

KEPT = {"a": {"href", "rel"}, "math": {"display"}, "ol": {"start"}, "mo": {"stretchy"}}


def elements(found: list[Any]) -> Iterator[tuple[str, dict[str, str]]]:
    for item in found:
        if not isinstance(item, str):
            tag, attributes, children = item
            yield tag, attributes
            yield from elements(children)


def words(found: list[Any]) -> str:
    return "".join(item if isinstance(item, str) else words(item[2]) for item in found)


def test_there_are_at_least_sixty() -> None:
    assert len(set(HOSTILE)) >= 60


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_of_a_hostile_text_acts(text: str) -> None:
    for tag, attributes in elements(tree(text)):
        assert tag not in {"script", "style", "iframe", "img", "svg", "object", "form", "link"}
        assert attributes.keys() <= KEPT.get(tag, set())
        assert attributes.get("href", "https://").startswith(("http://", "https://"))


def test_markdown_and_formulas_are_elements() -> None:
    found = tree("# Head\n\n**bold** and `code`, [link](https://example.org)\n\n1. one\n2. two")
    tags = [tag for tag, _ in elements(found)]
    assert tags == ["h1", "p", "strong", "code", "a", "ol", "li", "li"]
    assert words(found).split() == ["Head", "bold", "and", "code,", "link", "one", "two"]


@pytest.mark.parametrize("text", ["$\\frac{1}{2}$", "\\(\\frac{1}{2}\\)", "\\[\\frac{1}{2}\\]"])
def test_formulas_are_mathml_in_every_notation(text: str) -> None:
    tags = [tag for tag, _ in elements(tree(text))]
    assert "mfrac" in tags
    assert words(tree(text)).strip() == "12"


def test_money_and_code_are_no_formulas() -> None:
    assert words(tree("It costs $5 or $10.")).strip() == "It costs $5 or $10."
    assert words(tree("`\\(x\\)`")).strip() == "\\(x\\)"


def test_a_formula_that_cannot_be_read_stays_as_written() -> None:
    assert words(tree("$a_b_c$")).strip() == "a_b_c"
    assert words(tree(f"${'x' * 5000}$")).strip().endswith("x")


def test_a_text_that_is_too_long_shows_its_begin() -> None:
    found = words(tree("word " * 60_000))
    assert found.endswith("…")
    assert len(found) < 210_000
