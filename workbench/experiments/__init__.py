"""Experiments: describe a ``Plan``, ``execute`` it, read the ``Run``."""

from workbench.experiments.brake import Brake
from workbench.experiments.branching import branch
from workbench.experiments.evaluations import evaluate
from workbench.experiments.execution import execute
from workbench.experiments.plans import compare
from workbench.experiments.progress import bar
from workbench.experiments.resuming import resume
from workbench.experiments.run import Run, load
from workbench.experiments.sweeps import sweep

__all__ = [
    "Brake",
    "Run",
    "bar",
    "branch",
    "compare",
    "evaluate",
    "execute",
    "load",
    "resume",
    "sweep",
]
