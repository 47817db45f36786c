"""``workbench compare``: ask every arm, watch them answer, and see what it took."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from workbench import experiments
from workbench.cli import live, summary, texts
from workbench.cli.documents import run_document
from workbench.cli.follow import Follower
from workbench.cli.guard import MENDABLE, complain, kept, stopped
from workbench.cli.output import console, print_json
from workbench.cli.places import engine_spec
from workbench.experiments import Run
from workbench.experiments.plans import ARMS
from workbench.printable import printable
from workbench.records import EngineSpec, Failed, Plan
from workbench.session import Session
from workbench.store import Store
from workbench.stream import Stream


def compare(
    *,
    prompt: str,
    engine: str,
    model: str,
    place: Mapping[str, Any],
    modes: Iterable[str] | None,
    sampling: Mapping[str, Any],
    seed: int,
    samples: int,
    concurrency: int | None,
    as_json: bool,
) -> int:
    """Ask, show, keep; the exit code."""
    plan = experiments.compare(
        sys.stdin.buffer.read().decode("utf-8", "replace") if prompt == "-" else prompt,
        modes=ARMS if modes is None else _names(modes),
        engine=engine_spec(engine, model, place),
        samples=samples,
        seed=seed,
        **sampling,
    )
    out = console(as_json)
    begun: list[str] = []  # an interrupt must be able to name the run
    with Store() as store:
        try:
            run, together = _run(plan, store, out, concurrency, begun.append)
        except KeyboardInterrupt:
            return stopped(kept(begun[0] if begun else None))
        _show(run, together, out)
        if as_json:
            print_json(run_document(run))
    return _verdict(run)


class _Viewer(Protocol):
    """Shows answers while they come."""

    def watch(self, index: int, stream: Stream) -> None: ...

    def progress(self, done: int, planned: int) -> None: ...

    def __enter__(self) -> object: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def _names(modes: Iterable[str]) -> list[str]:
    return [name.strip() for given in modes for name in given.split(",") if name.strip()]


def _run(
    plan: Plan,
    store: Store,
    out: Console,
    concurrency: int | None,
    begun: Callable[[str], None],
) -> tuple[Run, int]:
    """The run, and how many requests were under way at once."""
    arms = list(dict.fromkeys(cell.request.mode for cell in plan.cells))
    watched = live.fits(out, len(arms))
    at_once = concurrency if concurrency is not None else len(arms) if watched else 1
    viewer: _Viewer = live.Screen(out, arms) if watched else Follower(out, plan, alone=at_once == 1)
    session = Session(plan.cells[0].spec)
    try:
        _open(session, plan.cells[0].spec, out)
        with viewer:
            run = experiments.execute(
                plan,
                session=session,
                store=store,
                concurrency=at_once,
                watch=viewer.watch,
                progress=viewer.progress,
                begun=begun,
            )
    finally:
        session.close()
    return run, min(at_once, len(plan))


def _open(session: Session, asked: EngineSpec, out: Console) -> EngineSpec:
    """Wait for the engine: one that cannot be opened is told before a run begins."""
    if not out.is_terminal:
        return session.spec
    with out.status(Text(f"Loading {printable(asked.model)} …")):
        return session.spec


def _show(run: Run, together: int, out: Console) -> None:
    """The texts where the live picture has gone, and the table."""
    generations = [one for _, one in sorted(run.generations.items())]
    if not any(one.ok for one in generations):
        return
    arms = list(dict.fromkeys(one.request.mode for one in generations))
    if live.fits(out, len(arms)):
        texts.side_by_side(out, run)
    out.print(summary.arms(run))
    if together > 1:
        out.print(
            f"{together} answers at a time shared the {_device(run)} as one batch: these are the "
            "times of a batch. --concurrency 1 times each alone."
        )
    out.print(f"Kept as run {run.id}")


def _device(run: Run) -> str:
    device = next(iter(run.generations.values())).spec.device or ""
    if device == "remote":
        return "endpoint"
    return "GPU" if device.startswith("cuda") else "CPU"


def _verdict(run: Run) -> int:
    """Say what failed, each sentence once; nothing but failures is a failure."""
    ends = [(one.request.mode, one.end) for _, one in sorted(run.generations.items())]
    failed = [(mode, end) for mode, end in ends if isinstance(end, Failed)]
    all_failed = len(failed) == len(ends)
    sentences = [
        f"{end.error} {end.remedy}" if all_failed else f"{mode}: {end.error} {end.remedy}"
        for mode, end in failed
    ]
    for sentence in dict.fromkeys(sentences):
        complain(sentence)
    return MENDABLE if all_failed else 0
