"""What is loaded on a GPU is weighed against what is free there, before it is loaded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workbench.engines.room import affordable_tokens, refuse_too_large
from workbench.errors import EngineError
from workbench.models.fitting import subject
from workbench.models.memory import PAGE, Use
from workbench.records import EngineSpec

GIB = 2**30
NANO = subject("nemotron-nano-8b", "exl2-4.0bpw")
SPEC = EngineSpec(model="nemotron-nano-8b", context=8192, cache="q8", max_batch=4)


@pytest.mark.parametrize("free", [8 * GIB, 11 * GIB, 23 * GIB])
def test_the_cache_that_is_affordable_fits_and_is_all_there_is(free: int) -> None:
    tokens = affordable_tokens(NANO, SPEC, free)
    assert tokens % PAGE == 0
    assert tokens > 0
    refuse_too_large(NANO, replace(SPEC, cache_tokens=tokens), free)
    more = NANO.plan(Use(8192, tokens + PAGE, "q8", 4)).total
    assert free - GIB < more, "no large part is left unused"


def test_where_the_weights_do_not_fit_there_is_no_cache() -> None:
    assert affordable_tokens(NANO, SPEC, 4 * GIB) == 0


def test_what_is_too_large_is_refused_with_its_plan() -> None:
    wanted = replace(SPEC, context=131_072, cache_tokens=131_072, max_batch=1)
    with pytest.raises(EngineError) as caught:
        refuse_too_large(NANO, wanted, 11 * GIB)
    said = str(caught.value)
    assert "nemotron-nano-8b would take" in said
    assert "weights 3.6, cache 9.0" in said
    assert "11.0 are free" in said
    longest = NANO.largest(Use(PAGE, PAGE, "q8", 1), 11 * GIB)
    assert f"--context {longest} or less" in caught.value.remedy


def test_where_nothing_fits_fewer_bits_are_the_way() -> None:
    with pytest.raises(EngineError) as caught:
        refuse_too_large(NANO, replace(SPEC, cache_tokens=8192), 3 * GIB)
    assert "weights with fewer bits" in caught.value.remedy
