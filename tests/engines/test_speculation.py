"""Speculation changes what is computed, never what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from random import Random
from shutil import copytree
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench.engines.drafting import Lookup
from workbench.engines.exllama import ExllamaEngine
from workbench.errors import EngineError
from workbench.metrics import measure
from workbench.models.catalogue import CATALOGUE
from workbench.records import Chunk, Mode, Request, Started

from .contract import ModelContract, Trace, answers, ask, generation
from .opening import LONGEST, broken, opened


def damaged(folder: Path, to: Path, by: float) -> Path:
    """A copy of a model with noise in its matrices: it often draws the same, not always."""
    copytree(folder, to)
    source = torch.Generator().manual_seed(1)
    weights = load_file(to / "model.safetensors")
    for name, values in weights.items():
        if values.ndim == 2:
            noise = torch.randn(values.shape, generator=source) * values.float().std() * by
            weights[name] = (values.float() + noise).half()
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    return to


@pytest.fixture(scope="session")
def draft_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return damaged(model_folder, tmp_path_factory.mktemp("draft") / "model", 0.1)


@pytest.fixture(scope="session")
def demo_draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = CATALOGUE["demo"].folder
    assert folder is not None
    return damaged(folder, tmp_path_factory.mktemp("demo") / "model", 0.15)


@pytest.fixture
def longest() -> int:
    return LONGEST


@pytest.fixture
def breaking() -> Callable[[ExllamaEngine], AbstractContextManager[None]]:
    return broken


class Speculating(ModelContract):
    """The contract holds as without; only that a step brings one id does not."""

    test_the_closing_takes_an_iteration_an_id_and_room_like_any_text = None  # type: ignore[assignment]


class TestNgrams(Speculating):
    @pytest.fixture(scope="class")
    def engine(self, model_folder: Path) -> Iterator[ExllamaEngine]:
        sizes = {"context": LONGEST, "cache_tokens": LONGEST, "max_batch": 16}
        with opened(model_folder, **sizes, speculation="ngram", draft_tokens=3) as engine:
            yield engine

    @pytest.fixture(scope="class")
    def poisoned(self, poisoned_folder: Path) -> Iterator[ExllamaEngine]:
        with opened(poisoned_folder, cache_tokens=LONGEST, speculation="ngram") as engine:
            yield engine

    @pytest.fixture(scope="class")
    def roomy(self, model_folder: Path) -> Iterator[ExllamaEngine]:
        with opened(model_folder, cache_tokens=16384, speculation="ngram") as engine:
            yield engine

    @pytest.fixture(scope="class")
    def thinker(self) -> Iterator[ExllamaEngine]:
        with opened("demo", speculation="ngram", draft_tokens=6) as engine:
            yield engine


class TestDraftModel(Speculating):
    @pytest.fixture(scope="class")
    def engine(self, model_folder: Path, draft_folder: Path) -> Iterator[ExllamaEngine]:
        sizes = {"context": LONGEST, "cache_tokens": LONGEST, "max_batch": 16}
        with opened(model_folder, **sizes, speculation=str(draft_folder)) as engine:
            yield engine

    @pytest.fixture(scope="class")
    def poisoned(self, poisoned_folder: Path) -> Iterator[ExllamaEngine]:
        settings = {"speculation": str(poisoned_folder), "draft_tokens": 2}
        with opened(poisoned_folder, cache_tokens=LONGEST, **settings) as engine:
            yield engine

    @pytest.fixture(scope="class")
    def roomy(self, model_folder: Path, draft_folder: Path) -> Iterator[ExllamaEngine]:
        with opened(model_folder, cache_tokens=16384, speculation=str(draft_folder)) as engine:
            yield engine

    @pytest.fixture(scope="class")
    def thinker(self, demo_draft: Path) -> Iterator[ExllamaEngine]:
        with opened("demo", speculation=str(demo_draft)) as engine:
            yield engine


# --- what comes out is what comes out without -----------------------------------------------------


def mixed(count: int) -> list[Request]:
    """Sums, with everything that decides a draw or an end."""
    source = Random(5)
    settings: list[dict[str, Any]] = [
        {},
        {"temperature": 0.6, "top_p": 0.95},
        {"temperature": 1.3, "min_p": 0.02},
        {"temperature": 0.8, "repetition_penalty": 1.2},
        {"temperature": 0.6, "thinking_tokens": 20},
        {"temperature": 1.0, "min_tokens": 80},
        {"stop": ("so",), "temperature": 0.5},
        {"max_tokens": 33},
    ]
    requests = []
    for i in range(count):
        a, b, c = (source.randrange(10, 999) for _ in range(3))
        one = ask(f"What is {a} + {b} - {c}?", tuple(Mode)[i % 3], seed=i, **settings[i % 8])
        requests.append(replace(one, logprobs=i % 2 == 0, alternatives=3 * (i % 3 == 0)))
    return requests


def same(found: Trace, wanted: Trace) -> bool:
    """Everything but times and what was proposed; log-probabilities as closely as rows of other
    widths are computed alike."""
    assert [(c.ids, c.text, c.forced) for c in found.chunks] == [
        (c.ids, c.text, c.forced) for c in wanted.chunks
    ]
    for chunk, other in zip(found.chunks, wanted.chunks, strict=True):
        assert (chunk.logprobs is None) == (other.logprobs is None)
        assert (chunk.alternatives is None) == (other.alternatives is None)
        if chunk.logprobs is not None and other.logprobs is not None:
            assert chunk.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        for one, two in zip(chunk.alternatives or (), other.alternatives or (), strict=True):
            assert [p for _, p in one] == pytest.approx([p for _, p in two], abs=1e-3)
    return found.reason == wanted.reason


@pytest.mark.parametrize(
    ("draft", "tokens"), [("ngram", 1), ("ngram", 7), ("demo", 3), ("damaged", 4)]
)
def test_everything_is_as_without(
    draft: str, tokens: int, demo_draft: Path, thinker_stops: frozenset[int]
) -> None:
    requests = mixed(16)
    spec = str(demo_draft) if draft == "damaged" else draft
    with opened("demo") as plain, opened("demo", speculation=spec, draft_tokens=tokens) as quick:
        wanted = answers(plain, requests, thinker_stops)
        together = answers(quick, requests, thinker_stops)
        assert all(map(same, together, wanted))
        for number in (2, 4, 6):
            (alone,) = answers(quick, [requests[number]], thinker_stops)
            assert same(alone, wanted[number])


def test_over_the_ends_of_pages_and_from_the_cache_afterwards(
    model_folder: Path, draft_folder: Path, stops: frozenset[int]
) -> None:
    """Rejected ids must not be taken for what a page holds, nor a page that was exchanged."""
    requests = [ask(f"{i} gulls " * 60, max_tokens=400 - 50 * i, min_tokens=90) for i in range(2)]
    again = [*requests, requests[0]]  # two of the same: full pages are shared while they run
    with opened(model_folder, cache_tokens=8192) as plain:
        wanted = [trace.ids for trace in answers(plain, again, stops)]
    for spec in ("ngram", str(draft_folder)):
        settings = {"speculation": spec, "draft_tokens": 5}
        with opened(model_folder, cache_tokens=8192, **settings) as quick:
            for _ in range(2):
                assert [trace.ids for trace in answers(quick, again, stops)] == wanted
            pairs = zip(requests, wanted, strict=False)
            longer = [replace(one, opening=tuple(ids[:200])) for one, ids in pairs]
            warm = answers(quick, longer, stops)
            assert [trace.ids for trace in warm] == wanted[:2]
            assert all(
                started.cached_tokens and started.cached_tokens >= 256
                for trace in warm
                for started in trace.events
                if isinstance(started, Started)
            )


# --- how much it brings ---------------------------------------------------------------------------


def test_a_model_that_drafts_for_itself_is_always_right(thinker_stops: frozenset[int]) -> None:
    with opened("demo", speculation="demo", draft_tokens=4) as engine:
        for heat in (0.0, 0.6, 1.2):  # both draw with the same numbers
            (trace,) = answers(
                engine, [ask("What is 47 + 38 - 12?", temperature=heat, seed=3)], thinker_stops
            )
            row = measure(generation(engine, trace))
            assert row["draft_acceptance"] == 1.0
            assert row["draft_acceptance_thinking"] == row["draft_acceptance_answer"] == 1.0
            assert row["tokens_per_step"] is not None
            assert 3.5 < row["tokens_per_step"] <= 5


def test_acceptance_is_told_for_thinking_and_answer(
    demo_draft: Path, thinker_stops: frozenset[int]
) -> None:
    with opened("demo", speculation=str(demo_draft), draft_tokens=4) as engine:
        traces = answers(
            engine, [ask(f"What is {i} + 38 - 12?") for i in range(12, 24)], thinker_stops
        )
        rows = [measure(generation(engine, trace)) for trace in traces]
        accepted = [row["draft_acceptance"] for row in rows]
        assert all(share is not None and 0 < share <= 1 for share in accepted)
        assert any(share is not None and share < 1 for share in accepted)
        assert all(row["draft_acceptance_thinking"] is not None for row in rows)
        for trace in traces:  # ids of one step share its time
            for chunk, after in zip(trace.chunks, trace.chunks[1:], strict=False):
                if after.t == chunk.t and after.ids and chunk.ids:
                    assert chunk.draft is True


def test_without_speculation_nothing_is_told_of_it(thinker_stops: frozenset[int]) -> None:
    with opened("demo") as engine:
        (trace,) = answers(engine, [ask("What is 1 + 2?")], thinker_stops)
        assert all(chunk.draft is None for chunk in trace.chunks if isinstance(chunk, Chunk))
        row = measure(generation(engine, trace))
        assert row["draft_acceptance"] is row["tokens_per_step"] is None


def test_a_lookup_finds_what_followed_the_longest_of_the_newest_ids() -> None:
    lookup = Lookup()
    lookup.read([1, 2, 3, 4, 9, 2, 3, 5])
    assert lookup.propose(3) == []  # 3, 5 stand nowhere before
    lookup.read([7, 2, 3])
    assert lookup.propose(3) == [5, 7, 2]  # the latest place of 2, 3
    lookup.read([4])
    assert lookup.propose(9) == [9, 2, 3, 5, 7, 2, 3, 4]
    assert lookup.propose(0) == []


# --- what cannot be -------------------------------------------------------------------------------


def test_a_draft_of_another_family_is_refused(model_folder: Path) -> None:
    with (
        pytest.raises(EngineError, match="another tokenizer") as refused,
        opened("demo", speculation=str(model_folder)),
    ):
        pass
    assert "ngram" in refused.value.remedy


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"draft_tokens": 3}, "no speculation"),
        ({"speculation": "ngram", "draft_tokens": 0}, "not possible"),
        ({"speculation": "ngram", "draft_tokens": 64}, "not possible"),
    ],
)
def test_numbers_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineError, match=said) as refused, opened("demo", **settings):
        pass
    assert refused.value.remedy


def test_a_draft_that_reads_less_is_refused(model_folder: Path, tmp_path: Path) -> None:
    short = copytree(model_folder, tmp_path / "short")
    text = (short / "config.json").read_text()
    (short / "config.json").write_text(text.replace("8192", "1024"))
    with (
        pytest.raises(EngineError, match="reads 1024 tokens"),
        opened(model_folder, speculation=str(short)),
    ):
        pass
    with opened(model_folder, speculation=str(short), context=1024) as engine:
        assert engine.spec.draft_tokens == 4
