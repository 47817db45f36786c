"""A workbench for reasoning models in the notebook: compare, measure, report.

::

    import workbench as wb

    plan = wb.compare("What is 47 + 38 - 12?")   # costs nothing; print it
    run = wb.execute(plan)                       # asks, records every event
    run.frame()                                  # one row a generation

The names below are loaded when they are first used; importing the package loads
neither torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType

__version__ = "0.1.0"

_HOME = MappingProxyType(
    {
        "EngineSpec": "workbench.records",
        "Generation": "workbench.records",
        "Message": "workbench.records",
        "Mode": "workbench.records",
        "Plan": "workbench.records",
        "Problem": "workbench.records",
        "Request": "workbench.records",
        "Run": "workbench.experiments",
        "Sampling": "workbench.records",
        "Session": "workbench.session",
        "Store": "workbench.store",
        "WorkbenchError": "workbench.errors",
        "arithmetic_suite": "workbench.evaluation.problems",
        "bar": "workbench.experiments",
        "compare": "workbench.experiments",
        "execute": "workbench.experiments",
        "latency": "workbench.experiments.latency",
        "load": "workbench.experiments",
        "resume": "workbench.experiments",
        "sweep": "workbench.experiments",
    }
)

__all__ = [*_HOME]  # noqa: PLE0604  (the keys are strings)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
