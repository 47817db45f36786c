"""How a metric is distributed over generations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


def percentiles(values: Iterable[float | None]) -> dict[str, float | None]:
    """AIPerf's statistics: avg, min, max, std and nine percentiles, by name.

    Undefined values are left out; without any other, every statistic is ``None``.
    ``std`` is the population's, percentiles are interpolated linearly, as AIPerf's are.
    """
    names = ["avg", "min", "max", "std", *(f"p{p}" for p in _PERCENTILES)]
    defined = np.array([value for value in values if value is not None], dtype=np.float64)
    if not defined.size:
        return dict.fromkeys(names)
    figures = [defined.mean(), defined.min(), defined.max(), defined.std()]
    figures += list(np.percentile(defined, _PERCENTILES))
    return {name: float(figure) for name, figure in zip(names, figures, strict=True)}
