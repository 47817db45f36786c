"""Number formats of a folder's weights, and contexts as long as the 8B's."""

from __future__ import annotations

import json
import math
from pathlib import Path
from shutil import copytree

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench.errors import InvalidInput, ModelError
from workbench.models.folder import inspect
from workbench.models.memory import Shape
from workbench.models.synthesis.folder import write
from workbench.models.synthesis.pool import Pool
from workbench.models.synthesis.recipe import Recipe

from .contract import answers, ask, conversation
from .opening import opened

LONG = 131_072
TINY = Shape(
    layers=1,
    hidden=64,
    intermediate=128,
    heads=2,
    kv_heads=1,
    head_dim=64,
    vocabulary=512,
    tied=False,
)


def stored(folder: Path, to: Path, dtype: torch.dtype, spoil: float | None = None) -> Path:
    """A copy of a model with its weights rounded to bf16 and stored as ``dtype``."""
    copytree(folder, to)
    weights = load_file(to / "model.safetensors")
    weights = {name: values.bfloat16().to(dtype) for name, values in weights.items()}
    if spoil is not None:
        weights["model.layers.0.mlp.up_proj.weight"][3, 5] = spoil
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    return to


def test_bf16_weights_are_the_same_model_as_in_fp16(
    model_folder: Path, tmp_path: Path, stops: frozenset[int]
) -> None:
    requests = [ask(f"{i} reefs", max_tokens=25, temperature=0.8, seed=i) for i in range(3)]
    found = []
    for dtype in (torch.float16, torch.bfloat16):
        folder = stored(model_folder, tmp_path / str(dtype), dtype)
        with opened(folder, cache_tokens=2048) as engine:
            found.append([trace.ids for trace in answers(engine, requests, stops)])
            assert engine.spec.quantization == inspect(folder).quantization
    assert found[0] == found[1]
    assert "bf16" in inspect(tmp_path / str(torch.bfloat16)).warnings[0]


def test_bf16_numbers_beyond_fp16_are_refused(model_folder: Path, tmp_path: Path) -> None:
    folder = stored(model_folder, tmp_path / "large", torch.bfloat16, spoil=1e6)
    with (
        pytest.raises(ModelError, match=r"mlp\.up_proj holds numbers") as refused,
        opened(folder, cache_tokens=1024),
    ):
        pass
    assert "fp16" in refused.value.remedy


@pytest.fixture(scope="module")
def long_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long") / "model"
    write(Recipe(TINY, LONG, "fp16", 16), folder, Pool(numbers=2**18))
    return folder


def llama3(position: int, pair: int, width: int) -> float:
    """The angle by Llama 3.1's rule, from its paper and config: long waves are stretched by 8.

    Waves longer than 8,192 / 1 tokens by the whole factor, shorter than 8,192 / 4 not at all,
    between them by a mixture that is linear in the number of waves.
    """
    frequency = 500_000.0 ** (-2 * pair / width)
    wave = 2 * math.pi / frequency
    share = (8192 / wave - 1.0) / (4.0 - 1.0)
    mixed = min(max(share, 0.0), 1.0)
    return position * ((1 - mixed) * frequency / 8 + mixed * frequency)


def test_positions_to_131072_turn_as_llama_3_1_means_it(long_folder: Path) -> None:
    with opened(long_folder, context=LONG, cache_tokens=1024) as engine:
        context = engine._loaded.generator.model.device_context[0]
        sines, cosines = context.sin[0].double(), context.cos[0].double()
    assert sines.shape[-2:] == (LONG, 64)
    for position in (0, 1, 255, 8191, 8192, 65_535, 131_071):
        for pair in (0, 5, 13, 20, 31):
            angle = llama3(position, pair, 64)
            found = (float(sines[0, 0, position, pair]), float(cosines[0, 0, position, pair]))
            # The tables' angles are float32: at 131,071 one is known to 0.01.
            assert found == pytest.approx((math.sin(angle), math.cos(angle)), abs=0.02)


def test_a_request_may_fill_a_long_context_in_a_quantised_cache(long_folder: Path) -> None:
    ends = frozenset(json.loads((long_folder / "config.json").read_text())["eos_token_id"])
    with opened(long_folder, context=12_288, cache="q4", max_batch=2) as engine:
        least = len(engine.encode(*conversation(ask("."))))
        each = len(engine.encode(*conversation(ask("." + "?" * 800)))) - least
        text = "." + "?" * ((12_288 - 12 - least) * 800 // each)
        left = 12_288 - len(engine.encode(*conversation(ask(text))))
        assert 12 <= left < 20
        (trace,) = answers(engine, [ask(text, max_tokens=left, min_tokens=left)], ends)
        assert len(trace.ids) == left, "as far as the last position"
        with pytest.raises(InvalidInput):
            engine.submit(ask(text, max_tokens=left + 1))
