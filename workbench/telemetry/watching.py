"""Watch a GPU while something runs: a thread that reads it ten times a second."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from workbench.telemetry.nvml import Sensor, sensor
from workbench.telemetry.readings import Readings

_INTERVAL = 0.1  # seconds; a driver renews its figures no faster


@contextmanager
def watch(device: str | None = None, *, interval: float = _INTERVAL) -> Iterator[Watched]:
    """Read the GPU from here to the end of the ``with`` block.

    Args:
        device: Of torch: ``cuda``, ``cuda:0``, ``cpu``; ``None``: torch's current GPU, if
            this process uses one.
        interval: Seconds between two readings.

    Yields:
        What is read; it stays when the block has ended. Where nothing can be read it is
        empty, and no thread is started.
    """
    with sensor(device) as found:
        readings = Watched(found)
        if found is None:
            yield readings
            return
        end = threading.Event()
        thread = threading.Thread(
            target=_follow, args=(readings, end, interval), name="workbench-gpu", daemon=True
        )
        readings.sample()
        thread.start()
        try:
            yield readings
        finally:
            end.set()
            thread.join()
            readings.sample()
            readings.detach()


class Watched(Readings):
    """Readings that can be brought up to date at once."""

    def __init__(self, sensor: Sensor | None) -> None:
        super().__init__()
        self._sensor = sensor
        self._turn = threading.Lock()

    def sample(self) -> float | None:
        """Read now, if there is something to read; the joules since the beginning."""
        with self._turn:  # so that readings are added in the order of their times
            if self._sensor is not None:
                self.add(self._sensor.read())
        return self.energy_joules

    def detach(self) -> None:
        """Read nothing more."""
        with self._turn:
            self._sensor = None


def _follow(readings: Watched, end: threading.Event, interval: float) -> None:
    while not end.wait(interval):
        readings.sample()
