"""``workbench bench widgets``: what watching costs a kernel and a page, in a real JupyterLab."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workbench.bench.generation import Options
from workbench_widgets.browser import Lab, browser, jupyterlab
from workbench_widgets.page_meter import Meter

Row = dict[str, Any]

TOKENS = 32_000  # of each of two panes
RATE = 400.0  # tokens a second, of each
_SHARE = 8  # the short streams have so many times fewer tokens; cost should grow like them
_NAIVE = 1_000  # tokens of each box that grows by ``HTML.value +=``: it survives these
_LOOK = 250  # milliseconds between looks whether it has ended: each costs the page
_FULL = 3  # rounds above which it is a measurement, not a look
_MOST = (  # figure, and what it may be at most
    ("published, MB", 2.0),
    ("kernel, % of the stream", 4.0),
    ("page main thread, % of the stream", 8.0),
    ("long tasks over 50 ms", 0.0),
    ("lag after the last token, s", 0.2),
    ("x-ray ready, s", 0.5),
    ("stop seen, s", 0.25),
    ("bytes a token, ratio", 1.1),
    ("kernel a token, ratio", 1.25),
    ("page a token, ratio", 1.25),
)
_WHOLE = ("x-ray", "long", "two panes that write")  # what beside the long streams is judged
_LEAST = (("x-ray frames/s while scrolling", 60.0),)
_NEAR = 0.99  # a display of 60 Hz draws 59.9 frames a second

CELLS = (
    "import json\nfrom workbench_widgets.streams import Streams\ns = Streams({tokens}, {rate})\n"
    "s.events\nn = Streams({short}, {rate})\nh = Streams({naive}, {rate})\nprint('ready')",
    "s.plain()",
    "s.watched()",
    "print(json.dumps(s.spent))",
    "n.plain()",
    "n.watched()",
    "print(json.dumps(n.spent))",
    "h.plain()",
    "h.naive()",
    "s.watched()",
)


def bench(options: Options) -> Iterator[list[Row]]:
    """Two arms of 32,000 tokens at 400 a second; beside it a short one, and ``HTML.value +=``.

    The processor's share of the kernel is what watching adds to the same run unwatched.

    Raises:
        WorkbenchError: There is no Chromium, or no playwright.
    """
    tokens = TOKENS if options.rounds > _FULL else TOKENS // 8
    with TemporaryDirectory() as kept, browser() as opened:
        folder = Path(kept) / "folder"
        folder.mkdir()
        with jupyterlab(folder, Path(kept) / "own") as address:
            page = opened.new_context(viewport={"width": 1300, "height": 1000}).new_page()
            lab = Lab(page, address, folder)
            sizes = {"tokens": tokens, "short": tokens // _SHARE, "naive": _NAIVE}
            cells = (one.format(rate=RATE, **sizes) for one in CELLS)
            lab.open(*cells, name="bench")
            long = f"two panes of {tokens:,} tokens"
            yield [_judged(row, long) for row in _measured(lab, tokens)]


def _measured(lab: Lab, tokens: int) -> Iterator[Row]:
    meter = Meter(lab.page)
    lab.run(0)
    lab.result(0)
    with meter.measured() as found:
        lab.page.wait_for_timeout(5000)
    share = 100 * found["main"] / found["seconds"]
    yield {"of": "JupyterLab, idle", "figure": "page main thread, %", "value": share}
    long = _stream(lab, meter, 1, tokens)
    yield from _rows(f"two panes of {tokens:,} tokens", long)
    yield from _xray(lab, tokens)
    short = _stream(lab, meter, 4, tokens // _SHARE)
    yield from _rows(f"two panes of {tokens // _SHARE:,} tokens", short)
    for name, of in (("bytes", "published"), ("kernel", "kernel"), ("page", "page")):
        # Shares of the stream's duration are already a token's; bytes are of the whole.
        by = _SHARE if of == "published" else 1
        ratio = long[of] / by / short[of] if short[of] > 0 else None
        yield {"of": "long by short", "figure": f"{name} a token, ratio", "value": ratio}
    yield from _rows(f"HTML.value += of {_NAIVE:,} tokens", _naive(lab, meter))
    yield _stop(lab)


def _stream(lab: Lab, meter: Meter, cell: int, tokens: int) -> Row:
    """The same run unwatched and watched; seconds of the processor, bytes, the page's share."""
    patience = 2 * tokens / RATE + 60
    lab.run(cell)
    plain = float(lab.result(cell, patience))
    with meter.measured() as found:
        lab.run(cell + 1)
        lab.page.wait_for_function(_DONE, arg=cell + 1, timeout=1000 * patience, polling=_LOOK)
        last = lab.page.evaluate("window.wbLast")
    lab.run(cell + 2)
    spent = json.loads(lab.result(cell + 2))
    stream = tokens / RATE
    return found | {
        "published": spent["published"],
        "kernel": (spent["cpu"] - plain) / stream,
        "page": found["main"] / stream,
        "lag": last / 1000 - spent["last"],
    }


def _naive(lab: Lab, meter: Meter) -> Row:
    lab.run(7)
    plain = float(lab.result(7))
    with meter.measured() as found:
        lab.run(8)
        published, spent = map(float, lab.result(8, 300).split()[-2:])  # behind the boxes
        lab.page.wait_for_timeout(2000)  # the page is behind
    stream = _NAIVE / RATE
    shares = {"kernel": (spent - plain) / stream, "page": found["main"] / stream}
    return found | shares | {"published": published}


def _rows(of: str, found: Row) -> Iterator[Row]:
    yield {"of": of, "figure": "published, MB", "value": found["published"] / 1e6}
    yield {"of": of, "figure": "received by the page, MB", "value": found["bytes"] / 1e6}
    yield {"of": of, "figure": "kernel, % of the stream", "value": 100 * found["kernel"]}
    yield {"of": of, "figure": "page main thread, % of the stream", "value": 100 * found["page"]}
    yield {"of": of, "figure": "long tasks over 50 ms", "value": float(len(found["long"]))}
    yield {"of": of, "figure": "longest task, ms", "value": max(found["long"], default=0.0)}
    if "lag" in found:
        yield {"of": of, "figure": "lag after the last token, s", "value": found["lag"]}


def _xray(lab: Lab, tokens: int) -> Iterator[Row]:
    """From the click on the button until the tokens have colours on the screen; then scroll."""
    of = f"x-ray of {tokens:,} tokens"
    ready = lab.page.evaluate(_XRAY) / 1000
    yield {"of": of, "figure": "x-ray ready, s", "value": ready}
    frames = lab.page.evaluate(_SCROLL)
    yield {"of": of, "figure": "x-ray frames/s while scrolling", "value": frames["rate"]}
    yield {"of": of, "figure": "empty page frames/s", "value": frames["empty"]}


def _stop(lab: Lab) -> Row:
    lab.run(9)
    seconds = lab.page.evaluate(_STOP) / 1000
    return {"of": "two panes that write", "figure": "stop seen, s", "value": seconds}


def _judged(row: Row, long: str) -> Row:
    """The row with its goal, where there is one: of the long streams and what is done to them."""
    most, least = dict(_MOST).get(row["figure"]), dict(_LEAST).get(row["figure"])
    value = row["value"]
    ours = row["of"] == long or row["of"].startswith(_WHOLE)
    if value is None or not ours or (most is None and least is None):
        return row | {"goal": None, "met": None}
    if most is not None:
        return row | {"goal": f"at most {most:g}", "met": value <= most}
    return row | {"goal": f"at least {least:g}", "met": value >= _NEAR * (least or 0.0)}


_DONE = """(cell) => {
    const own = document.querySelectorAll('.jp-CodeCell')[cell];
    return own.querySelector('.wb-status')?.textContent.startsWith('Kept as run');
}"""

_XRAY = """() => new Promise((done) => {
    const begin = performance.now();
    document.addEventListener('wb-ready', () =>
        requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begin))),
        { once: true });
    [...document.querySelectorAll('.wb-button')].find((b) => b.textContent === 'X-ray').click();
})"""

_SCROLL = """async () => {
    const frames = (move, ms) => new Promise((done) => {
        let count = 0;
        const begin = performance.now();
        const next = (now) => {
            if (now - begin > ms) return done(count / (now - begin) * 1000);
            move();
            count += 1;
            requestAnimationFrame(next);
        };
        requestAnimationFrame(next);
    });
    const tokens = document.querySelector('.wb-tokens');
    const empty = await frames(() => {}, 2000);
    return { empty, rate: await frames(() => { tokens.scrollTop += 60; }, 4000) };
}"""

_STOP = """async () => {
    const own = [...document.querySelectorAll('.jp-CodeCell')].at(-1);
    const pause = () => new Promise((next) => setTimeout(next, 5));
    while (!(own.querySelector('.wb-thoughts')?.textContent.length > 400)) await pause();
    const begin = performance.now();
    [...own.querySelectorAll('.wb-button')].find((b) => b.textContent === 'Stop').click();
    while (own.querySelectorAll('.wb-bad').length < 2) await pause();
    return performance.now() - begin;
}"""
