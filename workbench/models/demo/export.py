"""Writes the model folder: half-precision weights and the JSON files that engines read."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from workbench.models.demo import tokenizer_recipe
from workbench.models.demo.network import Network, Shape
from workbench.models.demo.protocol import BEGIN, PADDING, STOPS


def export(network: Network, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a folder that transformers and ExLlamaV2 load; existing files are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer_recipe.save(tokenizer, folder)
    shape = network.model.shape
    for name, content in (
        ("config", config(shape, tokenizer)),
        ("generation_config", _generation(tokenizer)),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    weights = {
        name: tensor.detach().to(torch.float16).clone().contiguous()
        for name, tensor in network.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def config(shape: Shape, tokenizer: Tokenizer) -> dict[str, object]:
    """config.json with the keys of transformers 4, which ExLlamaV2 and transformers 5 both read."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **asdict(shape),
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "initializer_range": 0.02,
        "pretraining_tp": 1,
        "torch_dtype": "float16",
        "use_cache": True,
        "synthetic": True,  # ours, not Nemotron's: every report made with it says so
        **_generation(tokenizer),
    }


def _generation(tokenizer: Tokenizer) -> dict[str, object]:
    return {
        "bos_token_id": tokenizer.token_to_id(BEGIN),
        "eos_token_id": [tokenizer.token_to_id(name) for name in STOPS],
        "pad_token_id": tokenizer.token_to_id(PADDING),
    }
