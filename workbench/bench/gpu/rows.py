"""Each table of a record: pure functions of its document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from workbench.bench.gpu.sizes import FORMATS

_NONE = "–"  # there is no value
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Table:
    """Some rows under a title; the first column is text, the others are numbers."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: bool = False  # all columns are text


def values(document: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    """What a section gave; nothing if it did not run."""
    given: Mapping[str, Any] = document["sections"].get(section, {}).get("values", {})
    return given


def share(document: Mapping[str, Any], rate: Mapping[str, Any]) -> float | None:
    """How much of the card's bandwidth a step of one request uses for what it has to read."""
    most = values(document, "ceiling").get("bytes_per_second")
    if not most or not rate.get("step_seconds") or "bytes_read" not in rate:
        return None
    return float(rate["bytes_read"] / rate["step_seconds"] / most)


def rates(document: Mapping[str, Any]) -> Table:
    """Tokens a second of every format at every batch size."""
    batches = document["sizes"]["batches"]
    rows = []
    for form in FORMATS:
        given = values(document, f"speed-{form}")
        found = [given.get(f"batch_{batch}", {}) for batch in batches]
        if any("tokens_per_second" in rate for rate in found):
            cells = [_number(rate.get("tokens_per_second")) for rate in found]
            last = (_percent(share(document, found[0])), _number(given.get("load_seconds")))
            rows.append((_name(document, form), *cells, *last))
    heads = ("tokens/s at batch", *map(str, batches), "of the bandwidth at 1", "load, s")
    return Table("Tokens a second", heads, tuple(rows))


def energy(document: Mapping[str, Any]) -> Table:
    """Joules a token of the whole card."""
    batches = document["sizes"]["batches"]
    rows = []
    for form in FORMATS:
        given = values(document, f"speed-{form}")
        found = [given.get(f"batch_{batch}", {}).get("joules_per_token") for batch in batches]
        if any(one is not None for one in found):
            rows.append((_name(document, form), *map(_number, found)))
    return Table("Energy, J a token", ("at batch", *map(str, batches)), tuple(rows))


def bandwidth(document: Mapping[str, Any]) -> Table:
    """What the share is of."""
    given = values(document, "ceiling")
    names = (("copy_bytes_per_second", "a copy"), ("read_bytes_per_second", "a sum"))
    rows = [(what, _number(given[name] / 1e9, 4)) for name, what in names if name in given]
    return Table("Memory bandwidth", ("reached by", "GB/s"), tuple(rows))


def first_tokens(document: Mapping[str, Any]) -> Table:
    """Seconds to the first token."""
    given = values(document, "prompts")
    rows = [
        (
            f"{tokens:,}",
            _number(one["first_token_seconds"]),
            _number(one["prompt_tokens_per_second"]),
            _gib(one["peak_bytes_beside_the_load"]),
        )
        for tokens in document["sizes"]["prompts"]
        if "first_token_seconds" in (one := given.get(f"prompt_{tokens}", {}))
    ]
    heads = ("prompt, tokens", "first token, s", "tokens/s read", "memory it takes, GiB")
    return Table("Time to the first token", heads, tuple(rows))


def memory(document: Mapping[str, Any]) -> Table:
    """The memory plan beside what was measured."""
    given = values(document, "memory")
    rows = [
        (
            f"{kind} cache",
            _gib(one["predicted_loaded_bytes"]),
            _gib(one["loaded_bytes"]),
            _percent(one["loaded_error"], signed=True),
            _gib(one["predicted_peak_bytes"]),
            _gib(one["peak_bytes"]),
            _percent(one["peak_error"], signed=True),
        )
        for kind in document["sizes"]["caches"]
        if "predicted_peak_bytes" in (one := given.get(f"cache_{kind}", {}))
    ]
    heads = ("GiB", "load, planned", "measured", "error", "peak, planned", "measured", "error")
    title = f"Memory of one request of {document['sizes']['context']:,} tokens"
    return Table(title, heads, tuple(rows))


def ratios(document: Mapping[str, Any]) -> Table:
    """Every ratio that was measured side by side."""
    names = ("bare", "transformers", "sampler", "recording", "speculation")
    rows = [
        (
            one["what"] + _accepted(one),
            _number(one["ratio"]),
            f"{_number(one['low'])} to {_number(one['high'])}",
            f"{one['goal']['bound']} {one['goal']['value']:g}" if one["goal"] else _NONE,
            {None: _NONE, True: "met", False: "missed"}[one["met"]],
        )
        for name in names
        for one in values(document, name).values()
        if isinstance(one, Mapping) and "ratio" in one
    ]
    heads = ("side by side, in turns", "ratio", "range", "goal", "")
    return Table("Ratios", heads, tuple(rows))


def steps(document: Mapping[str, Any]) -> Table:
    """Where a decode step's time goes."""
    columns = {
        f"{_name(document, form)}, {batch} at once": {"host": given[f"host_{batch}"], "device": on}
        for form in FORMATS
        for batch in (1, document["sizes"]["several"])
        if f"host_{batch}" in (given := values(document, f"profile-{form}"))
        for on in [given.get(f"device_{batch}", {})]
    }
    kinds = dict.fromkeys(k for one in columns.values() for k in one["device"].get("kinds", {}))
    rows = [
        *(_line(title, columns, "host", name) for name, title in _HOST.items()),
        *(_line(title, columns, "device", name) for name, title in _DEVICE.items()),
        *(_kind_line(kind, columns) for kind in kinds),
    ]
    return Table("A decode step, ms", ("", *columns), tuple(rows) if columns else ())


_HOST: Mapping[str, str] = MappingProxyType(
    {
        "step_ms": "the step",
        "forward_ms": "host: ExLlamaV2's forward pass, its launches",
        "waiting_ms": "host: waiting for the device",
        "sampling_ms": "host: sampling",
        "generator_ms": "host: ExLlamaV2's generator",
        "workbench_ms": "host: the workbench",
    }
)
_DEVICE: Mapping[str, str] = MappingProxyType(
    {"busy_ms": "device: busy", "idle_ms": "device: waiting for the host", "works": "kernels"}
)


def _line(
    title: str, columns: Mapping[str, Mapping[str, Any]], side: str, name: str
) -> tuple[str, ...]:
    return (title, *(_number(one[side].get(name)) for one in columns.values()))


def _kind_line(kind: str, columns: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    cells = (_number(one["device"].get("kinds", {}).get(kind)) for one in columns.values())
    return (f"device: {kind}", *cells)


_PARITY: Mapping[str, str] = MappingProxyType(
    {
        "teacher_forced": "half precision, beside transformers'",
        "ours_beside_fp32": "half precision, beside transformers in fp32",
        "transformers_beside_fp32": "transformers' half precision, beside its fp32",
    }
)


def parity(document: Mapping[str, Any]) -> Table:
    """How far logits lie from those of transformers."""
    exl2 = values(document, "demo-exl2")
    given = {**values(document, "parity"), "exl2": exl2.get("teacher_forced", {})}
    caches = {f"cache_{kind}": f"{kind} cache" for kind in document["sizes"]["caches"]}
    caches["exl2"] = f"{exl2.get('quantization', 'EXL2')} weights"
    rows = tuple(
        (
            title,
            _percent(one["equal_argmax"]),
            _number(one["logit_difference_most"]),
            _number(one["logit_difference_mean"]),
            _number(one["kl_mean"]),
        )
        for name, title in {**_PARITY, **caches}.items()
        if "equal_argmax" in (one := given.get(name, {}))
    )
    heads = ("the embedded model", "equal argmax", "most of a logit", "mean", "mean KL, nats")
    return Table("Beside transformers, teacher-forced", heads, rows)


def repeats(document: Mapping[str, Any]) -> Table:
    """Whether the same greedy request gave the same ids, parity's greedy answers first."""
    rows = [*_parity_greedy(document), *_repeated(document)]
    heads = ("greedy answers", "compared", "equal", "first divergent token")
    return Table("The same ids", heads, tuple(rows))


def _parity_greedy(document: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for section, beside in (("parity", "beside transformers"), ("demo-exl2", "as EXL2, by fp16")):
        if one := values(document, section).get("greedy"):
            yield _apart(f"embedded model, {beside}", one)


def _repeated(document: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for model, found in values(document, "repeats").items():
        of = "embedded model" if model == "demo" else _name(document, model)
        for name, one in found.items():
            if isinstance(one, Mapping):
                yield _apart(f"{of}, {name.replace('_', ' ')}", one)


def _apart(title: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    place = one["first_divergent"]
    return (
        title,
        str(one["answers"]),
        _percent(one["equal"]),
        _NONE if place is None else str(place),
    )


def _accepted(one: Mapping[str, Any]) -> str:
    """Of speculation: the share of its proposals that held."""
    if one.get("draft_acceptance") is None:
        return ""
    return f"; {_percent(one['draft_acceptance'])} of its tokens accepted"


def _name(document: Mapping[str, Any], form: str) -> str:
    """The weight format as the model has it; the rehearsal's model is one for all formats."""
    found = str(values(document, f"speed-{form}").get("model", {}).get("quantization", form))
    return found if found.startswith(form[:4]) else f"{form} by {found}"


def _gib(value: float | None) -> str:
    return _NONE if value is None else f"{value / _GIB:.2f}"


def _percent(value: float | None, *, signed: bool = False) -> str:
    return _NONE if value is None else f"{100 * value:{'+' if signed else ''}.1f} %"


def _number(value: Any, digits: int = 3) -> str:
    """For people: ``–`` where there is none, thousands with commas."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return _NONE
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.{digits}g}"
