"""The machine that the figures are of."""

from __future__ import annotations

import os
from typing import Any

import torch

from workbench.experiments import environment


def machine() -> dict[str, Any]:
    """Versions, processor, cores this process may use, torch's own threads, and how busy it is.

    ``load`` is the system's one-minute average: above the number of cores, others want
    them too, and ratios of unlike work suffer.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return environment.facts() | {
        "cores": cores,
        "torch_threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }
