"""Readings of a GPU while something runs, summed up as they come."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, TypeVar

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the driver says at one moment; ``None``: it does not tell."""

    t: float  # seconds, ``time.perf_counter()``
    energy: float | None = None  # joules since the driver was loaded: its own counter
    power: float | None = None  # watts; newer cards tell the mean of the last second
    memory: int | None = None  # bytes in use on the card, by every process
    utilisation: float | None = None  # share of the last moments in which a kernel ran, 0 to 1


class Readings:
    """What was read between the first and the last moment.

    Every figure is ``None`` until, and unless, it was measured. They may be asked for
    while readings still come, from any thread.

    Energy is the difference of the driver's counter, which cards since Volta have and
    renew some ten times a second; where there is none, it is the power integrated over
    the time between readings (trapezoids).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: Reading | None = None
        self._last: Reading | None = None
        self._counter: float | None = None  # as last told
        self._integral: float | None = 0.0  # joules; None: a reading lacked its power
        self._peak_power: float | None = None
        self._peak_memory: int | None = None
        self._busy = 0.0  # utilisation times seconds
        self._watched = 0.0  # seconds of which the utilisation is known

    def add(self, reading: Reading) -> None:
        """Take note of a reading, later than those before it."""
        with self._lock:
            if self._last is None:
                self._first = reading
                self._integral = None if reading.power is None else 0.0
            else:
                self._advance(self._last, reading)
            self._last = reading
            self._counter = self._counter if reading.energy is None else reading.energy
            self._peak_power = _larger(self._peak_power, reading.power)
            self._peak_memory = _larger(self._peak_memory, reading.memory)

    def _advance(self, before: Reading, now: Reading) -> None:
        passed = now.t - before.t
        if before.power is None or now.power is None:
            self._integral = None
        elif self._integral is not None:
            self._integral += passed * (before.power + now.power) / 2
        if now.utilisation is not None:
            self._busy += passed * now.utilisation
            self._watched += passed

    @property
    def seconds(self) -> float | None:
        """From the first reading to the last; ``None``: there are not two."""
        if self._first is None or self._last is None or self._last is self._first:
            return None
        return self._last.t - self._first.t

    @property
    def source(self) -> str | None:
        """Where the energy is from: ``counter``, ``integrated power``; ``None``: not known."""
        if self.seconds is None:
            return None
        if self._counted() is not None:
            return "counter"
        return None if self._integral is None else "integrated power"

    @property
    def energy_joules(self) -> float | None:
        with self._lock:
            if self.seconds is None:
                return None
            counted = self._counted()
            return self._integral if counted is None else counted

    @property
    def mean_watts(self) -> float | None:
        """Energy over time."""
        energy, seconds = self.energy_joules, self.seconds
        return energy / seconds if energy is not None and seconds else None

    @property
    def peak_watts(self) -> float | None:
        """The largest reading."""
        return self._peak_power

    @property
    def peak_memory_bytes(self) -> int | None:
        """The largest reading; what other processes hold on the card counts too."""
        return self._peak_memory

    @property
    def mean_utilisation(self) -> float | None:
        """Share of the time in which a kernel ran, 0 to 1; not how much of the card it used."""
        return self._busy / self._watched if self._watched else None

    def energy_per_token(self, tokens: int) -> float | None:
        """Joules a token, the prompts' reading included.

        Args:
            tokens: That were generated meanwhile.
        """
        energy = self.energy_joules
        return energy / tokens if energy is not None and tokens > 0 else None

    def facts(self) -> dict[str, Any]:
        """All figures, JSON-able."""
        return {
            "seconds": self.seconds,
            "energy_joules": self.energy_joules,
            "source": self.source,
            "mean_watts": self.mean_watts,
            "peak_watts": self.peak_watts,
            "peak_memory_bytes": self.peak_memory_bytes,
            "mean_utilisation": self.mean_utilisation,
        }

    def _counted(self) -> float | None:
        first, counter = self._first, self._counter
        if first is None or first.energy is None or counter is None:
            return None
        return counter - first.energy


def _larger(most: _Number | None, value: _Number | None) -> _Number | None:
    if most is None or value is None:
        return value if most is None else most
    return max(most, value)
