"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Limit = Annotated[int, typer.Option(min=1, help="How many runs at most.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")]
Model = Annotated[str, typer.Option(help="A name of `workbench models`, or a model folder.")]
Engine = Annotated[
    str, typer.Option(help="exllama, reference (transformers), or remote (an --endpoint).")
]
Engines = Annotated[
    list[str] | None,
    typer.Option(help="exllama (default), reference, remote (an --endpoint), or several."),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Base URL of an OpenAI-compatible API, e.g. http://localhost:8000/v1, for the engine "
        "remote; --model is its name there. A key is taken from WORKBENCH_API_KEY.",
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda:0; default: a GPU.")]
Context = Annotated[int | None, typer.Option(min=1, help="Most tokens of a request.")]
Sampler = Annotated[
    str | None,
    typer.Option(help="exact (the textbook's law; default), or native: ExLlamaV2's own."),
]
Speculation = Annotated[
    str | None,
    typer.Option(
        metavar="ngram|MODEL",
        help="Propose ids from the text itself, or by a smaller model of the same family.",
    ),
]
DraftTokens = Annotated[
    int | None, typer.Option(min=1, help="Ids that are proposed a step, at most; default: 4.")
]
Modes = Annotated[
    list[str] | None,
    typer.Option(help="on, off, off_prefilled: repeat it or use commas; default: all three."),
]
