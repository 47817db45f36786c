"""Plotly figures of generations: where time goes, what arms cost, how often they are right.

They know neither engine nor store: arms are mappings from a name to generations.
"""

from __future__ import annotations

from workbench.plots.arms import accuracy, cost
from workbench.plots.counterfactuals import counterfactual
from workbench.plots.curves import budget, curves
from workbench.plots.forests import differences
from workbench.plots.fronts import pareto
from workbench.plots.heatmaps import heatmap
from workbench.plots.overviews import overview
from workbench.plots.positions import inter_token_latency, log_probability
from workbench.plots.timelines import timeline

__all__ = [
    "accuracy",
    "budget",
    "cost",
    "counterfactual",
    "curves",
    "differences",
    "heatmap",
    "inter_token_latency",
    "log_probability",
    "overview",
    "pareto",
    "timeline",
]
