"""A record as tables, for a terminal and for the README: pure functions of its document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from workbench.bench.gpu.sections import SECTIONS
from workbench.bench.gpu.sizes import FORMATS

REHEARSED = "A rehearsal on a CPU: it shows that the code runs, and its figures mean nothing."
SYNTHETIC = (
    "Weights are random, in the exact shape of the 8B: speed and memory are real, quality is not."
)
_NONE = "–"  # there is no value


@dataclass(frozen=True, slots=True)
class Table:
    """Some rows under a title; the first column is text, the others are numbers."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def head(document: Mapping[str, Any]) -> list[str]:
    """What was measured, where, when, and by which commands: one line each."""
    facts = document["facts"]
    versions = [
        f"{title} {facts[name]}"
        for title, name in (
            ("driver", "driver"),
            ("CUDA", "cuda"),
            ("torch", "torch"),
            ("ExLlamaV2", "exllamav2"),
            ("flash-attn", "flash-attn"),
            ("transformers", "transformers"),
        )
        if facts.get(name)
    ]
    of = facts.get("gpu") or facts.get("processor") or "a CPU"
    limit = facts.get("power_limit_watt")
    power = f", {limit:,.0f} W" if limit else ""
    lines = [f"{of}{power}; {', '.join(versions)}; workbench {facts['workbench']}"]
    lines[0] += f" ({facts['commit']})" if facts.get("commit") else ""
    lines += [f"{call['date']}: {call['command']}" for call in document["calls"]]
    if document["rehearsal"]:
        return [REHEARSED, *lines]
    return [*lines, SYNTHETIC] if _any_synthetic(document) else lines


def tables(document: Mapping[str, Any]) -> list[Table]:
    """Every table that the record has values for, and one of what it lacks."""
    made = (_rates(document), _parity(document), _lacking(document))
    return [table for table in made if table.rows]


def values(document: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    """What a section gave; nothing if it did not run."""
    given: Mapping[str, Any] = document["sections"].get(section, {}).get("values", {})
    return given


def share(document: Mapping[str, Any], rate: Mapping[str, Any]) -> float | None:
    """How much of the card's bandwidth a batch-1 step uses for what it has to read."""
    most = values(document, "ceiling").get("bytes_per_second")
    if not most or not rate.get("step_seconds") or "bytes_read" not in rate:
        return None
    return float(rate["bytes_read"] / rate["step_seconds"] / most)


def number(value: Any, digits: int = 3) -> str:
    """For people: ``–`` where there is none, thousands with commas."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return _NONE
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.{digits}g}"


def percent(value: float | None) -> str:
    """A share."""
    return _NONE if value is None else f"{100 * value:.1f} %"


def _rates(document: Mapping[str, Any]) -> Table:
    batches = document["sizes"]["batches"]
    rows = []
    for form in FORMATS:
        given = values(document, f"speed-{form}")
        rates = [given.get(f"batch_{batch}", {}) for batch in batches]
        if any("tokens_per_second" in rate for rate in rates):
            name = given.get("model", {}).get("quantization", form)
            cells = [number(rate.get("tokens_per_second")) for rate in rates]
            of_ceiling = percent(share(document, rates[0]))
            rows.append((name, *cells, of_ceiling, number(given.get("load_seconds"))))
    heads = ("tokens/s at batch", *map(str, batches), "of the bandwidth at 1", "load, s")
    return Table("Tokens a second", heads, tuple(rows))


_PARITY: Mapping[str, str] = MappingProxyType(
    {
        "teacher_forced": "half precision, beside transformers'",
        "ours_beside_fp32": "half precision, beside transformers in fp32",
        "transformers_beside_fp32": "transformers' half precision, beside its fp32",
    }
)


def _parity(document: Mapping[str, Any]) -> Table:
    given = values(document, "parity")
    caches = {f"cache_{kind}": f"{kind} cache" for kind in document["sizes"]["caches"]}
    rows = tuple(
        (
            title,
            percent(one["equal_argmax"]),
            number(one["logit_difference_most"]),
            number(one["logit_difference_mean"]),
            number(one["kl_mean"]),
        )
        for name, title in ({**_PARITY, **caches}).items()
        if "equal_argmax" in (one := given.get(name, {}))
    )
    heads = ("the embedded model", "equal argmax", "most of a logit", "mean", "mean KL, nats")
    return Table("Beside transformers, teacher-forced", heads, rows)


def _lacking(document: Mapping[str, Any]) -> Table:
    return Table("Not in it", ("section", "why"), tuple(_missing(document)))


def _missing(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in SECTIONS:
        section = document["sections"].get(name)
        if section is None:
            yield name, "it was not asked for"
        elif section["status"] != "done":
            yield name, f"{section['status']}: {section['reason']}"
        else:
            yield from _failures(name, section["values"])


def _failures(name: str, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for label, value in given.items():
        if isinstance(value, Mapping) and "failed" in value:
            yield f"{name}, {label}", str(value["failed"])


def _any_synthetic(document: Mapping[str, Any]) -> bool:
    models: Sequence[Mapping[str, Any]] = [
        values(document, f"speed-{form}").get("model", {}) for form in FORMATS
    ]
    return any(model.get("synthetic") for model in models)
