"""An executed notebook as one HTML file that loads nothing and runs only our own script.

Everything in it is inline. plotly.js is there once, when there is a figure; figures are
JSON that one small script draws. A content security policy lets these two scripts run,
by their hashes, and nothing else, so that even markup which should not be there does
nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from nbconvert import HTMLExporter
from plotly.offline import get_plotlyjs

from workbench.experiments.progress import PROGRESS
from workbench.pages.manifest import RUN_TYPE
from workbench.printable import printable

_FIGURE = "application/vnd.plotly.v1+json"
RUN_SCRIPT = "run-"  # begins the id of the inert scripts that say what a repeat needs
_SHOWN = ("text/html", "image/png", "text/plain")  # what outputs may be, the best first
_TEMPLATES = Path(__file__).parent / "templates"
_PAPERMILL_MARK = "papermill-error-cell-tag"


def html(notebook: nbformat.NotebookNode, name: str = "", stopped: str | None = None) -> str:
    """The page.

    Args:
        notebook: Executed; it is not changed.
        name: The notebook's file name, for the reader who wants the cells, if there is one.
        stopped: Why it ended before its end, said at the top.
    """
    copy = nbformat.from_dict(notebook)
    copy.cells = [c for c in copy.cells if _PAPERMILL_MARK not in c.metadata.get("tags", [])]
    figures = list(_take_figures(copy))
    runs = list(_runs(copy))
    _keep_shown(copy)
    scripts = [get_plotlyjs(), _source("draw.js")] if figures else []
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=_title(copy),
            name=name,
            stopped=None if stopped is None else printable(stopped),
            contents=list(_contents(copy)),
            body=Markup(_body(copy)),  # noqa: S704  (the exporter's, see its template)
            style=Markup(_source("page.css")),  # noqa: S704  (our own file)
            figures=[Markup(_inert(figure)) for figure in figures],  # noqa: S704  (no "<" in it)
            runs=[Markup(_inert(run)) for run in runs],  # noqa: S704  (the same)
            run_script=RUN_SCRIPT,
            scripts=[Markup(script) for script in scripts],  # noqa: S704  (plotly's and our own)
            policy=_policy(scripts),
        )
    )


def _take_figures(notebook: nbformat.NotebookNode) -> Iterator[dict[str, Any]]:
    """Every figure; in its place an empty element with its number stays."""
    number = 0
    for output in _outputs(notebook):
        figure = output.get("data", {}).get(_FIGURE)
        if figure is None:
            continue
        height = int(figure.get("layout", {}).get("height") or 400)
        output["data"] = {
            "text/html": f'<div class="figure" data-figure="{number}" '
            f'style="min-height:{height}px">This figure is drawn by JavaScript.</div>'
        }
        number += 1
        yield {"data": figure.get("data", []), "layout": figure.get("layout", {})}


def _runs(notebook: nbformat.NotebookNode) -> Iterator[dict[str, Any]]:
    """What the notebook says of the runs it shows, for programs: it can be verified."""
    for output in _outputs(notebook):
        found = output.get("data", {}).get(RUN_TYPE)
        if found is not None:
            yield found


def _keep_shown(notebook: nbformat.NotebookNode) -> None:
    """Of what a cell has put out only what a page can show without running it."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_left_out(output)]
    for output in _outputs(notebook):
        if "data" in output:
            output["data"] = {t: output["data"][t] for t in _SHOWN if t in output["data"]}


def _is_left_out(output: Any) -> bool:
    """Widgets, which need a kernel, and what a progress bar has left of itself.

    And the traceback of Ctrl-C, of which the top of the page tells.
    """
    interrupted = output.output_type == "error" and output.ename == "KeyboardInterrupt"
    widget = "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    return interrupted or widget or PROGRESS in output.get("metadata", {})


def _outputs(notebook: nbformat.NotebookNode) -> Iterator[Any]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def _body(notebook: nbformat.NotebookNode) -> str:
    exporter = HTMLExporter(
        template_name="workbench",
        extra_template_basedirs=[str(_TEMPLATES)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    body: str = exporter.from_notebook_node(notebook)[0]
    return body


def _title(notebook: nbformat.NotebookNode) -> str:
    """The first heading of the first Markdown cell."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            line = cell.source.strip().partition("\n")[0]
            return str(line.lstrip("# "))
    return "Report"


def _contents(notebook: nbformat.NotebookNode) -> Iterator[tuple[str, str]]:
    """The id and the words of every section's heading, where a cell begins with it."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            yield f"cell-id={cell.get('id', '')}", cell.source[3:].partition("\n")[0].strip()


def _inert(value: dict[str, Any]) -> str:
    """JSON in which no ``<`` stands, so that no end of a script can."""
    return json.dumps(value).replace("<", "\\u003c")


def _policy(scripts: list[str]) -> str:
    hashes = [hashlib.sha256(script.encode()).digest() for script in scripts]
    allowed = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes] or ["'none'"]
    return (
        f"default-src 'none'; script-src {' '.join(allowed)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:"
    )


@cache
def _source(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("workbench.report"), autoescape=True, undefined=StrictUndefined
    )
