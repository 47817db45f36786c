"""EXL2 and GPTQ weights written and read bit by bit in numpy, from the formats' description."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

Packed = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of an EXL2 matrix that share a number of bits and a scale a column."""

    bits: int
    rows: int


def stream(integers: NDArray[np.int64], bits: int) -> NDArray[np.int32]:
    """Rows of integers as words: a column is one long number, its first row the lowest bits."""
    rows, columns = integers.shape
    words = np.zeros((rows * bits // 32, columns), dtype=np.uint32)
    for column in range(columns):
        number = sum(int(q) << (bits * row) for row, q in enumerate(integers[:, column]))
        for word in range(len(words)):
            words[word, column] = (number >> (32 * word)) & 0xFFFFFFFF
    return words.view(np.int32)


def unstream(words: NDArray[np.int32], bits: int) -> NDArray[np.int64]:
    """The integers again."""
    rows = len(words) * 32 // bits
    out = np.zeros((rows, words.shape[1]), dtype=np.int64)
    for column in range(words.shape[1]):
        number = sum(int(w) << (32 * i) for i, w in enumerate(words[:, column].view(np.uint32)))
        out[:, column] = [(number >> (bits * row)) & (2**bits - 1) for row in range(rows)]
    return out


def exl2_matrix(
    matrix: NDArray[np.float64], groups: Sequence[Group], order: NDArray[np.int64]
) -> Packed:
    """A matrix ``(rows, columns)`` rounded to EXL2's tensors, most important rows first."""
    words, steps, largest, table = [], [], [], []
    sorted_rows = matrix[order]
    first, word = 0, 0
    for group in groups:
        part = sorted_rows[first : first + group.rows]
        half = 2 ** (group.bits - 1)
        wanted = np.abs(part).max(0) / half
        top = np.float16(wanted.max())
        step = np.clip(np.ceil(np.sqrt(wanted / float(top)) * 16), 1, 16).astype(np.int64)
        scale = (step * step) / 256 * float(top)
        integers = np.clip(np.rint(part / scale), -half, half - 1).astype(np.int64) + half
        words.append(stream(integers, group.bits))
        steps.append(step - 1)
        largest.append(top)
        table += [group.bits, word]
        first, word = first + group.rows, word + len(words[-1])
    return {
        "q_weight": torch.from_numpy(np.concatenate(words)),
        "q_scale": torch.from_numpy(stream(np.stack(steps).T, 4).T.copy()),
        "q_scale_max": torch.from_numpy(np.array(largest, dtype=np.float16)),
        "q_groups": torch.tensor(table, dtype=torch.int16),
        "q_invperm": torch.from_numpy(np.argsort(order)).int(),
    }


def exl2_values(packed: Packed) -> NDArray[np.float16]:
    """What EXL2's tensors stand for, as the kernels compute it: in half precision."""
    words, table = packed["q_weight"].numpy(), packed["q_groups"].view(-1, 2).tolist()
    starts = [start for _, start in table] + [len(words)]
    steps = unstream(packed["q_scale"].numpy().T.copy(), 4).T + 1
    parts = []
    for i, (bits, start) in enumerate(table):
        integers = unstream(words[start : starts[i + 1]].copy(), bits) - 2 ** (bits - 1)
        share = packed["q_scale_max"].numpy()[i] * np.float16(1 / 256)
        scale = (steps[i] * steps[i]).astype(np.float16) * share
        parts.append(integers.astype(np.float16) * scale)
    return np.concatenate(parts)[packed["q_invperm"].numpy()]


def gptq_matrix(matrix: NDArray[np.float64], size: int, group_of: NDArray[np.int64]) -> Packed:
    """A matrix ``(rows, columns)`` rounded to GPTQ's four bits, ``size`` rows a group."""
    rows, columns = matrix.shape
    count = rows // size
    scales = np.zeros((count, columns), dtype=np.float16)
    zeros = np.zeros((count, columns), dtype=np.int64)
    integers = np.zeros((rows, columns), dtype=np.int64)
    for group in range(count):
        mine = group_of == group
        low, high = matrix[mine].min(0), matrix[mine].max(0)
        scales[group] = ((high - low) / 14).astype(np.float16)
        zeros[group] = np.clip(np.rint(-low / scales[group].astype(float)), 1, 15)
        whole = np.rint(matrix[mine] / scales[group].astype(float)) + zeros[group]
        integers[mine] = np.clip(whole, 0, 15).astype(np.int64)
    return {
        "qweight": torch.from_numpy(stream(integers, 4)),
        "qzeros": torch.from_numpy(stream((zeros - 1).T, 4).T.copy()),
        "scales": torch.from_numpy(scales),
        "g_idx": torch.from_numpy(group_of).int(),
    }


def gptq_values(packed: Packed) -> NDArray[np.float16]:
    """What GPTQ's tensors stand for: ``(q - (zero + 1)) · scale``, in half precision."""
    integers = unstream(packed["qweight"].numpy(), 4)
    zeros = unstream(packed["qzeros"].numpy().T.copy(), 4).T + 1
    rows = packed["g_idx"].numpy()
    return (integers - zeros[rows]).astype(np.float16) * packed["scales"].numpy()[rows]


def folders(
    source: Path,
    made: Path,
    settings: dict[str, object],
    pack: Callable[[NDArray[np.float64]], Packed],
    values: Callable[[Packed], NDArray[np.float16]],
) -> tuple[Path, Path]:
    """A model quantised, and the same model in fp16 with the values that the first stands for."""
    packed_folder, plain_folder = made / "packed", made / "plain"
    for folder in (packed_folder, plain_folder):
        copytree(source, folder)
    weights = load_file(source / "model.safetensors")
    packed, plain = dict(weights), dict(weights)
    for name, weight in weights.items():
        if name.endswith("_proj.weight") or name == "lm_head.weight":
            tensors = pack(weight.T.double().numpy())
            del packed[name]
            packed |= {f"{name.removesuffix('weight')}{key}": t for key, t in tensors.items()}
            plain[name] = torch.from_numpy(values(tensors).T.copy())
    save_file(packed, packed_folder / "model.safetensors", metadata={"format": "pt"})
    save_file(plain, plain_folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = settings
    (packed_folder / "config.json").write_text(json.dumps(config))
    return packed_folder, plain_folder
