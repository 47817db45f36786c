"""A record as lines and tables, for a terminal and for the README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.bench.gpu import rows
from workbench.bench.gpu.rows import Table, values
from workbench.bench.gpu.sections import SECTIONS
from workbench.bench.gpu.sizes import FORMATS

REHEARSED = "A rehearsal on a CPU: it shows that the code runs, and its figures mean nothing."
SYNTHETIC = (
    "Weights are random, in the exact shape of the 8B: speed and memory are real, quality is not."
)
_VERSIONS = (
    ("driver", "driver"),
    ("CUDA", "cuda"),
    ("torch", "torch"),
    ("ExLlamaV2", "exllamav2"),
    ("flash-attn", "flash-attn"),
    ("transformers", "transformers"),
    ("workbench", "workbench"),
    ("commit", "commit"),
)
_TABLES = (
    rows.rates,
    rows.bandwidth,
    rows.energy,
    rows.first_tokens,
    rows.memory,
    rows.ratios,
    rows.steps,
    rows.parity,
    rows.repeats,
)


def head(document: Mapping[str, Any]) -> list[str]:
    """What was measured, where, when, and by which commands: one line each."""
    facts = document["facts"]
    of = facts.get("gpu") or facts.get("processor") or "a CPU"
    limit = facts.get("power_limit_watt")
    power = f" of {limit:,.0f} W" if limit else ""
    versions = (f"{title} {facts[name]}" for title, name in _VERSIONS if facts.get(name))
    attention = values(document, "parity").get("attention", {}).get("name")
    also = f"; attention {attention}" if attention else ""
    lines = [
        f"{of}{power}; {', '.join(versions)}{also}",
        *(f"{call['date']}: {call['command']}" for call in document["calls"]),
    ]
    if tests := values(document, "tests"):
        counts = (f"{tests[name]} {name}" for name in ("passed", "failed", "skipped"))
        cut = "; stopped before its end" if tests["cut_off"] else ""
        lines.append(f"pytest -m gpu: {', '.join(counts)}{cut}")
    if document["rehearsal"]:
        return [REHEARSED, *lines]
    return [*lines, SYNTHETIC] if _any_synthetic(document) else lines


def tables(document: Mapping[str, Any]) -> list[Table]:
    """Every table that the record has values for, and one of what it lacks."""
    made = (*(make(document) for make in _TABLES), _lacking(document))
    return [table for table in made if table.rows]


def _lacking(document: Mapping[str, Any]) -> Table:
    return Table("Not in it", ("section", "why"), tuple(_missing(document)), words=True)


def _missing(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in SECTIONS:
        section = document["sections"].get(name)
        if section is None:
            yield name, "it was not asked for"
            continue
        if section["status"] != "done":
            yield name, f"{section['status']}: {section['reason']}"
        yield from _failures(name, section["values"])


def _failures(name: str, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for label, value in given.items():
        if isinstance(value, Mapping) and "failed" in value:
            yield f"{name}, {label}", str(value["failed"])
    for test, why in given.get("failures", {}).items():
        yield test, f"failed: {why}"
    for why, count in given.get("skips", {}).items():
        yield f"{name}, {count} of them", f"skipped: {why}"


def _any_synthetic(document: Mapping[str, Any]) -> bool:
    models = (values(document, f"speed-{form}").get("model", {}) for form in FORMATS)
    return any(model.get("synthetic") for model in models)
