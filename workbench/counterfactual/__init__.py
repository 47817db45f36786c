"""Recorded tokens under another temperature, nucleus, top-k or min-p, without running the model.

A request with ``alternatives=k`` keeps the k most likely candidates of every drawn token,
with their log-probabilities at temperature 1. The rest of the distribution is not known,
but bounded: ``weights`` says how tightly. A figure is given only where it is certain: a
nucleus whose size the bounds do not leave open, an entropy and a probability whose bounds
agree to a stated tolerance. Everything else is ``None``, and the coverage says how much.

The distribution is that of the law of ``workbench.sampling`` without a repetition penalty,
at the contexts that were really reached: another setting would soon have written another text.
"""

from workbench.counterfactual.figures import (
    TOLERANCE,
    Counterfactual,
    Quantity,
    TokenFigures,
    counterfactual,
)
from workbench.counterfactual.grid import MEAN_TOLERANCE, Mean, Outlook, grid
from workbench.counterfactual.recorded import MOST_IDS

__all__ = [
    "MEAN_TOLERANCE",
    "MOST_IDS",
    "TOLERANCE",
    "Counterfactual",
    "Mean",
    "Outlook",
    "Quantity",
    "TokenFigures",
    "counterfactual",
    "grid",
]
