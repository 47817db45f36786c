"""Plotly figures of generations: where time goes, what arms cost, how often they are right.

They know neither engine nor store: arms are mappings from a name to generations.
"""

from __future__ import annotations

from workbench.plots.arms import accuracy, cost
from workbench.plots.positions import inter_token_latency, log_probability
from workbench.plots.timelines import timeline

__all__ = ["accuracy", "cost", "inter_token_latency", "log_probability", "timeline"]
