"""HTML for notebooks and reports. Text from a model only ever appears in it escaped."""

from __future__ import annotations

from workbench.pages.manifest import asked, manifest
from workbench.pages.page import Page
from workbench.pages.tables import arms_table, prose, table
from workbench.pages.texts import side_by_side

__all__ = ["Page", "arms_table", "asked", "manifest", "prose", "side_by_side", "table"]
