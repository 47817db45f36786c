"""The model folder of a synthetic model, written shard by shard, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from workbench.errors import InvalidInput, ModelError
from workbench.models.demo.tokenizer_recipe import CHAT_TEMPLATE
from workbench.models.folder import ModelInfo, check
from workbench.models.synthesis import tokenizer
from workbench.models.synthesis.matrices import MAKERS, Tensors, exl2, plain
from workbench.models.synthesis.pool import Pool
from workbench.models.synthesis.recipe import HEAD_BITS, Recipe, recipe
from workbench.models.weights import INDEX

FORMATS = tuple(MAKERS)
_SHARD = 2**31  # bytes that are held at once, about

Progress = Callable[[int, int], None]


def synthesise(
    folder: Path,
    *,
    like: str = "nemotron-nano-8b",
    form: str = "fp16",
    bits: float = 4.0,
    layers: int | None = None,
    vocabulary: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> ModelInfo:
    """Write random weights in the shape of a model, with a tokenizer of that size.

    Args:
        folder: Must not exist, or be empty.
        like: A name of the catalogue whose shape is known.
        form: fp16, gptq4 or exl2.
        bits: A weight, of EXL2: 2 to 8.
        layers: Fewer than the model has, for tests.
        vocabulary: Another size, for tests.
        seed: Of the weights.
        progress: Called with (bytes written, bytes in all, about).

    Raises:
        InvalidInput: A folder that holds something, or settings that cannot be.
        ModelError: The disk has too little room, or cannot be written.
    """
    return write(recipe(like, form, bits, layers, vocabulary), folder, Pool(seed), progress)


def write(plan: Recipe, folder: Path, pool: Pool, progress: Progress | None = None) -> ModelInfo:
    """Write what a recipe says, from a pool of random numbers; else as ``synthesise``."""
    _refuse(folder, plan.bytes)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        _write(plan, partial, pool, progress or (lambda done, total: None))
        if folder.is_dir():
            folder.rmdir()
        partial.rename(folder)
    except OSError as error:
        raise ModelError(
            f"{folder} cannot be written: {error.strerror or error}.",
            remedy="Choose a folder on a disk with room.",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return check(folder)


def _refuse(folder: Path, needed: int) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InvalidInput(
            f"{folder} is there already.", remedy="Name a new folder, or an empty one."
        )
    above = next(parent for parent in folder.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(above).free
    if free < needed:
        raise ModelError(
            f"{needed / 2**30:.1f} GiB are needed in {above}, and {free / 2**30:.1f} are free.",
            remedy="Choose a folder on a disk with room, or a smaller format.",
        )


def _write(plan: Recipe, folder: Path, pool: Pool, progress: Progress) -> None:
    tokenizer.save(plan.shape.vocabulary, CHAT_TEMPLATE, folder)
    generation = {"bos_token_id": plan.config()["bos_token_id"], **plan.ends()}
    for name, content in (("config", plan.config()), ("generation_config", generation)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    written, places = 0, dict[str, str]()
    for number, tensors in enumerate(_shards(plan, pool), start=1):
        name = f"model-{number:05}.safetensors"
        save_file(tensors, folder / name, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, name)
        written += _bytes(tensors)
        progress(written, max(written, plan.bytes))
    index = {"metadata": {"total_size": written}, "weight_map": places}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def _shards(plan: Recipe, pool: Pool) -> Iterator[Tensors]:
    """The model's tensors in order, as many at a time as ``_SHARD`` holds."""
    held: Tensors = {}
    for tensors in _modules(plan, pool):
        if held and _bytes(held) + _bytes(tensors) > _SHARD:
            yield held
            held = {}
        held |= tensors
    yield held


def _modules(plan: Recipe, pool: Pool) -> Iterator[Tensors]:
    shape, make = plan.shape, MAKERS[plan.form]
    ones = torch.ones(shape.hidden, dtype=torch.float16)
    yield plain(pool, "model.embed_tokens", (shape.vocabulary, shape.hidden), 16)
    for layer in range(shape.layers):
        key = f"model.layers.{layer}"
        yield {f"{key}.{name}.weight": ones.clone() for name in _NORMS}
        for name, size in plan.matrices():
            yield make(pool, f"{key}.{name}", size, plan.bits)
    yield {"model.norm.weight": ones.clone()}
    head = exl2 if plan.form == "exl2" else plain
    yield head(pool, "lm_head", (shape.vocabulary, shape.hidden), HEAD_BITS)


_NORMS = ("input_layernorm", "post_attention_layernorm")


def _bytes(tensors: Tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
