"""The ``*.safetensors`` files of a model folder, from their headers alone.

A header lists every tensor with type, shape and place, so a truncated download, a
missing shard or a tensor of the wrong shape is found without reading the weights.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType

from safetensors import SafetensorError, safe_open

from workbench.errors import ModelError
from workbench.models.config import Config, read_json

INDEX = "model.safetensors.index.json"
WHOLE = 2**30  # bytes up to which ``weights_sha256`` reads everything by default
_DTYPES = MappingProxyType({"F16": "fp16", "BF16": "bf16", "F32": "fp32"})
_BYTES = MappingProxyType({"F16": 2, "BF16": 2, "F32": 4, "I32": 4, "I16": 2})
_READABLE = frozenset({*_DTYPES, "I32", "I16"})  # the integers hold quantized weights
_SUFFIXES = (".q_weight", ".qweight", ".weight", "")  # where ExLlamaV2 looks for a module
_PIECE = 2**16  # bytes of one sample …
_PIECES = 64  # … of which so many are read, spread evenly over a file


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of a header."""

    file: str
    dtype: str  # as safetensors spells it: F16, BF16 …
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """What the headers of a folder say."""

    files: tuple[Path, ...]  # in name order
    tensors: Mapping[str, Tensor]

    @property
    def bytes(self) -> int:
        """Size of the files."""
        return sum(file.stat().st_size for file in self.files)

    def bits(self, prefix: str, numbers: int) -> float:
        """Bits that some modules take a number, whatever they are stored in; norms left out.

        Args:
            prefix: Of the modules' names.
            numbers: That they stand for.
        """
        stored = sum(
            prod(tensor.shape) * _BYTES.get(tensor.dtype, 4)
            for name, tensor in self.tensors.items()
            if name.startswith(prefix) and "norm" not in name
        )
        return 8 * stored / numbers

    @property
    def precision(self) -> str:
        """fp16, bf16 or fp32: what most numbers are stored in; else the type's own name."""
        stored: Counter[str] = Counter()
        for tensor in self.tensors.values():
            stored[tensor.dtype] += prod(tensor.shape)
        dtype = max(stored, key=stored.__getitem__, default="nothing")
        return _DTYPES.get(dtype, dtype.lower())


def read_weights(folder: Path) -> Weights:
    """Every header of a folder.

    Raises:
        ModelError: No weights, a file that is damaged or incomplete, a shard that the
            index names and the folder lacks, or a tensor that is in two files.
    """
    files = tuple(sorted(folder.glob("*.safetensors")))
    _check_shards(folder, files)
    tensors: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in _header(file):
            if name in tensors:
                raise ModelError(
                    f"{name} is in both {tensors[name].file} and {file.name}.",
                    remedy=f"Keep only one set of weights in {folder}.",
                )
            tensors[name] = tensor
    return Weights(files, tensors)


def weight_problems(weights: Weights, config: Config) -> Iterator[ModelError]:
    """Why ExLlamaV2 could not load these weights with this configuration."""
    shapes = dict(_modules(config))
    names = {module: _name(module, weights) for module in shapes}
    found = {module: weights.tensors[name] for module, name in names.items() if name}
    if unreadable := {tensor.dtype for tensor in found.values()} - _READABLE:
        yield ModelError(
            f"Weights are stored as {', '.join(sorted(unreadable))}, which ExLlamaV2 cannot read.",
            remedy=f"Use {', '.join(_DTYPES.values())}, EXL2 or GPTQ weights.",
        )
    if missing := [module for module, name in names.items() if name is None]:
        yield ModelError(
            f"The weights lack {_first(missing)}.",
            remedy="Download the missing file again, or take config.json from the same model.",
        )
    plain = [module for module in found if names[module] == f"{module}.weight"]
    if wrong := [module for module in plain if found[module].shape != shapes[module]]:
        module = wrong[0]
        yield ModelError(
            f"{_first(wrong)}: the weights are {_by(found[module].shape)}, "
            f"config.json says {_by(shapes[module])}.",
            remedy="Take config.json and weights from the same model.",
        )


def weights_sha256(folder: Path, *, whole: bool | None = None) -> str:
    """A name for the weights, for the record of a run.

    Of every byte: the SHA-256 that ``sha256sum *.safetensors | sha256sum`` prints in
    the folder. That takes about a second a GiB, so beyond one GiB the default is
    ``sampled:`` and the SHA-256 of the names, the sizes, the headers, and 64 pieces of
    64 KiB a file: it tells models, quantizations and damaged downloads apart, but is
    no proof that no byte was changed.

    Args:
        folder: A model folder.
        whole: Read every byte; by default up to 1 GiB of weights.
    """
    files = sorted(folder.glob("*.safetensors"))
    if whole is None:
        whole = sum(file.stat().st_size for file in files) <= WHOLE
    digest = hashlib.sha256()
    for file in files:
        line = f"{_whole(file) if whole else _sampled(file)}  {file.name}\n"
        digest.update(line.encode("utf-8"))
    return digest.hexdigest() if whole else f"sampled:{digest.hexdigest()}"


def _check_shards(folder: Path, files: tuple[Path, ...]) -> None:
    again = "Download the model again, or convert it to safetensors."
    index = folder / INDEX
    if index.is_file():
        shards = read_json(index).get("weight_map")
        named = set(shards.values()) if isinstance(shards, dict) else set()
        if missing := sorted(named - {file.name for file in files}):
            raise ModelError(f"{folder} lacks the shards {', '.join(missing)}.", remedy=again)
    if not files:
        raise ModelError(f"{folder} has no weights (*.safetensors).", remedy=again)


def _header(file: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(file, "numpy") as header:
            for name in header.keys():  # noqa: SIM118 - no dict: it cannot be iterated
                part = header.get_slice(name)
                yield name, Tensor(file.name, part.get_dtype(), tuple(part.get_shape()))
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{file} is incomplete or damaged: {error}.", remedy="Download the file again."
        ) from error


def _modules(config: Config) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every weight of a Llama, and its shape (rows are outputs)."""
    hidden, query = config.hidden, config.heads * config.head_dim
    key = config.kv_heads * config.head_dim
    yield "model.embed_tokens", (config.vocabulary, hidden)
    for layer in range(config.layers):
        shapes = {
            "input_layernorm": (hidden,),
            "self_attn.q_proj": (query, hidden),
            "self_attn.k_proj": (key, hidden),
            "self_attn.v_proj": (key, hidden),
            "self_attn.o_proj": (hidden, query),
            "post_attention_layernorm": (hidden,),
            "mlp.gate_proj": (config.intermediate, hidden),
            "mlp.up_proj": (config.intermediate, hidden),
            "mlp.down_proj": (hidden, config.intermediate),
        }
        for module, shape in shapes.items():
            yield f"model.layers.{layer}.{module}", shape
    yield "model.norm", (hidden,)
    if not config.tied:
        yield "lm_head", (config.vocabulary, hidden)


def _name(module: str, weights: Weights) -> str | None:
    """The tensor that ExLlamaV2 takes for a module."""
    names = (module + suffix for suffix in _SUFFIXES)
    return next((name for name in names if name in weights.tensors), None)


def _first(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "a single number"


def _whole(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sampled(file: Path) -> str:
    size = file.stat().st_size
    digest = hashlib.sha256(f"{size}\n".encode())
    with file.open("rb") as stream:
        length = stream.read(8)
        digest.update(length + stream.read(int.from_bytes(length, "little")))
        for i in range(_PIECES):
            stream.seek(max(size - _PIECE, 0) * i // (_PIECES - 1))
            digest.update(stream.read(_PIECE))
    return digest.hexdigest()
