"""The verbs and their options. A verb's own module is loaded when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from workbench import __version__
from workbench.cli import guard

# What typer raises for a wrong option. Which package it comes from differs by typer's version.
_WRONG_USE: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Compare reasoning on and off, token by token; store every run; report it.",
)
runs = typer.Typer(rich_markup_mode=None, help="The stored runs, newest first.")
models = typer.Typer(rich_markup_mode=None, help="The models that can be loaded.")
app.add_typer(runs, name="runs")
app.add_typer(models, name="models")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Limit = Annotated[int, typer.Option(min=1, help="How many runs at most.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")]
Model = Annotated[str, typer.Option(help="A name of `workbench models`, or a model folder.")]


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


def _do(verb: str, **arguments: object) -> None:
    """Call ``module.function`` of this package, and end with its exit code."""

    def work() -> int | None:
        module, _, function = verb.rpartition(".")
        code: int | None = getattr(import_module(f"workbench.cli.{module}"), function)(**arguments)
        return code

    raise typer.Exit(guard.exit_code(work))


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


@app.command()
def compare(
    prompt: Annotated[str, typer.Argument(help="What to ask; - reads it from stdin.")],
    model: Model = "demo",
    engine: Annotated[str, typer.Option(help="exllama, or reference (transformers).")] = "exllama",
    device: Annotated[str | None, typer.Option(help="cpu or cuda:0; default: a GPU.")] = None,
    context: Annotated[int | None, typer.Option(min=1, help="Most tokens of a request.")] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(help="on, off, off_prefilled: repeat it or use commas; default: all three."),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="0 is greedy. Default, as below: what each arm's card says."),
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Mass of the nucleus, in (0, 1].")] = None,
    top_k: Annotated[int | None, typer.Option(help="Most likely tokens kept; 0: all.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Least relative probability kept.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="1 is none.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most new tokens an answer.")] = None,
    seed: Annotated[int, typer.Option(help="Of the run.")] = 0,
    samples: Annotated[int, typer.Option(help="Repeats in each arm that draws.")] = 1,
    concurrency: Annotated[
        int | None,
        typer.Option(
            help="Answers under way at once. Default: every arm, so that they can be watched side "
            "by side, or 1 where nobody watches; 1 times each alone."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask with reasoning on, off, and off with an empty think block; side by side."""
    sampling = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "max_tokens": max_tokens,
    }
    _do(
        "compare.compare",
        prompt=prompt,
        engine={"kind": engine, "model": model, "device": device, "context": context},
        modes=mode,
        sampling=sampling,
        seed=seed,
        samples=samples,
        concurrency=concurrency,
        as_json=as_json,
    )


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="compare.")],
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="KEY=VALUE", help="Repeat it for several."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to.")] = None,
    as_json: Json = False,
) -> None:
    """Run a report: an executed notebook and a self-contained HTML page."""
    _do("report.report", name=name, parameters=parameters or [], out=out, as_json=as_json)


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


@runs.command("export")
def runs_export(
    run: RunId,
    out: Annotated[Path | None, typer.Option(help="File to write; default: stdout.")] = None,
) -> None:
    """Every event of a run as lines of JSON."""
    _do("runs.export_run", run=run, out=out)


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


@app.command()
def doctor(as_json: Json = False) -> None:
    """What this machine has, what is missing, and the command that mends it."""
    _do("doctor.doctor", as_json=as_json)


@app.command()
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Some of them; default: all.")
    ] = None,
    model: Model = "demo",
    device: Annotated[str | None, typer.Option(help="cpu or cuda:0; default: a GPU.")] = None,
    quick: Annotated[bool, typer.Option(help="Fewer and shorter rounds.")] = False,
    as_json: Json = False,
) -> None:
    """Ratios measured side by side, with their goals."""
    _do("bench.bench", names=names or [], model=model, device=device, quick=quick, as_json=as_json)
