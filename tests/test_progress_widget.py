"""The progress bar says what ``execute`` tells it."""

from __future__ import annotations

import pytest
from workbench_widgets import Progress

pytest.importorskip("ipywidgets")


def test_it_counts_and_estimates() -> None:
    now = [0.0]
    bar = Progress(clock=lambda: now[0])
    now[0] = 4.0
    bar(1, 5)
    assert bar.view.children[0].value == 1
    assert bar.view.children[0].max == 5
    assert bar.view.children[1].value == "1 of 5, about 16 s left"
    now[0] = 10.0
    bar(5, 5)
    assert bar.view.children[1].value == "5 of 5 in 10.0 s"
    assert repr(bar) == "Progress(5 of 5 in 10.0 s)"


def test_an_empty_run_is_complete_at_once() -> None:
    bar = Progress(clock=lambda: 0.0)
    bar(0, 0)
    assert bar.view.children[1].value == "0 of 0 in 0.0 s"
