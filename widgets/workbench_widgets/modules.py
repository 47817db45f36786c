"""The browser's part of a widget: plain ES modules beside these files, joined into one."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) )", re.MULTILINE)
_DEFAULT = re.compile(r"^export default ", re.MULTILINE)


@cache
def module(name: str) -> str:
    """The source of an ES module with everything that it imports, in one.

    A widget's module reaches the page as text, where a relative import has no address. So the
    files are put one behind the other, each once, those that are imported first, without their
    ``import`` and ``export``. No name may stand in two files; a test holds that.

    Args:
        name: Of the file, without ``.js``: the one whose default export the page takes.
    """
    parts = [_IMPORT.sub("", _source(one)) for one in _in_order(name, ())]
    *libraries, last = (_EXPORT.sub("", part) for part in parts)
    return "".join([*(_DEFAULT.sub("", one) for one in libraries), last])


@cache
def style(*names: str) -> str:
    """Style sheets one behind the other, by their names without ``.css``."""
    return "".join((HERE / f"{name}.css").read_text(encoding="utf-8") for name in names)


def _source(name: str) -> str:
    return (HERE / f"{name}.js").read_text(encoding="utf-8")


def _in_order(name: str, above: tuple[str, ...]) -> list[str]:
    """The module's name behind those of all that it needs."""
    if name in above:
        raise ValueError(f"{name}.js imports itself by way of {', '.join(above)}")
    found: list[str] = []
    for needed in _IMPORT.findall(_source(name)):
        found += [one for one in _in_order(needed, (*above, name)) if one not in found]
    return [*found, name]
