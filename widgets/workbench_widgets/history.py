"""The stored runs, newest first, as a page lists them."""

from __future__ import annotations

from typing import Any

from workbench.printable import one_line
from workbench.store import Store

_PAGE = 200  # runs that are listed at once; older ones are asked for


def listed(skip: int = 0) -> dict[str, Any]:
    """One page of them, JSON-able.

    Args:
        skip: Newer ones that are left out.

    Raises:
        StoreError: The store cannot be read.
    """
    skip = max(0, skip)
    with Store(read_only=True) as store:
        rows = store.runs(skip + _PAGE + 1)[skip:]
    runs = [
        {"id": row.id, "title": one_line(row.plan.title, 300), "status": row.status}
        for row in rows[:_PAGE]
    ]
    return {"runs": runs, "skip": skip, "older": skip + _PAGE if len(rows) > _PAGE else None}
