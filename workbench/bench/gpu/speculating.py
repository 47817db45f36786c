"""What speculation brings: n-grams and a draft model, beside the same engine without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from workbench.bench.figures import compared
from workbench.bench.gpu.bed import Bed, attempt
from workbench.bench.gpu.sizes import MAIN
from workbench.bench.sides import SessionLoop, rate
from workbench.bench.workload import Prompts, endless
from workbench.metrics import measure
from workbench.records import Request, Sampling
from workbench.session import Session

_PROMPT = 128  # tokens that a prompt of ``Prompts`` has at most
_TOLD = ("draft_acceptance", "draft_acceptance_thinking", "tokens_per_step")


def speculation(bed: Bed) -> Iterator[tuple[str, Any]]:
    """Greedy, one request at a time, the ids compared.

    The embedded model drafts for itself, so nearly all of its proposals hold: what is
    measured is the gain that full acceptance leaves at equal size. The text of random
    weights repeats itself as no other does, so the large model's acceptance is its own.
    """
    bed.clear()
    for name, form, drafts in (
        ("demo_ngram", "demo", "ngram"),
        ("demo_itself", "demo", "demo"),
        (f"{MAIN}_ngram", MAIN, "ngram"),
    ):
        bed.check_time()
        yield name, attempt(partial(_gain, bed, name, form, drafts))


def _gain(bed: Bed, name: str, form: str, drafts: str) -> dict[str, Any]:
    model = form if form == "demo" else bed.model(form)
    tokens = bed.sizes.tokens
    with endless(model) as folder:
        plain = bed.spec(folder, requests=1, tokens=_PROMPT + tokens)
        drafting = replace(plain, speculation=drafts)
        with Session(plain) as without, Session(drafting) as speculative:
            own, other = Prompts(tokens), Prompts(tokens)
            figure = compared(
                f"speculation_{name}",
                f"{form} with {drafts} drafting, by without; one at a time",
                "tokens/s",
                (
                    lambda: rate(SessionLoop(speculative), own.take(1)),
                    lambda: rate(SessionLoop(without), other.take(1)),
                ),
                rounds=bed.sizes.rounds,
            )
            return dict(figure.as_json()) | _told(speculative, without, _request(tokens))


def _told(speculative: Session, without: Session, request: Request) -> dict[str, Any]:
    """Acceptance over one answer, and whether its ids are those without speculation."""
    generation = speculative.start(request).result().raise_for_failure()
    plain = without.start(request).result().raise_for_failure()
    figures = measure(generation)
    return {name: figures[name] for name in _TOLD} | {"equal_ids": generation.ids == plain.ids}


def _request(tokens: int) -> Request:
    (request,) = Prompts(tokens).take(1)
    return replace(request, sampling=Sampling(max_tokens=tokens))
