"""``workbench models convert``: its options; joined to the verbs on models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.dispatch import do
from workbench.cli.options import Json

verbs = typer.Typer(rich_markup_mode=None)


@verbs.command("convert")
def models_convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help="An unquantised model.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="A new folder.")],
    bits: Annotated[float, typer.Option("--bpw", help="Bits a weight: 2 to 8.")],
    head_bits: Annotated[int, typer.Option(help="Bits a weight of the head.")] = 6,
    work: Annotated[
        Path | None, typer.Option(help="For the work in progress; default: beside DST.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; default: the GPU, if any.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Texts to calibrate on: Parquet, a row each.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Quantise a model to EXL2 by ExLlamaV2's converter; stopped, the same command goes on."""
    do(
        "convert.convert",
        source=source,
        target=target,
        bits=bits,
        head_bits=head_bits,
        work=work,
        device=device,
        calibration=calibration,
        as_json=as_json,
    )
