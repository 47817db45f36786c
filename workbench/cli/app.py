"""The verbs and their options. A verb's own module is loaded when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from workbench import __version__
from workbench.cli import asking, benching, converting, guard, rating
from workbench.cli.dispatch import do as _do
from workbench.cli.groups import by_default
from workbench.cli.options import Json, Limit, RunId

# What typer raises for a wrong option. Which package it comes from differs by typer's version.
_WRONG_USE: type[Exception] = typer.BadParameter.__bases__[0]


app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Compare reasoning on and off, token by token; store every run; report it.",
)
reports = typer.Typer(
    cls=by_default("run", alone=False),
    rich_markup_mode=None,
    help="Run a report, or verify one.",
)
runs = typer.Typer(rich_markup_mode=None, help="The stored runs, newest first.")
models = typer.Typer(rich_markup_mode=None, help="The models that can be loaded.")
about = typer.Typer(rich_markup_mode=None)  # verbs about this machine, without a name of their own
app.add_typer(asking.verbs)
app.add_typer(reports, name="report")
app.add_typer(runs, name="runs")
runs.add_typer(rating.verbs)
app.add_typer(models, name="models")
models.add_typer(converting.verbs)
app.add_typer(about)
app.add_typer(benching.verbs, name="bench")


def main() -> None:
    """The ``workbench`` command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # an ASCII terminal is no reason to fail
    code = run(sys.argv[1:])
    if code == guard.STOPPED:
        import_module("logging").disable()  # what an interrupt tears down has nothing more to say
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command line; the exit code."""
    command = typer.main.get_command(app)
    try:
        code = command.main(list(arguments), prog_name="workbench", standalone_mode=False)
    except _WRONG_USE as error:
        guard.complain(_sentence(error))
        return guard.MENDABLE
    return code if isinstance(code, int) else 0


def _sentence(error: Exception) -> str:
    said = str(error.format_message()) if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "workbench"
    return f"{said.rstrip('.')}. `{path} --help` lists what there is."


@app.callback(invoke_without_command=True)
def _workbench(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"workbench {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@reports.command("run")
def report_run(
    name: Annotated[str, typer.Argument(help="compare, sweep, latency, or your own .ipynb.")],
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="KEY=VALUE", help="Repeat it for several."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to.")] = None,
    as_json: Json = False,
) -> None:
    """Run a report (`run` can be left out): a notebook, one HTML page, a table."""
    _do("report.report", name=name, parameters=parameters or [], out=out, as_json=as_json)


@reports.command("verify")
def report_verify(
    report: Annotated[
        str, typer.Argument(metavar="REPORT", help="A report's .ipynb or .html, or a run's id.")
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask only so many generations again.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Where the report's model lies here, if elsewhere.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda:0; default: as then.")] = None,
    as_json: Json = False,
) -> None:
    """Run a report's plan again: how far it comes out the same (1: some ids do not)."""
    _do("verify.verify", report=report, limit=limit, model=model, device=device, as_json=as_json)


@runs.callback(invoke_without_command=True)
def _runs(context: typer.Context, limit: Limit = 20, as_json: Json = False) -> None:
    if context.invoked_subcommand is None:
        _do("runs.list_runs", limit=limit, as_json=as_json)


@runs.command("list")
def runs_list(limit: Limit = 20, as_json: Json = False) -> None:
    """The latest runs."""
    _do("runs.list_runs", limit=limit, as_json=as_json)


@runs.command("show")
def runs_show(
    run: RunId,
    wrong: Annotated[bool, typer.Option(help="Only what was graded wrong.")] = False,
    text: Annotated[
        bool | None, typer.Option(help="The texts too; default: of up to 12 generations.")
    ] = None,
    as_json: Json = False,
) -> None:
    """One run: its answers and their metrics."""
    _do("runs.show_run", run=run, wrong=wrong, text=text, as_json=as_json)


@runs.command("regrade")
def runs_regrade(run: RunId, as_json: Json = False) -> None:
    """Grade a run's answers again, as graders are today: what that changes. Asks no model."""
    _do("regrade.regrade_run", run=run, as_json=as_json)


@runs.command("compare")
def runs_compare(
    chosen: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Ids of runs, or reports' files.")
    ],
    out: Annotated[Path | None, typer.Option(help="File for the figure, .html.")] = None,
    as_json: Json = False,
) -> None:
    """Several runs side by side, and their differences on the problems they share."""
    _do("together.compare_runs", chosen=chosen, out=out, as_json=as_json)


@runs.command("export")
def runs_export(
    run: RunId,
    form: Annotated[
        str, typer.Option("--format", help="jsonl (every event), parquet, inspect or lm-eval.")
    ] = "jsonl",
    out: Annotated[
        Path | None,
        typer.Option(help="File; folder of inspect and lm-eval. Default of jsonl: stdout."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="What inspect and lm-eval call it; default: the benchmark.")
    ] = None,
) -> None:
    """A run as files that other programs read; private problems without their text."""
    _do("runs.export_run", run=run, form=form, task=task, out=out)


@models.callback(invoke_without_command=True)
def _models(context: typer.Context, as_json: Json = False) -> None:
    if context.invoked_subcommand is None:
        _do("models.list_models", as_json=as_json)


@models.command("list")
def models_list(as_json: Json = False) -> None:
    """The models that have a name, and where they are on this machine."""
    _do("models.list_models", as_json=as_json)


@models.command("info")
def models_info(
    model: Annotated[str, typer.Argument(help="A name of the list, or a model folder.")] = "demo",
    as_json: Json = False,
) -> None:
    """What is in a model folder, and whether it can be loaded."""
    _do("models.model_info", model=model, as_json=as_json)


@models.command("get")
def models_get(
    model: Annotated[
        str, typer.Argument(help="A name of the list, or ORGANISATION/NAME on the hub.")
    ] = "nemotron-nano-8b",
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit; default: the main branch.")
    ] = None,
    bits: Annotated[
        float | None, typer.Option("--bpw", help="EXL2 of so many bits, where there is a branch.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Download a model from the Hugging Face hub; cut short, it goes on when run again."""
    _do("get.get", model=model, revision=revision, bits=bits, as_json=as_json)


@models.command("synthesise")
def models_synthesise(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    like: Annotated[str, typer.Option(help="A name of the list.")] = "nemotron-nano-8b",
    form: Annotated[str, typer.Option("--format", help="fp16, gptq4 or exl2.")] = "fp16",
    bits: Annotated[float, typer.Option("--bpw", help="Bits a weight, of exl2: 2 to 8.")] = 4.0,
    layers: Annotated[
        int | None, typer.Option(min=1, help="Fewer than the model has, to try it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 0,
    as_json: Json = False,
) -> None:
    """Random weights in the exact shape of a model: speed and memory are real, answers noise."""
    _do(
        "synthesise.synthesise",
        folder=folder,
        like=like,
        form=form,
        bits=bits,
        layers=layers,
        seed=seed,
        as_json=as_json,
    )


@models.command("fit")
def models_fit(
    model: Annotated[
        str, typer.Argument(help="A name of the list, also one that is not here, or a folder.")
    ] = "nemotron-nano-8b",
    quantization: Annotated[
        str | None,
        typer.Option("--format", help="As if in fp16, gptq-4bit, exl2-4.0bpw (2 to 8 bits)."),
    ] = None,
    gpu_memory: Annotated[
        str | None, typer.Option(help="As 24GiB; default: this machine's GPU, if any.")
    ] = None,
    context: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a request; default: 32768.")
    ] = None,
    cache: Annotated[str, typer.Option(help="fp16, q8, q6 or q4.")] = "fp16",
    batch: Annotated[int, typer.Option(min=1, help="Full requests at once.")] = 1,
    as_json: Json = False,
) -> None:
    """What a model takes in a GPU's memory, and the longest context that fits; loads nothing."""
    _do(
        "fit.fit",
        model=model,
        quantization=quantization,
        gpu_memory=gpu_memory,
        context=context,
        cache=cache,
        batch=batch,
        as_json=as_json,
    )


@about.command()
def doctor(
    build: Annotated[
        bool, typer.Option("--build", help="Build ExLlamaV2's extension now, with progress.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What this machine has, what is missing, and the command that mends it."""
    _do("doctor.doctor", build=build, as_json=as_json)


@about.command()
def lab(
    folder: Annotated[Path | None, typer.Argument(help="Default: this one.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Of the server.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """JupyterLab on the live workbench: ask, watch, compare, by hand."""
    _do("lab.lab", folder=folder, port=port, browser=browser)
