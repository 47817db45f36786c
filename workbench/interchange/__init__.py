"""Runs as files that other programs read: Inspect's logs, lm-eval's results, tables, events."""

from workbench.interchange.exporting import FORMATS, export

__all__ = ["FORMATS", "export"]
