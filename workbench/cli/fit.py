"""``workbench models fit``: what a model takes on a GPU, and which GPUs take it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from workbench.cli.output import console, print_json, table
from workbench.doctor import gpus
from workbench.models.fitting import FORMATS, GPUS, Subject, memory_of, subject, use_of
from workbench.models.memory import CONTEXT, Use

_GIB = 2**30


def fit(
    *,
    model: str,
    quantization: str | None,
    gpu_memory: str | None,
    context: int | None,
    cache: str,
    batch: int,
    as_json: bool,
) -> None:
    """Print the memory plan, whether it fits, and what other GPUs would take."""
    of = subject(model, quantization)
    use = use_of(of, context, cache, batch)
    asked = _asked(gpu_memory)
    alike = [of] if quantization else [of, *(of.as_if(form) for form in _others(of))]
    cards = {**asked, **{name: mib * 2**20 for name, mib in GPUS.items()}}
    if as_json:
        print_json(_document(of, use, asked, alike, cards))
        return
    out = console()
    _print_plan(out, of, use)
    for name, memory in asked.items():
        out.print(_verdict(of, use, name, memory))
    _print_cards(out, use, alike, cards)


def _asked(gpu_memory: str | None) -> dict[str, int]:
    """The memory that was named, else that of this machine's GPUs."""
    if gpu_memory is not None:
        return {f"a GPU of {gpu_memory}": memory_of(gpu_memory)}
    return {f"this machine's {gpu.name}": gpu.total for gpu in gpus()}


def _others(of: Subject) -> Iterator[str]:
    return (form for form in FORMATS if form != of.quantization)


def _print_plan(out: Console, of: Subject, use: Use) -> None:
    needed = of.plan(use)
    out.print(
        f"{of.name}, {of.quantization}: {_requests(use.batch)} of {use.context:,} tokens, "
        f"{use.cache} cache"
    )
    unit, size = ("MiB", 2**20) if needed.total < _GIB else ("GiB", _GIB)
    parts = needed.parts() | {"CUDA context, about": CONTEXT, "in all": needed.total + CONTEXT}
    rows = [(name, f"{count / size:.2f}") for name, count in parts.items() if count]
    out.print(table(("part", unit), rows))
    out.print(f"Besides, {needed.host / size:.2f} {unit} of the host's memory.")


def _verdict(of: Subject, use: Use, name: str, memory: int) -> str:
    needed = of.plan(use).total + CONTEXT
    longest = of.largest(use, memory)
    if longest is None:
        return f"It does not fit {name}: {_gib(of.weights)} GiB are its weights alone."
    most = f"the longest context that fits is {longest:,} tokens"
    if needed <= memory:
        return f"It fits {name} with {_gib(memory - needed)} GiB to spare; {most}."
    return f"It does not fit {name}: {_gib(needed - memory)} GiB are missing; {most}."


def _print_cards(out: Console, use: Use, alike: Sequence[Subject], cards: dict[str, int]) -> None:
    out.print(
        f"\nLongest context, in tokens, with {_requests(use.batch)} at once and a {use.cache} "
        "cache, by GPU and weights:"
    )
    rows = [
        (name, _gib(memory), *(_tokens(one.largest(use, memory)) for one in alike))
        for name, memory in cards.items()
    ]
    out.print(table(("GPU", "GiB", *(one.quantization for one in alike)), rows))
    out.print("By the sizes that ExLlamaV2's source gives; -: the weights alone are too large.")


def _document(
    of: Subject,
    use: Use,
    asked: dict[str, int],
    alike: Sequence[Subject],
    cards: dict[str, int],
) -> dict[str, Any]:
    needed = of.plan(use)
    return {
        "model": of.name,
        "quantization": of.quantization,
        "use": asdict(use),
        "bytes": needed.parts() | {"cuda_context": CONTEXT, "total": needed.total + CONTEXT},
        "host_bytes": needed.host,
        "fits": {name: of.fits(use, memory) for name, memory in asked.items()},
        "longest_context": {
            name: {one.quantization: one.largest(use, memory) for one in alike}
            for name, memory in cards.items()
        },
    }


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count:,} requests"


def _tokens(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _gib(size: int) -> str:
    return f"{size / _GIB:.2f}"
