"""HTML for notebooks and reports. Text from a model only ever appears in it escaped."""

from __future__ import annotations

from workbench.pages.answers import answers
from workbench.pages.asked import asked
from workbench.pages.grid import cells_table
from workbench.pages.manifest import manifest
from workbench.pages.page import Page
from workbench.pages.tables import arms_table, prose, table
from workbench.pages.texts import side_by_side

__all__ = [
    "Page",
    "answers",
    "arms_table",
    "asked",
    "cells_table",
    "manifest",
    "prose",
    "side_by_side",
    "table",
]
