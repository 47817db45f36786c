"""A sweep as the workbench runs it, beside the same requests in plainer ways."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from workbench.bench.figures import Figure, Goal, compared, figure
from workbench.bench.generation import Options
from workbench.bench.growth import SIZES, growth
from workbench.bench.sides import threads
from workbench.engines.prompts import prompt_ids
from workbench.engines.reference_loading import import_library, load_model, resolve
from workbench.evaluation.problems import arithmetic_suite
from workbench.experiments import execute, sweep
from workbench.models.catalogue import locate
from workbench.models.folder import check
from workbench.models.template import chat_format
from workbench.models.tokenizer import Tokenizer
from workbench.records import EngineSpec, Message, Mode, Plan, Request, Sampling
from workbench.report import report
from workbench.session import Session
from workbench.store import Store

_TEMPERATURES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
_TOP_PS = (0.5, 0.8, 0.95, 1.0)
_PROBLEMS = 16
_RATE = "tokens/s"
_GOAL = 5.0


@dataclass(frozen=True, slots=True)
class _Work:
    """What one way of doing the sweep took."""

    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


def sweep_bench(options: Options) -> Iterator[Figure | list[dict[str, Any]]]:
    """All that a sweep is measured by."""
    yield from batched(options)
    yield from prefix(options)
    yield reporting(options)
    yield grown(options)


def batched(options: Options) -> Iterator[Figure]:
    """The whole sweep at once, by one request after another, and by ``generate``."""
    plan = _plan(options)
    goal = Goal("at least", _GOAL)
    with TemporaryDirectory() as kept, Session(options.spec) as session:
        _ = session.spec
        folder = Path(kept)
        together = _executed(plan, session, folder / "together.sqlite", None)
        alone = _executed(plan, session, folder / "alone.sqlite", 1)
        again = _executed(plan, session, folder / "again.sqlite", None)
    plain = _generated(plan, options.spec)
    what = f"a sweep of {len(plan)} requests in a batch"
    first = _Work(together.tokens + again.tokens, together.seconds + again.seconds)
    yield figure(
        "sweep_one_by_one",
        f"{what}, by one after another",
        _RATE,
        [(first.rate, alone.rate)],
        goal,
    )
    yield figure(
        "sweep_transformers",
        f"{what}, by a loop over transformers' generate",
        _RATE,
        [(first.rate, plain.rate)],
        goal,
    )


def prefix(options: Options) -> Iterator[Figure]:
    """Requests that begin with the same long text, by requests that do not."""
    with Session(options.spec) as session:
        context = session.spec.context or 2048
        numbers = iter(range(10**6))

        def seconds(*, shared: bool) -> float:
            first = next(numbers)
            names = [first if shared else next(numbers) for _ in range(_PROBLEMS)]
            requests = [_long(name, i, context // 2) for i, name in enumerate(names)]
            session.start(requests[0]).result().raise_for_failure()  # fills the cache if it can
            began = time.perf_counter()
            streams = [session.start(request) for request in requests[1:]]
            for stream in streams:
                stream.result().raise_for_failure()
            return 1e3 * (time.perf_counter() - began) / len(streams)

        yield compared(
            "prefix_reuse",
            f"requests of {context // 2:,} prompt tokens or so: all new, by alike from the start",
            "ms/request",
            (lambda: seconds(shared=False), lambda: seconds(shared=True)),
            rounds=min(options.rounds, 5),
            goal=Goal("above", 1),
        )


def reporting(options: Options) -> Figure:
    """What a report takes besides its model: interpreter, figures, page and tables."""
    few = options.rounds <= 3
    wanted = {"count": 3 if few else 30, "model": options.spec.model, "device": options.spec.device}
    with TemporaryDirectory() as kept, _home(Path(kept)):
        made = report("sweep", wanted, Path(kept) / "reports").raise_for_failure()
    return figure(
        "sweep_report",
        "a sweep's report: everything besides the model, by the model",
        "s",
        [(made.own_seconds, made.model_seconds)],
    )


def grown(options: Options) -> list[dict[str, Any]]:
    """Memory and time from 100 to 10,000 generations."""
    return growth(SIZES if options.rounds > 3 else SIZES[:2])


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    """Run data in a folder of its own: a report's kernel keeps them where the environment says."""
    before = os.environ.get("WORKBENCH_HOME")
    os.environ["WORKBENCH_HOME"] = str(folder)
    try:
        yield
    finally:
        del os.environ["WORKBENCH_HOME"]
        if before is not None:
            os.environ["WORKBENCH_HOME"] = before


def _plan(options: Options) -> Plan:
    """6 × 4 settings of 16 problems; quick: 2 × 2."""
    few = options.rounds <= 3
    return sweep(
        arithmetic_suite(_PROBLEMS),
        engine=options.spec,
        temperature=_TEMPERATURES[::3] if few else _TEMPERATURES,
        top_p=_TOP_PS[::2] if few else _TOP_PS,
        max_tokens=400,
    )


def _executed(plan: Plan, session: Session, file: Path, concurrency: int | None) -> _Work:
    with Store(file) as store:
        began = time.perf_counter()
        run = execute(plan, session=session, store=store, concurrency=concurrency)
        seconds = time.perf_counter() - began
        tokens = sum(int(row["output_tokens"] or 0) for row in run.rows())
    return _Work(tokens, seconds)


def _generated(plan: Plan, spec: EngineSpec) -> _Work:
    """The plan's requests through ``generate``, one after another, as its documentation shows."""
    folder = locate(spec.model, spec.revision)
    info = check(folder)
    form = chat_format(folder, Tokenizer.from_folder(folder))
    library = import_library()
    model = load_model(library, folder, resolve(replace(spec, kind="reference"), folder, info))
    ends = list(info.eos_ids)
    tokens = 0
    with threads(1):
        began = time.perf_counter()
        for cell in plan.cells:
            ids = prompt_ids(form, cell.request)
            tokens += _answer(model, ids, cell.request.sampling, ends)
        seconds = time.perf_counter() - began
    return _Work(tokens, seconds)


def _answer(model: Any, ids: Sequence[int], sampling: Sampling, ends: Sequence[int]) -> int:
    prompt = torch.tensor([list(ids)], device=model.device)
    made = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=True,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=0,
        max_new_tokens=sampling.max_tokens,
        eos_token_id=list(ends),
        pad_token_id=ends[0],
    )
    return int(made.shape[1]) - len(ids)


def _long(name: int, number: int, tokens: int) -> Request:
    """A prompt of about so many tokens whose beginning only ``name`` decides."""
    words = f"{name} " + "1 + 2 " * (tokens // 4)
    text = f"{words}What is {number} + 5?"
    return Request((Message("user", text),), Mode.OFF, Sampling(max_tokens=4))
