"""``workbench models``: what can be loaded, and what is in a folder."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from workbench.cli.output import console, print_json, table
from workbench.models.catalogue import CATALOGUE, local_models, locate
from workbench.models.folder import ModelInfo, inspect

_UNITS = (("GiB", 2**30), ("MiB", 2**20))


def list_models(*, as_json: bool) -> None:
    """The catalogue and the user's own models, with where each lies here."""
    here = local_models()
    names = list(dict.fromkeys([*CATALOGUE, *here]))
    if as_json:
        print_json({"models": [_entry(name, here) for name in names]})
        return
    rows = [_entry(name, here) for name in names]
    console().print(
        table(
            ("id", "what it is", "on this machine"),
            ((row["id"], row["summary"], row["folder"] or "no") for row in rows),
        )
    )


def model_info(*, model: str, as_json: bool) -> None:
    """What a folder holds; what ExLlamaV2 would refuse is among the warnings."""
    show_info(inspect(locate(model)), as_json=as_json)


def show_info(info: ModelInfo, *, as_json: bool) -> None:
    """What a folder holds, as a table or as one document."""
    if as_json:
        print_json(_plain(info))
        return
    out = console()
    out.print(table(("", str(info.folder)), _facts(info)))
    for warning in info.warnings:
        out.print(table(("warning",), [(warning,)]))


def _entry(name: str, here: dict[str, Any]) -> dict[str, Any]:
    known = CATALOGUE.get(name)
    return {
        "id": name,
        "summary": known.summary if known else None,
        "licence": known.licence if known else None,
        "context": known.context if known else None,
        "repository": known.repository if known else None,
        "folder": str(here[name]) if name in here else None,
    }


def _plain(info: ModelInfo) -> dict[str, Any]:
    return asdict(info) | {"folder": str(info.folder)}


def _facts(info: ModelInfo) -> list[tuple[str, object]]:
    return [
        ("architecture", info.architecture),
        ("parameters", f"{info.parameters:,}"),
        ("weights", f"{info.quantization}, {_size(info.bytes)}"),
        ("bits a weight", f"{info.layer_bits:.2f} in the layers, {info.head_bits:.2f} in the head"),
        ("layers", info.layers),
        ("width", f"{info.hidden}, feed-forward {info.intermediate}"),
        ("heads", f"{info.heads}, {info.kv_heads} of keys and values, {info.head_dim} wide"),
        ("vocabulary", f"{info.vocabulary:,}"),
        ("context", f"{info.context:,} tokens"),
        ("rope", f"base {info.rope.theta:g}, scaling {info.rope.kind or 'none'}"),
        ("stop ids", ", ".join(map(str, info.eos_ids))),
        ("chat template", info.template_sha256 or "none: the Llama 3 format is used"),
        ("synthetic", "yes" if info.synthetic else "no"),
    ]


def _size(count: int) -> str:
    unit, divisor = next((unit for unit in _UNITS if count >= unit[1]), ("bytes", 1))
    return f"{count / divisor:.1f} {unit}"
