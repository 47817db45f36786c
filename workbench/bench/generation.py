"""How fast tokens come: beside other loops, in batches, recorded, far into a context."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from workbench.bench.figures import Figure, Goal, Side, compared, figure
from workbench.bench.sides import (
    BareLoop,
    EngineLoop,
    Loop,
    SessionLoop,
    TransformersLoop,
    rate,
)
from workbench.bench.workload import Prompts, check_count, endless
from workbench.records import EngineSpec, Started
from workbench.session import Session
from workbench.store import Store

_RATE = "tokens/s"
_NEAR, _FAR = 200, 2000  # tokens of context
_WINDOW = 40  # tokens whose median is the cost there


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure with, and how long."""

    spec: EngineSpec
    rounds: int = 11
    tokens: int = 150  # that every request generates

    def on(self, folder: Path) -> EngineSpec:
        """The engine asked for, on this model folder."""
        return replace(self.spec, model=str(folder))


def engine(options: Options) -> Iterator[Figure]:
    """Our engine's loop against ExLlamaV2's own."""
    with endless(options.spec.model) as folder:
        spec = options.on(folder)
        with closing(EngineLoop(spec)) as ours, closing(BareLoop(spec)) as bare:
            for requests in (1, 16):
                yield compared(
                    f"engine_{requests}",
                    f"our engine, by ExLlamaV2's own loop; {requests} at once",
                    _RATE,
                    (_side(ours, options, requests), _side(bare, options, requests)),
                    rounds=options.rounds,
                    goal=Goal("at least", 0.97),
                )


def transformers(options: Options) -> Iterator[Figure]:
    """Our engine's loop against ``generate`` with a streamer."""
    with endless(options.spec.model) as folder:
        spec = options.on(folder)
        with closing(EngineLoop(spec)) as ours, closing(TransformersLoop(spec)) as theirs:
            yield compared(
                "transformers",
                "our engine, by transformers' generate with a streamer",
                _RATE,
                (_side(ours, options, 1), _side(theirs, options, 1)),
                rounds=options.rounds,
                goal=Goal("above", 1),
            )


def batch(options: Options) -> Iterator[Figure]:
    """Many requests at once against one alone: what a sweep gains."""
    with endless(options.spec.model) as folder, Session(options.on(folder)) as session:
        loop = SessionLoop(session)
        for requests, least in ((16, 5.0), (64, 10.0)):
            yield compared(
                f"batch_{requests}",
                f"{requests} requests at once, by one alone",
                _RATE,
                (_side(loop, options, requests), _side(loop, options, 1)),
                rounds=options.rounds,
                goal=Goal("at least", least) if session.spec.device == "cpu" else None,
            )


def recording(options: Options) -> Iterator[Figure]:
    """Store and log-probabilities on against off."""
    with (
        endless(options.spec.model) as folder,
        TemporaryDirectory() as kept,
        Store(Path(kept) / "runs.sqlite") as store,
        Session(options.on(folder)) as session,
    ):
        recorded, plain = SessionLoop(session, store), SessionLoop(session)
        for requests in (1, 16):
            yield compared(
                f"recording_{requests}",
                f"store and log-probabilities on, by off; {requests} at once",
                "ms/token",
                (
                    _inverse(_side(recorded, options, requests, logprobs=True)),
                    _inverse(_side(plain, options, requests)),
                ),
                rounds=options.rounds,
                goal=Goal("at most", 1.03),
            )


def context(options: Options) -> Iterator[Figure]:
    """What a token costs behind 2,000 tokens of context against behind 200."""
    with endless(options.spec.model) as folder, Session(options.on(folder)) as session:
        pairs = [_near_and_far(session) for _ in range(max(options.rounds // 2, 1))]
    what = f"behind {_FAR:,} tokens of context, by behind {_NEAR}"
    yield figure("context", what, "ms/token", [(far, near) for near, far in pairs])


def _side(loop: Loop, options: Options, requests: int, *, logprobs: bool = False) -> Side:
    """Tokens a second of new prompts each time."""
    prompts = Prompts(options.tokens)
    return lambda: rate(loop, prompts.take(requests, logprobs=logprobs))


def _inverse(side: Callable[[], float]) -> Side:
    """Milliseconds a token."""
    return lambda: 1e3 / side()


def _near_and_far(session: Session) -> tuple[float, float]:
    """Milliseconds of a token around either place of one long generation."""
    (probe,) = Prompts(1).take(1)
    prompt = sum(
        event.prompt_tokens or 0
        for event in session.start(probe).result().raise_for_failure().events
        if isinstance(event, Started)
    )
    (request,) = Prompts(_FAR - prompt).take(1)
    generation = session.start(request).result().raise_for_failure()
    times = [chunk.t for chunk in generation.chunks() if chunk.ids]
    check_count(len(times), _FAR - prompt)
    gaps = [1e3 * (later - t) for t, later in pairwise(times)]
    start = _NEAR - prompt - _WINDOW // 2
    return median(gaps[start : start + _WINDOW]), median(gaps[-_WINDOW:])
