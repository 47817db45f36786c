"""The verb that has answers rated, and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.dispatch import do
from workbench.cli.options import Context, Device, Json, RunId

verbs = typer.Typer(rich_markup_mode=None)


@verbs.command("judge")
def runs_judge(
    run: RunId,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL|URL", help="A model as of `eval`, or an OpenAI-compatible endpoint."
        ),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option(help="What the endpoint calls it; default: its only one.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="Of a model that runs here: exllama, or reference (transformers).")
    ] = "exllama",
    device: Device = None,
    context: Context = None,
    mode: Annotated[
        str | None, typer.Option(help="Of the judge: on, off (default) or off_prefilled.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of the judge; default: 0, of --unrated 0.7.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most new tokens of a judgment; default: 2048.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the draws, and of a sheet's order; default: 0.")
    ] = None,
    unrated: Annotated[
        bool, typer.Option("--unrated", help="Ask only about what has no rating yet.")
    ] = False,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Requests under way at once; default: all that fit.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="JUDGMENT", help="Finish a judgment that was stopped.")
    ] = None,
    replay: Annotated[
        str | None,
        typer.Option(metavar="JUDGMENT", help="Read the ratings of a stored one; asks no model."),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write the answers, arms unnamed, for people to rate: .csv.")
    ] = None,
    ratings: Annotated[Path | None, typer.Option(help="Read such a sheet, filled in.")] = None,
    rater: Annotated[str, typer.Option(help="Who filled it in.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it takes.")] = False,
    as_json: Json = False,
) -> None:
    """Have a run's answers rated from 1 to 10 (MT-Bench); without options: show the ratings."""
    do(
        "judge.judge_run",
        run=run,
        judge=judge,
        place={"engine": engine, "model": judge_model, "device": device, "context": context},
        how={"mode": mode, "temperature": temperature, "max_tokens": max_tokens, "seed": seed},
        unrated=unrated,
        concurrency=concurrency,
        resumed=resume,
        replayed=replay,
        sheet=sheet,
        ratings=ratings,
        rater=rater,
        dry_run=dry_run,
        as_json=as_json,
    )
