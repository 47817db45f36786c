"""What a page receives and spends, by the browser's own counters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_BINARY = 2  # opcode of a frame whose payload is told in base64
_WATCH = """() => {
    window.wbLong = [];
    window.wbLast = 0;
    new PerformanceObserver((list) => {
        for (const task of list.getEntries()) window.wbLong.push(task.duration);
    }).observe({ type: 'longtask' });
    // Every text that comes, wherever it stands: the time of the last one is the page's.
    new MutationObserver((changes) => {
        const flows = changes.some(({ target }) =>
            (target.parentElement ?? target).closest?.('.wb-flow'));
        if (flows) window.wbLast = Date.now();
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


class Meter:
    """Counts while ``measured()`` is open; one page, whose websockets opened after this.

    Args:
        page: playwright's, before it goes anywhere or after: frames are counted from now on.
    """

    def __init__(self, page: Any) -> None:
        self._page = page
        self._bytes = 0.0
        self._session = page.context.new_cdp_session(page)
        self._session.send("Network.enable")
        # The thread's own processor time: what else the machine does is not the page's.
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._session.on("Network.webSocketFrameReceived", self._count)
        page.evaluate(_WATCH)

    @contextmanager
    def measured(self) -> Iterator[dict[str, Any]]:
        """Bytes received, the main thread's seconds of processor, durations of long tasks in ms."""
        found: dict[str, Any] = {}
        before, began = self._main(), time.monotonic()
        self._bytes = 0.0
        self._page.evaluate("() => { window.wbLong = []; }")
        yield found
        self._page.wait_for_timeout(200)  # tasks are told afterwards
        found["seconds"] = time.monotonic() - began
        found["bytes"] = self._bytes
        found["main"] = self._main() - before
        found["long"] = self._page.evaluate("window.wbLong")

    def _main(self) -> float:
        told = self._session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in told if one["name"] == "TaskDuration"))

    def _count(self, event: dict[str, Any]) -> None:
        frame = event["response"]
        size = len(frame["payloadData"])
        self._bytes += size * 3 / 4 if frame["opcode"] == _BINARY else size
