"""The nouns: what they refuse, what they say of themselves."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from workbench.errors import EngineError, InvalidInput, StoreError, WorkbenchError
from workbench.records import (
    Cell,
    Channel,
    Chunk,
    EngineSpec,
    Event,
    Failed,
    Finished,
    Generation,
    Message,
    Mode,
    Plan,
    Request,
    Sampling,
    Started,
)

REQUEST = Request((Message("user", "?"),))


def generation(*events: Event) -> Generation:
    return Generation(REQUEST, EngineSpec(), events)


def test_the_arms_are_those_of_the_model_card() -> None:
    assert [mode.system_prompt for mode in Mode] == [
        "detailed thinking on",
        "detailed thinking off",
        "detailed thinking off",
    ]
    assert [mode.prefill for mode in Mode] == ["", "", "<think>\n</think>"]
    assert Mode.ON.recommended == Sampling(temperature=0.6, top_p=0.95)
    assert Mode.OFF.recommended == Mode.OFF_PREFILLED.recommended == Sampling()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("inf")),
        ("temperature", float("nan")),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("repetition_penalty", 0.0),
        ("top_k", -1),
        ("max_tokens", 0),
        ("seed", -1),
        ("seed", 2**64),
        ("stop", ("",)),
    ],
)
def test_sampling_out_of_range_is_refused_with_a_remedy(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        Sampling(**{field: value})
    assert caught.value.remedy


@pytest.mark.parametrize("messages", [(), (Message("assistant", "x"),), (Message("user", " \n"),)])
def test_a_request_needs_a_question(messages: tuple[Message, ...]) -> None:
    with pytest.raises(InvalidInput, match="prompt is empty"):
        Request(messages)


def test_a_bound_that_is_passed_is_the_one_that_is_named() -> None:
    with pytest.raises(InvalidInput, match="alternatives is 2000; it must be at most 1,000"):
        Request((Message("user", "?"),), alternatives=2000)
    with pytest.raises(InvalidInput, match="temperature is nan; it must be a finite number, at"):
        Sampling(temperature=float("nan"))


def test_a_generation_reads_its_channels() -> None:
    made = generation(
        Started(0.0, 3),
        Chunk(0.1, (1,), "<think>", Channel.MARKER),
        Chunk(0.2, (2, 3), "\nhm\n", Channel.THINKING),
        Chunk(0.3, (4,), "</think>", Channel.MARKER),
        Chunk(0.4, (5,), "\n\n42 ", Channel.ANSWER),
        Finished(0.5, "stop"),
    )
    assert (made.thinking, made.answer) == ("hm", "42")
    assert made.text_of() == "<think>\nhm\n</think>\n\n42 "
    assert made.ids == (1, 2, 3, 4, 5)
    assert made.ok
    assert made.raise_for_failure() is made


@pytest.mark.parametrize(
    ("end", "reason", "ok"),
    [
        (Finished(1.0, "length"), "length", True),
        (Finished(1.0, "cancelled"), "cancelled", False),
        (Failed(1.0, "x", "y"), "failed", False),
        (Started(1.0, 1), None, False),
    ],
)
def test_how_a_generation_ended(end: Event, reason: str | None, ok: bool) -> None:
    assert (generation(end).finish_reason, generation(end).ok) == (reason, ok)
    assert generation().finish_reason is None


def test_a_failure_is_raised_with_its_remedy() -> None:
    with pytest.raises(EngineError, match="it broke") as caught:
        generation(Failed(1.0, "it broke", "mend it")).raise_for_failure()
    assert caught.value.remedy == "mend it"


def test_a_plan_prints_in_one_line() -> None:
    cell = Cell(EngineSpec(), REQUEST)
    few = Plan("compare", (cell,), {"mode": ("on", "off")})
    many = Plan("compare", (cell,) * 40, {"problem": tuple(range(40))})
    assert str(few) == "compare: 1 request to demo on exllama; mode [on, off]"
    assert str(many).endswith("40 requests to demo on exllama; problem [0, 1, 2, … 40 in all]")
    assert str(Plan("compare", ())) == "compare: 0 requests to nobody; no axes"


def test_records_cannot_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        REQUEST.label = "x"  # type: ignore[misc]


def test_errors_say_their_remedy_and_survive_a_pickle() -> None:
    import pickle

    error = InvalidInput("Wrong.", remedy="Right it.")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (InvalidInput, "Wrong. Right it.")
    assert isinstance(again, WorkbenchError)
    full = StoreError("Full.", remedy="Make room.", runs=("2026-x",))
    told = pickle.loads(pickle.dumps(full))
    assert (told.runs, told.remedy) == (("2026-x",), "Make room.")
    assert str(told) == str(full) == "Full. Make room. Then go on with resume('2026-x')."
