"""The verbs that measure, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.dispatch import do
from workbench.cli.groups import by_default
from workbench.cli.options import Json, Model

verbs = typer.Typer(
    cls=by_default("run"),
    rich_markup_mode=None,
    help="Ratios measured side by side (`run` can be left out), or all of a GPU.",
)


@verbs.command("run")
def bench_run(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Some of them; default: all.")
    ] = None,
    model: Model = "demo",
    device: Annotated[str | None, typer.Option(help="cpu or cuda:0; default: a GPU.")] = None,
    quick: Annotated[bool, typer.Option(help="Fewer and shorter rounds.")] = False,
    as_json: Json = False,
) -> None:
    """Ratios measured side by side, with their goals."""
    do("bench.bench", names=names or [], model=model, device=device, quick=quick, as_json=as_json)


@verbs.command("gpu")
def bench_gpu(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECORD", help="Written, or gone on with if it is there; default: a new one."
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Measure nothing; print RECORD, or the project's own.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="SECTION", help="These sections, done or not.")
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="SECTION", help="Not these; commas or repeated.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="For the whole call.")] = 15.0,
    models: Annotated[
        Path | None,
        typer.Option(help="Where the 8Bs with random weights are written to and kept."),
    ] = None,
    rehearse: Annotated[
        bool,
        typer.Option("--rehearse", help="On the CPU, small models: the code, not figures."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check and measure one CUDA GPU in one call, into one JSON record."""
    do(
        "gpu.gpu",
        file=file,
        show=show,
        only=only or [],
        skip=skip or [],
        minutes=minutes,
        models=models,
        rehearse=rehearse,
        as_json=as_json,
    )
