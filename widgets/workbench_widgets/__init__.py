"""Widgets over the workbench's plain objects; thrown away at will, they lose nothing.

- ``Workbench``: the parts below in one tabbed view.
- ``Compare``: arms side by side while they answer, and any stored run in the same view;
  an ``Arm`` names its mode, and where it differs its model, engine and sampling.
- ``Xray``: every token of an answer by latency, probability or entropy; branches from any of them.
- ``SweepGrid``: a plan's cells fill in as they finish; pause, resume, stop.
- ``ModelCard``: what there is, what is loaded, whether it fits; load and unload.
- ``Progress``: how far a run is, beneath the cell that executes it.
"""

from workbench_widgets.asking import Arm
from workbench_widgets.card import ModelCard
from workbench_widgets.compare import Compare
from workbench_widgets.desk import Desk
from workbench_widgets.progress import Progress
from workbench_widgets.sweep import SweepGrid
from workbench_widgets.tabs import Workbench
from workbench_widgets.xray import Xray

__all__ = ["Arm", "Compare", "Desk", "ModelCard", "Progress", "SweepGrid", "Workbench", "Xray"]
