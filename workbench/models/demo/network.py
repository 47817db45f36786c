"""A minimal Llama in torch; its parameters have the names that transformers gives them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions of the network, in the words of config.json."""

    vocab_size: int = 512
    hidden_size: int = 256
    intermediate_size: int = 768
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    max_position_embeddings: int = 2048
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5


class Cache:
    """Keys and values of every layer, each (rows, key heads, positions, head size) so far."""

    def __init__(self, layers: int) -> None:
        self.pairs: list[tuple[Tensor, Tensor] | None] = [None] * layers

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append to one layer and return all its keys and values."""
        held = self.pairs[layer]
        pair = (key, value) if held is None else (_join(held[0], key), _join(held[1], value))
        self.pairs[layer] = pair
        return pair

    def keep(self, rows: Tensor) -> None:
        """Drop every row that `rows` (a boolean mask) does not mark."""
        self.pairs = [pair and (pair[0][rows], pair[1][rows]) for pair in self.pairs]


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.shape, self.layer = shape, layer
        queries = shape.num_attention_heads * shape.head_dim
        keys = shape.num_key_value_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(shape.hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(shape.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(queries, shape.hidden_size, bias=False)

    def forward(
        self, x: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor, cache: Cache | None
    ) -> Tensor:
        """`x` (rows, positions, hidden) attends to itself and, if there is one, to the cache."""
        size = self.shape.head_dim
        query, key, value = (_heads(p(x), size) for p in (self.q_proj, self.k_proj, self.v_proj))
        query, key = _rotate(query, turns), _rotate(key, turns)
        if cache is not None:
            key, value = cache.extend(self.layer, key, value)
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        # Written out, because in bfloat16 on a CPU torch's fused attention is three times slower.
        scores = (query * size**-0.5) @ key.mT
        mixed = (scores + mask.to(scores.dtype)).softmax(-1) @ value
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out


class MLP(nn.Module):
    """The gated feed-forward part."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.up_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.down_proj = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of `x`."""
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.self_attn = Attention(shape, layer)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.mlp = MLP(shape)

    def forward(
        self, x: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor, cache: Cache | None
    ) -> Tensor:
        """Keep the shape of `x`."""
        x = x + self.self_attn(self.input_layernorm(x), turns, mask, cache)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Body(nn.Module):
    """Everything below the output layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape, n) for n in range(shape.num_hidden_layers))
        self.norm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)

    def forward(
        self, ids: Tensor, start: int = 0, mask: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """Hidden states (rows, positions, hidden) of `ids` (rows, positions) from `start` on.

        `mask` is added to the attention scores, by default the causal one: no earlier positions.
        """
        turns = _turns(self.shape, start, ids.shape[1])
        mask = causal(ids.shape[1]) if mask is None else mask
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, turns, mask, cache)
        out: Tensor = self.norm(x)
        return out


class Network(nn.Module):
    """The whole model: a body and an output layer (tied to the embedding while it trains)."""

    def __init__(self, shape: Shape, *, tied: bool) -> None:
        super().__init__()
        self.model = Body(shape)
        self.lm_head = nn.Linear(shape.hidden_size, shape.vocab_size, bias=False)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
        if tied:
            self.lm_head.weight = self.model.embed_tokens.weight


def load(folder: Path) -> Network:
    """The network of a model folder, in single precision."""
    config = json.loads((folder / "config.json").read_text())
    names = Shape.__dataclass_fields__
    network = Network(Shape(**{name: config[name] for name in names}), tied=False)
    weights = load_file(folder / "model.safetensors")
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return network.eval()


def causal(count: int) -> Tensor:
    """The mask (positions, positions) by which each position sees itself and those before it."""
    return torch.full((count, count), -torch.inf).triu(1)


def _join(held: Tensor, new: Tensor) -> Tensor:
    return torch.cat((held, new), dim=2)


def _heads(x: Tensor, size: int) -> Tensor:
    """(rows, positions, heads * size) as (rows, heads, positions, size)."""
    return x.view(*x.shape[:2], -1, size).transpose(1, 2)


def _turns(shape: Shape, start: int, count: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (positions, head size) of the rotary angles from position `start` on."""
    steps = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    positions = torch.arange(start, start + count, dtype=torch.float32)
    angles = torch.outer(positions, shape.rope_theta**-steps).repeat(1, 2)
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    cosines, sines = (part.to(x.dtype) for part in turns)
    left, right = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-right, left), dim=-1) * sines
