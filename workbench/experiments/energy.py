"""What a run takes of the GPU: in all, and each generation's share of the energy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from workbench import telemetry
from workbench.experiments.stored import StoredGenerations
from workbench.records import EngineSpec, Generation

TELEMETRY = "telemetry"  # in a run's environment, see ``Readings.facts``
ENERGY = "gpu_energy"  # joules, among a generation's figures


class Meter:
    """Reads the GPU while stages run, where there is one that can be read.

    A generation's share of the energy is that of ``telemetry.Shares``: at every moment the
    power is divided equally among the requests under way. What the card draws while it
    waits counts, what it draws while a model loads does not.

    Args:
        before: The environment of the run's earlier parts.
    """

    def __init__(self, before: Mapping[str, Any]) -> None:
        self._taken: Mapping[str, Any] = before.get(TELEMETRY) or {}
        self._shares: telemetry.Shares | None = None

    @contextmanager
    def stage(self, spec: EngineSpec) -> Iterator[None]:
        """A stage from begin to end.

        Args:
            spec: Of the open engine; only one that computes on a GPU here is watched.
        """
        device = spec.device or ""
        if not device.startswith("cuda"):
            self._shares = None
            yield
            return
        with telemetry.watch(device) as readings:
            self._shares = telemetry.Shares(readings.sample)
            try:
                yield
            finally:
                readings.sample()
                self._taken = _joined(self._taken, readings.facts())

    def enter(self, index: int) -> None:
        """A generation begins."""
        if self._shares is not None:
            self._shares.enter(index)

    def leave(self, index: int) -> None:
        """It ends; called from any thread."""
        if self._shares is not None:
            self._shares.leave(index)

    def share(self, index: int) -> dict[str, float]:
        """Its joules, among its figures; nothing where they were not measured."""
        joules = None if self._shares is None else self._shares.take(index)
        return {} if joules is None else {ENERGY: joules}

    def facts(self) -> dict[str, Any]:
        """For the run's environment; nothing where nothing was measured."""
        measured = any(
            value is not None for name, value in self._taken.items() if name != "seconds"
        )
        return {TELEMETRY: dict(self._taken)} if measured else {}


def energies(generations: Mapping[int, Generation]) -> dict[int, float]:
    """Joules of each generation that the store has them of."""
    if not isinstance(generations, StoredGenerations):
        return {}
    told = ((row.index, row.metrics.get(ENERGY)) for row in generations.rows())
    return {index: joules for index, joules in told if joules is not None}


def energy_per_token(figures: Iterable[tuple[float | None, float | None]]) -> float | None:
    """Joules a token, over the generations that have both; ``None``: there are none.

    Args:
        figures: Of each generation, its joules and its output tokens.
    """
    known = [(joules, tokens) for joules, tokens in figures if joules is not None and tokens]
    tokens = sum(count for _, count in known)
    return sum(joules for joules, _ in known) / tokens if tokens else None


def in_words(environment: Mapping[str, Any]) -> str | None:
    """What a run took of the GPU, in a line; ``None``: it was not measured."""
    taken = environment.get(TELEMETRY) or {}
    units = (
        ("energy_joules", "{:,.0f} J"),
        ("mean_watts", "{:,.0f} W on average"),
        ("peak_watts", "{:,.0f} W at most"),
        ("peak_memory_bytes", "{:,.1f} GiB of memory at most"),
        ("mean_utilisation", "busy {:.0f} % of the time"),
    )
    scale = {"peak_memory_bytes": 2**-30, "mean_utilisation": 100.0}
    said = [
        form.format(taken[name] * scale.get(name, 1.0))
        for name, form in units
        if taken.get(name) is not None
    ]
    if taken.get("source") == "integrated power" and said:
        said[0] += " (power integrated)"
    return ", ".join(said) or None


def _joined(first: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    """The readings of two stretches of time as those of one; what one lacks, the whole lacks."""
    if not first:
        return dict(then)
    spans = [one.get("seconds") or 0.0 for one in (first, then)]

    def both(name: str) -> tuple[Any, Any] | None:
        pair = first.get(name), then.get(name)
        return None if None in pair else pair

    energy, busy = both("energy_joules"), both("mean_utilisation")
    joules = None if energy is None else sum(energy)
    seconds = sum(spans)
    return {
        "seconds": seconds,
        "energy_joules": joules,
        "source": first.get("source") if first.get("source") == then.get("source") else "both",
        "mean_watts": joules / seconds if joules is not None and seconds else None,
        "peak_watts": _most(first.get("peak_watts"), then.get("peak_watts")),
        "peak_memory_bytes": _most(first.get("peak_memory_bytes"), then.get("peak_memory_bytes")),
        "mean_utilisation": None
        if busy is None or not seconds
        else (busy[0] * spans[0] + busy[1] * spans[1]) / seconds,
    }


def _most(one: float | None, other: float | None) -> float | None:
    known = [value for value in (one, other) if value is not None]
    return max(known, default=None)
