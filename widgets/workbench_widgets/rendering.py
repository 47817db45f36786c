"""Markdown and mathematics as a tree of allowed elements; whoever wrote it cannot make it act.

Three steps, each of which would do alone: the parser takes no HTML, the sanitiser keeps what is on
a list, and the page makes elements of the tree by a list of its own. No markup reaches the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from html.parser import HTMLParser
from types import MappingProxyType
from typing import Any

import nh3
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

from workbench.printable import printable

Tree = list[Any]  # of texts and [tag, {attribute: value}, Tree]

_LONGEST = 200_000  # characters that are rendered
_FORMULA = 4_000  # characters of one formula
_BLOCKS = "p h1 h2 h3 h4 h5 h6 ul ol li blockquote pre hr table thead tbody tr th td div"
_WORDS = "code em strong s del br a span"
_FORMULAS = "math mrow mi mn mo mtext mspace msup msub msubsup mfrac msqrt mroot munder mover"
_MATRICES = "munderover mtable mtr mtd mstyle mpadded mphantom menclose"
_TEXT = frozenset(f"{_BLOCKS} {_WORDS}".split())
_MATH = frozenset(f"{_FORMULAS} {_MATRICES}".split())
_KEPT = (("a", "href"), ("math", "display"), ("ol", "start"), ("mo", "stretchy"))
_ATTRIBUTES: Mapping[str, frozenset[str]] = MappingProxyType(
    {name: frozenset([one]) for name, one in _KEPT}
)
_VOID = frozenset({"br", "hr"})
_BRACKETS = re.compile(r"\\\[(.+?)\\\]|\\\((.+?)\\\)", re.DOTALL)
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`)", re.DOTALL)


def tree(text: str) -> Tree:
    """A text as elements; of one that is too long, its begin."""
    shown = printable(text[:_LONGEST])
    html = _parser().render(_dollars(shown))
    clean = nh3.clean(
        html,
        tags=set(_TEXT | _MATH),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        url_schemes={"http", "https"},
        link_rel="noopener noreferrer",
    )
    reader = _Reader()
    reader.feed(clean)
    reader.close()
    rest: Tree = ["…"] if len(text) > _LONGEST else []
    return reader.root + rest


class _Reader(HTMLParser):
    """Sanitised HTML as a tree; what is on no list is left out here once more."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root: Tree = []
        self._open: list[tuple[str, Tree]] = [("", self.root)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = _ATTRIBUTES.get(tag, frozenset())
        kept = {name: value or "" for name, value in attrs if name in known}
        children: Tree = []
        if tag in _TEXT | _MATH:
            self._open[-1][1].append([tag, kept, children])
        if tag not in _VOID:
            self._open.append((tag, children))

    def handle_endtag(self, tag: str) -> None:
        if any(name == tag for name, _ in self._open[1:]):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        self._open[-1][1].append(data)


@cache
def _parser() -> MarkdownIt:
    found = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")
    found.use(
        dollarmath_plugin,
        allow_digits=False,
        allow_space=False,
        renderer=lambda tex, options: _formula(tex, block=bool(options.get("display_mode"))),
    )
    found.use(amsmath_plugin, renderer=lambda tex: _formula(tex, block=True))
    found.disable("image")
    return found


def _dollars(text: str) -> str:
    r"""The text with ``\(…\)`` and ``\[…\]`` as dollars, but for code."""
    parts = _CODE.split(text)
    return "".join(
        part if i % 2 else _BRACKETS.sub(_as_dollars, part) for i, part in enumerate(parts)
    )


def _as_dollars(found: re.Match[str]) -> str:
    if found[1] is not None:
        return f"\n$$\n{found[1].strip()}\n$$\n"
    return f"${found[2].strip()}$"


def _formula(tex: str, *, block: bool) -> str:
    """MathML; a formula that cannot be read stays as it is written."""
    try:
        if len(tex) > _FORMULA:
            raise ValueError
        return str(convert(tex, display="block" if block else "inline"))
    except Exception:  # a parser of its own, given anything
        return f"<code>{_escaped(tex)}</code>"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
