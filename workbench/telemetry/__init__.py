"""What a GPU takes while it works: memory, utilisation, power and energy, as its driver tells.

::

    with telemetry.watch() as readings:
        work()
    readings.energy_joules  # None where it was not measured, never 0 for that

It needs the package nvidia-ml-py and NVIDIA's driver; without either nothing is read, no
thread is started, and every figure is ``None``.
"""

from workbench.telemetry.nvml import Gpu, Sensor, cards, driver_version
from workbench.telemetry.readings import Reading, Readings
from workbench.telemetry.shares import Shares
from workbench.telemetry.watching import watch

__all__ = [
    "Gpu",
    "Reading",
    "Readings",
    "Sensor",
    "Shares",
    "cards",
    "driver_version",
    "watch",
]
