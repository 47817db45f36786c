"""A piece of HTML for a notebook, and the plain text that stands in for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from workbench.printable import printable


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """What the last line of a notebook's cell shows."""

    html: str  # safe: everything that is not ours has been escaped
    text: str  # one line or a few, for terminals and for tests of notebooks
    data: Mapping[str, Any] = field(default_factory=dict)  # further MIME types, for programs

    def _repr_html_(self) -> str:
        return self.html

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return {"text/html": self.html, "text/plain": self.text, **self.data}

    def __repr__(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text


def render(template: str, text: str, data: Mapping[str, Any] | None = None, **values: Any) -> Page:
    """A template of this room, filled in.

    Every value is escaped, and characters that would act are made visible. The
    page's root says that nothing in it is mathematics: JupyterLab typesets ``$…$``
    in HTML outputs otherwise, links in formulas included.
    """
    html = _environment().get_template(f"{template}.html.j2").render(**values)
    return Page(html, printable(text), data or {})


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("workbench.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: object) -> object:
    """What ``{{ value }}`` writes: strings made visible, ``None`` as a dash."""
    if value is None:
        return "–"
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value
