"""Widgets over the workbench's plain objects; thrown away at will, they lose nothing.

- ``Compare``: arms side by side while they answer, and any stored run in the same view.
- ``Xray``: every token of an answer by latency, probability or entropy.
- ``Progress``: how far a run is, beneath the cell that executes it.
"""

from workbench_widgets.compare import Compare
from workbench_widgets.desk import Desk
from workbench_widgets.progress import Progress
from workbench_widgets.xray import Xray

__all__ = ["Compare", "Desk", "Progress", "Xray"]
