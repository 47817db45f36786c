"""Experiments: describe a ``Plan``, ``execute`` it, read the ``Run``."""

from workbench.experiments.execution import execute
from workbench.experiments.plans import compare
from workbench.experiments.run import Run, load

__all__ = ["Run", "compare", "execute", "load"]
