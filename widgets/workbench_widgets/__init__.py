"""Widgets over the workbench's plain objects; thrown away at will, they lose nothing.

- ``Progress``: how far a run is, beneath the cell that executes it.
"""

from workbench_widgets.progress import Progress

__all__ = ["Progress"]
