"""What is in a model folder, and whether ExLlamaV2 can be trusted with it.

Nothing here loads weights: ``config.json``, the tokenizer's vocabulary and the
headers of the weight files are enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import ModelError
from workbench.models.config import Config, config_problems, read_config, read_json
from workbench.models.rope import Rope
from workbench.models.template import template_sha256
from workbench.models.tokenizer import Tokenizer
from workbench.models.weights import Weights, read_weights, weight_problems

_GENERATION = "generation_config.json"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model folder, described; ``warnings`` say what ``check`` would refuse, or what to know."""

    folder: Path
    architecture: str
    layers: int
    hidden: int  # width of the residual stream
    intermediate: int  # width of the feed-forward layers
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int  # rows of the embedding
    context: int  # tokens
    rope: Rope
    quantization: str  # fp16, bf16, fp32, exl2-4.0bpw, gptq-4bit
    bytes: int  # of the weight files
    layer_bits: float  # stored a weight of the layers' matrices, scales and orders included
    head_bits: float  # stored a weight of the head, which may be quantised otherwise
    parameters: int
    eos_ids: tuple[int, ...]  # ascending
    template_sha256: str | None  # of the model's own chat template
    synthetic: bool  # "synthetic": true in config.json: made for tests or measuring
    warnings: tuple[str, ...]


def inspect(folder: Path) -> ModelInfo:
    """What a folder holds.

    Raises:
        ModelError: It cannot be described: no folder, or configuration or weights that
            cannot be read. What ``check`` refuses besides is among the warnings.
    """
    _check_folder(folder)
    config, weights = read_config(folder), read_weights(folder)
    warnings = [str(problem) for problem in _problems(folder, config, weights)]
    return _info(folder, config, weights, (*warnings, *_remarks(folder, weights)))


def check(folder: Path) -> ModelInfo:
    """What a folder holds, if ExLlamaV2 can load it and read it as its authors meant it.

    Raises:
        ModelError: The first reason why not, with the remedy.
    """
    _check_folder(folder)
    config = read_config(folder)
    for problem in config_problems(config):  # told first: more to the point than missing tensors
        raise problem
    weights = read_weights(folder)
    for problem in _problems(folder, config, weights):
        raise problem
    return _info(folder, config, weights, tuple(_remarks(folder, weights)))


def _check_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    if folder.exists():
        raise ModelError(
            f"{folder} is a file.", remedy="Point to the folder that holds config.json."
        )
    raise ModelError(
        f"There is no folder {folder}.", remedy="`workbench models list` shows what there is."
    )


def _problems(folder: Path, config: Config, weights: Weights) -> Iterator[ModelError]:
    yield from config_problems(config)
    yield from weight_problems(weights, config)
    yield from _vocabulary_problems(folder, config)
    eos = _eos_ids(folder, config)
    if not eos or eos[-1] >= config.vocabulary:
        yield ModelError(
            f"The end-of-sequence ids {list(eos)} are not ids of the model: it would never stop.",
            remedy=f"Repair eos_token_id in {_GENERATION}, as in the model's repository.",
        )


def _vocabulary_problems(folder: Path, config: Config) -> Iterator[ModelError]:
    try:
        size = Tokenizer.from_folder(folder).size
    except ModelError as error:
        yield error
        return
    if size > config.vocabulary:
        yield ModelError(
            f"The tokenizer has {size} tokens, the model only {config.vocabulary}.",
            remedy="Take tokenizer.json and config.json from the same model.",
        )


def _remarks(folder: Path, weights: Weights) -> Iterator[str]:
    if weights.precision == "bf16":
        yield "The weights are bf16; ExLlamaV2 computes in fp16."
    if not (folder / _GENERATION).is_file():
        yield f"There is no {_GENERATION}; the end-of-sequence ids are those of config.json."


def _info(folder: Path, config: Config, weights: Weights, warnings: tuple[str, ...]) -> ModelInfo:
    return ModelInfo(
        folder=folder,
        architecture=config.architecture,
        layers=config.layers,
        hidden=config.hidden,
        intermediate=config.intermediate,
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_dim=config.head_dim,
        vocabulary=config.vocabulary,
        context=config.context,
        rope=config.rope,
        quantization=config.quantization or weights.precision,
        bytes=weights.bytes,
        layer_bits=weights.bits("model.layers.", config.matrices),
        head_bits=weights.bits(_head(config), config.vocabulary * config.hidden),
        parameters=config.parameters,
        eos_ids=_eos_ids(folder, config),
        template_sha256=template_sha256(folder),
        synthetic=config.synthetic,
        warnings=warnings,
    )


def _head(config: Config) -> str:
    return "model.embed_tokens" if config.tied else "lm_head"


def _eos_ids(folder: Path, config: Config) -> tuple[int, ...]:
    """Those of either file: no id that one of them calls an end should become text."""
    generation = read_json(folder / _GENERATION) if (folder / _GENERATION).is_file() else {}
    given = [source.get("eos_token_id") for source in (generation, config.raw)]
    lists = [ids if isinstance(ids, list) else [ids] for ids in given]
    return tuple(sorted({i for ids in lists for i in ids if type(i) is int and i >= 0}))
