"""The browser's modules: joined without losing a name, and without a way to parse markup."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from workbench_widgets import Compare, Xray
from workbench_widgets.modules import HERE, module, style

MODULES = sorted(HERE.glob("*.js"))
DECLARED = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment"
    r"|\beval\(|new Function|srcdoc|setHTML|javascript:"
)


def test_no_name_stands_in_two_modules() -> None:
    names = Counter(
        name for path in MODULES for name in set(DECLARED.findall(path.read_text("utf-8")))
    )
    entries = {"Compare", "Xray"}
    assert [name for name, count in names.items() if count > 1 and name not in entries] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_modules_have_no_way_to_parse_markup_and_are_small(path: object) -> None:
    text = path.read_text("utf-8")  # type: ignore[attr-defined]
    assert not SINKS.search(text)
    assert len(text.splitlines()) <= 300


@pytest.mark.parametrize("name", ["compare", "xray"])
def test_a_joined_module_has_one_export_and_no_import(name: str) -> None:
    joined = module(name)
    assert not re.search(r"^import ", joined, re.MULTILINE)
    assert re.findall(r"^export .*", joined, re.MULTILINE) == ["export default {"]
    assert joined.count("class Link {") == 1
    assert len(joined) < 40_000, "every view carries it"


def test_no_rule_stands_in_two_style_sheets() -> None:
    """All of them lie in one page: the one that comes last would win, wherever it belongs."""
    plain = {
        path.name: re.sub(r"@\w+[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", path.read_text("utf-8"))
        for path in HERE.glob("*.css")
    }
    found = Counter(
        selector.strip()
        for text in plain.values()
        for selector in set(re.findall(r"([^{}]+)\{[^{}]*\}", text))
    )
    assert len(found) > 100
    assert [selector for selector, count in found.items() if count > 1] == []


def test_styles_are_joined_in_order() -> None:
    joined = style("base", "arm")
    assert joined.index(".wb-part {") < joined.index(".wb-arm {")


def test_every_part_brings_its_module_and_styles() -> None:
    for part in (Compare, Xray):
        assert "export default" in part._esm.default_value
        assert ".wb-part {" in part._css.default_value
