"""The verbs that ask a model, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.dispatch import do
from workbench.cli.options import (
    Context,
    Device,
    DraftTokens,
    Endpoint,
    Engine,
    Engines,
    Json,
    Model,
    Modes,
    Sampler,
    Speculation,
)

verbs = typer.Typer(rich_markup_mode=None)


@verbs.command()
def compare(
    prompt: Annotated[str, typer.Argument(help="What to ask; - reads it from stdin.")],
    model: Model = "demo",
    engine: Engine = "exllama",
    endpoint: Endpoint = None,
    device: Device = None,
    context: Context = None,
    sampler: Sampler = None,
    speculation: Speculation = None,
    draft_tokens: DraftTokens = None,
    mode: Modes = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="0 is greedy. Default, as below: what each arm's card says."),
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Mass of the nucleus, in (0, 1].")] = None,
    top_k: Annotated[int | None, typer.Option(help="Most likely tokens kept; 0: all.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Least relative probability kept.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="1 is none.")] = None,
    thinking_tokens: Annotated[
        int | None, typer.Option(help="Thinking is closed at so many, and an answer follows.")
    ] = None,
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
        "thinking_tokens": thinking_tokens,
        "max_tokens": max_tokens,
    }
    do(
        "compare.compare",
        prompt=prompt,
        engine=engine,
        model=model,
        place=_place(endpoint, device, context, sampler, speculation, draft_tokens),
        modes=mode,
        sampling=sampling,
        seed=seed,
        samples=samples,
        concurrency=concurrency,
        as_json=as_json,
    )


@verbs.command()
def sweep(
    suite: Annotated[
        str | None,
        typer.Argument(help='arithmetic, or a file of lines {"prompt": "…", "answer": "…"}.'),
    ] = None,
    temperature: Annotated[
        str | None, typer.Option(help="Values as 0,0.6 or 0:1.5:0.25, here and below.")
    ] = None,
    top_p: Annotated[str | None, typer.Option(help="Mass of the nucleus, in (0, 1].")] = None,
    mode: Annotated[
        list[str] | None, typer.Option(help="on, off, off_prefilled; default: on.")
    ] = None,
    thinking_tokens: Annotated[
        str | None, typer.Option(help="Thinking is closed at so many; none: never.")
    ] = None,
    max_tokens: Annotated[str | None, typer.Option(help="Most new tokens; none: no limit.")] = None,
    top_k: Annotated[str | None, typer.Option(help="Most likely tokens kept; 0: all.")] = None,
    min_p: Annotated[str | None, typer.Option(help="Least relative probability kept.")] = None,
    repetition_penalty: Annotated[str | None, typer.Option(help="1 is none.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Names or folders of models; default: demo.")
    ] = None,
    engine: Engines = None,
    endpoint: Endpoint = None,
    device: Device = None,
    context: Context = None,
    sampler: Sampler = None,
    speculation: Speculation = None,
    draft_tokens: DraftTokens = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Repeats where tokens are drawn; default: 1.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Problems; default: 30 of arithmetic, all of a file.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the draws; default: 0.")] = None,
    suite_seed: Annotated[
        int | None, typer.Option(help="Other ones give other problems of arithmetic.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Requests under way at once; default: all that fit.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Finish this run; needs nothing else.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it takes.")] = False,
    as_json: Json = False,
) -> None:
    """Ask a suite at every combination of settings: what is right, and what it costs."""
    do(
        "sweep.sweep",
        suite=suite,
        settings={
            "temperature": temperature,
            "top_p": top_p,
            "thinking_tokens": thinking_tokens,
            "max_tokens": max_tokens,
            "top_k": top_k,
            "min_p": min_p,
            "repetition_penalty": repetition_penalty,
        },
        arms={"mode": mode, "model": model, "engine": engine},
        place=_place(endpoint, device, context, sampler, speculation, draft_tokens),
        counts={"samples": samples, "count": count, "seed": seed, "suite_seed": suite_seed},
        concurrency=concurrency,
        resumed=resume,
        dry_run=dry_run,
        as_json=as_json,
    )


@verbs.command("eval")
def evaluate(
    benchmark: Annotated[
        str | None,
        typer.Argument(
            help="math500, aime25, gpqa, mtbench, gsm8k, arithmetic, or a file as of `sweep`."
        ),
    ] = None,
    mode: Annotated[
        list[str] | None, typer.Option(help="on, off, off_prefilled; default: on,off.")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Answers to a problem where tokens are drawn; default: 1."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only so many problems (of mtbench questions), spread over all."),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Most new tokens; default: 32768, or what the context leaves."),
    ] = None,
    temperatures: Annotated[
        str | None,
        typer.Option(help="card (default), or benchmark: MT-Bench's own, by category."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the run; default: 0.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="The benchmark's file, instead of the hub's.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Names or folders of models; default: demo.")
    ] = None,
    engine: Engines = None,
    endpoint: Endpoint = None,
    device: Device = None,
    context: Context = None,
    sampler: Sampler = None,
    speculation: Speculation = None,
    draft_tokens: DraftTokens = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Requests under way at once; default: all that fit.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Finish this run; needs nothing else.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it takes; of a run, how far it is.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Evaluate as the model card does: pass@1 of each mode, with its interval."""
    do(
        "evaluate.evaluate",
        benchmark=benchmark,
        modes=mode,
        counts={"samples": samples, "limit": limit, "max_tokens": max_tokens, "seed": seed},
        temperatures=temperatures,
        data=data,
        arms={"model": model, "engine": engine},
        place=_place(endpoint, device, context, sampler, speculation, draft_tokens),
        concurrency=concurrency,
        resumed=resume,
        dry_run=dry_run,
        as_json=as_json,
    )


@verbs.command()
def latency(
    prompt_tokens: Annotated[
        str, typer.Option(help="Lengths of the prompts, template included; commas between.")
    ] = "128,512",
    output_tokens: Annotated[str, typer.Option(help="Lengths of the answers.")] = "64",
    concurrency: Annotated[str, typer.Option(help="Requests at once.")] = "1,2,4,8",
    requests: Annotated[int, typer.Option(help="Of each stage.")] = 8,
    cached: Annotated[
        bool, typer.Option(help="Ask each stage's prompts again, from the cache.")
    ] = True,
    mode: Annotated[str, typer.Option(help="on, off or off_prefilled.")] = "on",
    thinking_tokens: Annotated[
        int | None, typer.Option(help="Close the thinking at so many, so that an answer follows.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Repeat it or use commas; default: demo.")
    ] = None,
    engine: Engines = None,
    endpoint: Endpoint = None,
    device: Device = None,
    sampler: Sampler = None,
    speculation: Speculation = None,
    draft_tokens: DraftTokens = None,
    goodput: Annotated[
        str | None, typer.Option(help="Objectives, e.g. ttft=0.5,itl=0.05: seconds.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the prompts and every draw.")] = 0,
    as_json: Json = False,
) -> None:
    """Time prompts and answers of fixed lengths, alone and many at once."""
    do(
        "latency.latency",
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        concurrency=concurrency,
        requests=requests,
        cached=cached,
        mode=mode,
        thinking_tokens=thinking_tokens,
        models=model,
        engines=engine,
        place=_place(endpoint, device, None, sampler, speculation, draft_tokens),
        goodput=goodput,
        seed=seed,
        as_json=as_json,
    )


def _place(
    endpoint: str | None,
    device: str | None,
    context: int | None,
    sampler: str | None,
    speculation: str | None,
    draft_tokens: int | None,
) -> dict[str, str | int | None]:
    """What is asked of an engine, by the names of ``EngineSpec``; ``None``: nothing."""
    return {
        "endpoint": endpoint,
        "device": device,
        "context": context,
        "sampler": sampler,
        "speculation": speculation,
        "draft_tokens": draft_tokens,
    }
