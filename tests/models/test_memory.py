"""The memory plan: against ExLlamaV2's own figures of a loaded model, and against known sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from workbench.cli import app
from workbench.engines import loading
from workbench.errors import InvalidInput, ModelError
from workbench.models.catalogue import CATALOGUE, locate
from workbench.models.config import read_config
from workbench.models.fitting import FORMATS, GPUS, memory_of, shape_of, subject, use_of
from workbench.models.memory import (
    CACHES,
    CONTEXT,
    PAGE,
    Use,
    cache_bytes,
    largest_context,
    plan,
    weights_for,
)
from workbench.records import EngineSpec

NANO = CATALOGUE["nemotron-nano-8b"].shape
assert NANO is not None
GIB = 2**30


@pytest.fixture(scope="module")
def loaded() -> Iterator[Any]:
    """The embedded model in ExLlamaV2, and nobody who draws."""
    spec = EngineSpec(model="demo", cache_tokens=2048, max_batch=4)
    model = loading.load(spec)
    yield model
    model.close()


# --- against ExLlamaV2's own figures --------------------------------------------------------------


def test_weights_scratch_and_rope_are_what_exllamav2_counts(loaded: Any) -> None:
    model = loaded.generator.model
    found = subject("demo").plan(Use(2048, 2048, batch=4))
    modules = [m for m in model.modules if type(m).__name__ != "ExLlamaV2Embedding"]
    assert found.weights == pytest.approx(sum(m.weight_footprint() for m in modules), rel=0.05)
    quantized = plan(shape_of(read_config(loaded.folder)), 0, True, Use(2048, 2048))
    fixed = max(module.scratch_space_fixed() for module in model.modules)
    assert quantized.scratch == pytest.approx(fixed, rel=0.05)
    (context,) = [one for one in model.device_context if one is not None]
    held = sum(table.numel() for table in (*context.sin, *context.cos))
    assert found.rope == 2 * held  # bytes of fp16; the portable natives keep float32


def test_the_cache_is_as_large_as_told(loaded: Any) -> None:
    held = sum(tensor.numel() for tensor in loaded.generator.cache.all_tensors())
    assert cache_bytes(shape_of(read_config(loaded.folder)), "fp16", 2048) == 2 * held


# --- against known sizes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cache", "layered", "spare"),
    [("fp16", 131_072, 0), ("q8", 69_632, 4096), ("q6", 53_248, 4096), ("q4", 36_864, 4096)],
)
def test_bytes_of_a_cached_token(cache: str, layered: int, spare: int) -> None:
    assert cache_bytes(NANO, cache, 1) == layered + spare


def test_the_model_in_known_figures() -> None:
    found = subject("nemotron-nano-8b", "fp16").plan(Use(131_072, 131_072))
    assert found.rope == 64 * 2**20
    assert found.cache == 16 * GIB
    assert found.attention == found.cache // 32, "one layer of it, gathered"
    # 8,030,261,248 parameters, less the embedding, two bytes each.
    assert found.weights == 2 * (8_030_261_248 - 128_256 * 4096)
    assert (
        found.loaded + found.activations + found.attention + found.logits
        == found.total
        == sum(found.parts().values())
    )


def test_formats_rank_by_their_bits() -> None:
    sizes = [weights_for(NANO, form) for form in ("fp16", "exl2-8.0bpw", "exl2-4.0bpw")]
    assert sizes == sorted(sizes, reverse=True)
    assert weights_for(NANO, "gptq-4bit") > weights_for(NANO, "exl2-4.0bpw"), "its head is fp16"
    assert set(CACHES) >= {"fp16", "q8"}
    for form in FORMATS:
        assert subject("nemotron-nano-8b", form).quantized == (form != "fp16")


@pytest.mark.parametrize("cache", list(CACHES))
@pytest.mark.parametrize("memory", [12 * GIB, 24 * GIB])
def test_the_longest_context_fits_and_a_page_more_does_not(cache: str, memory: int) -> None:
    of = subject("nemotron-nano-8b", "exl2-6.0bpw")
    longest = of.largest(use_of(of, 8192, cache, 2), memory)
    assert longest is not None
    assert longest % PAGE == 0
    assert of.fits(use_of(of, longest, cache, 2), memory)
    if longest < of.context:
        assert not of.fits(use_of(of, longest + PAGE, cache, 2), memory)


def test_what_never_fits() -> None:
    of = subject("nemotron-nano-8b", "fp16")
    assert largest_context(NANO, of.weights, False, Use(1, 1), 8 * GIB, of.context) is None
    assert of.largest(Use(1, 1), of.weights + CONTEXT) is None


def test_a_folder_is_read_from_its_headers() -> None:
    own, folder = subject("demo"), subject(str(locate("demo")))
    assert replace(folder, name="demo") == own
    assert own.as_if("fp16").weights == pytest.approx(own.weights, rel=0.01)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["int3", "exl2-1.0bpw", "exl2-9bpw", "exl2-xbpw", "exl2-nanbpw"])
def test_formats_that_there_are_not(form: str) -> None:
    with pytest.raises(InvalidInput, match="no weight format"):
        weights_for(NANO, form)


@pytest.mark.parametrize("use", [Use(1, 1, "q5"), Use(0, 1), Use(1, 1, batch=0)])
def test_uses_that_cannot_be(use: Use) -> None:
    with pytest.raises(InvalidInput):
        subject("demo").plan(use)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GiB", 24 * GIB),
        ("24 gib", 24 * GIB),
        ("24", 24 * GIB),
        ("24GB", 24 * 10**9),
        ("24564MiB", 24_564 * 2**20),
        ("1.5GiB", 3 * GIB // 2),
        ("25769803776", 24 * GIB),
    ],
)
def test_amounts_of_memory(text: str, size: int) -> None:
    assert memory_of(text) == size


@pytest.mark.parametrize("text", ["", "much", "-3GiB", "24TiB", "0", "1e3", "nan"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(InvalidInput):
        memory_of(text)


# --- as a command ---------------------------------------------------------------------------------


def fit(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    code = app.run(["models", "fit", *options])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_says_whether_it_fits(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = fit(capsys, "--gpu-memory", "12GiB", "--format", "exl2-4.0bpw")
    assert code == 0
    assert "It fits a GPU of 12GiB" in out
    assert all(name in out for name in GPUS)
    _, out, _ = fit(capsys, "--gpu-memory", "8GiB")
    assert "It does not fit a GPU of 8GiB" in out
    assert "are its weights alone" in out
    _, out, _ = fit(capsys, "--gpu-memory", "16GiB", "--context", "131072")
    assert "are missing; the longest context that fits is" in out


def test_the_document_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = fit(capsys, "--gpu-memory", "24GiB", "--batch", "4", "--cache", "q8", "--json")
    assert code == 0
    told = json.loads(out.splitlines()[-1])
    sizes = dict(told["bytes"])
    assert sizes.pop("total") == sum(sizes.values())
    assert told["fits"] == {"a GPU of 24GiB": False}
    assert told["longest_context"]["RTX 3060 12 GB"]["fp16"] is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("no-such-model",), "There is no model 'no-such-model'"),
        (("--format", "int3"), "There is no weight format 'int3'"),
        (("--cache", "q5"), "There is no cache type 'q5'"),
        (("--context", "200000"), "reads 131,072 tokens, not 200,000"),
        (("--gpu-memory", "much"), "'much' is no amount of memory"),
        (("--batch", "0"), "batch"),
    ],
)
def test_the_command_refuses(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], says: str
) -> None:
    code, _, err = fit(capsys, *options)
    assert code
    assert says in err
    assert "Traceback" not in err


def test_a_name_that_is_not_known() -> None:
    with pytest.raises(ModelError):
        subject("no-such-model")
