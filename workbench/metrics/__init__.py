"""Numbers made of events: a pure function each, one row of ``TABLE`` a metric.

Times are seconds since the request was submitted, stamped where the engine runs, so no
network is in them, unless the engine is a remote endpoint: then the clock is the client's.
Names are AIPerf's where it has the metric; a formula states every departure. Token counts are
exact sampled ids, the stop token not among them; of a remote endpoint, what it counted itself.
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
