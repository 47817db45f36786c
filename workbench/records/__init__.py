"""The nouns of the workbench: frozen, slotted, comparable, free of behaviour that costs.

One kind of thing flows through the house: *events*. An engine emits them, the
session splits and forwards them, the store keeps them, and everything else
(text, latency, scores) is a pure function of the list. A value that is not
defined is ``None``, never 0 and never NaN.
"""

from workbench.records.events import (
    Alternatives,
    Channel,
    Chunk,
    End,
    Event,
    Failed,
    Finished,
    FinishReason,
    Progress,
    Started,
    Usage,
)
from workbench.records.requests import EngineSpec, Message, Mode, Request, Role, Sampling
from workbench.records.results import Cell, Expected, Generation, Plan, Problem, Score

__all__ = [
    "Alternatives",
    "Cell",
    "Channel",
    "Chunk",
    "End",
    "EngineSpec",
    "Event",
    "Expected",
    "Failed",
    "FinishReason",
    "Finished",
    "Generation",
    "Message",
    "Mode",
    "Plan",
    "Problem",
    "Progress",
    "Request",
    "Role",
    "Sampling",
    "Score",
    "Started",
    "Usage",
]
