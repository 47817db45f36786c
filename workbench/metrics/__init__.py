"""Numbers made of events: a pure function each, one row of ``TABLE`` a metric.

Times are seconds since the request was submitted, stamped where the engine runs, so no
network is in them. Names are AIPerf's where it has the metric; a formula states every
departure. Token counts are exact sampled ids; the stop token is not among them.
"""

from workbench.metrics.distribution import percentiles
from workbench.metrics.table import TABLE, Metric, measure
from workbench.metrics.trace import TokenTime, Trace, token_times, trace

__all__ = [
    "TABLE",
    "Metric",
    "TokenTime",
    "Trace",
    "measure",
    "percentiles",
    "token_times",
    "trace",
]
